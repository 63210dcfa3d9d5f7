"""A real Airflow database, and routes whose tasks run in this process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from airflow.utils.db import initdb

from auth0_webhooks.webhook.pacing import Pace
from tests.conftest import PROJECT
from tests.support.runner import Runner


@pytest.fixture(scope="session")
def airflow_home():
    """A real Airflow database, made once a session, and a DAG folder in which a test puts the files that it needs."""
    home = Path(os.environ["AIRFLOW_HOME"])
    (home / "dags").mkdir()
    initdb()
    return home


@pytest.fixture
def route(airflow_home, request):
    from airflow.models import Variable
    from airflow.utils.session import create_session

    with create_session() as session:
        session.query(Variable).delete()
    for file in (airflow_home / "dags").glob("*.py"):
        file.unlink()
    shutil.copy(PROJECT / "tests" / "support" / "dags" / "webhook_routes.py", airflow_home / "dags")
    return Runner(airflow_home, "r_" + request.node.name.removeprefix("test_").split("[")[0][:60])


@pytest.fixture
def turns(monkeypatch):
    """For each POST that waited for its turn: how many may start in a second."""
    taken, real = [], Pace.turn

    async def turn(self):
        taken.append(self._interval and 1 / self._interval)
        return await real(self)

    monkeypatch.setattr(Pace, "turn", turn)
    return taken


@pytest.fixture
def logged(caplog, capsys):
    """Everything that was logged or printed so far."""
    return lambda: caplog.text + capsys.readouterr().out
