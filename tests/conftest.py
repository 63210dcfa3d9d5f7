"""Shared fixtures. Airflow reads its settings when it is first imported, so they are set here, before any test is."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples each time, however slow the machine is: what a test finds should not depend on the day.
settings.register_profile("tests", parent=settings.get_profile("ci"))
settings.load_profile("tests")

PROJECT = Path(__file__).resolve().parent.parent
_home = tempfile.TemporaryDirectory(prefix="auth0-webhooks-tests-", ignore_cleanup_errors=True)

for _key in [key for key in os.environ if key.startswith("AIRFLOW")]:
    del os.environ[_key]
os.environ.update(
    AIRFLOW_HOME=_home.name,
    AIRFLOW__CORE__DAGS_FOLDER=f"{_home.name}/dags",
    AIRFLOW__CORE__PLUGINS_FOLDER=str(PROJECT / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    # test_postgres.py runs tests of whole runs once more on another database.
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=os.environ.get("TEST_DATABASE_URL", f"sqlite:///{_home.name}/airflow.db"),
)
if "TEST_XCOM_FOLDER" in os.environ:  # test_xcom_files.py runs some once more with XCom in files
    os.environ.update(
        AIRFLOW__CORE__XCOM_BACKEND="airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
        AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH=f"file://{os.environ['TEST_XCOM_FOLDER']}",
        AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD="4096",
    )

from auth0_webhooks.reading.machine import Machine
from simulation.receiver import Receiver
from simulation.tenant import CLIENT_ID, CLIENT_SECRET, Tenant


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook over real HTTP."""
    with Receiver().running() as running:
        yield running


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    """A simulated Auth0 tenant over real HTTP, its log empty."""
    with Tenant().running() as running:
        yield running


def forget(tenant: Tenant) -> None:
    """Remove what this machine knows of the rate limit of a tenant."""
    Machine(tenant.url).path.unlink(missing_ok=True)


@pytest.fixture
def connections(tenant: Tenant, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two connections of the shipped route, pointing at the simulated tenant and the receiver."""
    set_connection(monkeypatch, "auth0_default", host=tenant.url, login=CLIENT_ID, password=CLIENT_SECRET)
    set_connection(monkeypatch, "webhook_default", host=f"{receiver.url}/hooks/auth0")


def set_connection(monkeypatch: pytest.MonkeyPatch, conn_id: str, **fields: object) -> None:
    """Define a connection the way an operator does by environment."""
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "http", **fields}))
