"""One live Airflow for all live tests (``python -m tests.live`` starts it); a file that is run by itself starts its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from simulation.local_airflow import LocalAirflow
from tests.live.support.stack import routes_of, running_airflow


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.live)


class ByFixtures(LoadScopeScheduling):
    """Each test goes to the next process that is free, but for those of a file that share a route: one after the other."""

    def _split_scope(self, nodeid):
        return nodeid.partition("::")[0] if "test_watching" in nodeid else nodeid


def pytest_xdist_make_scheduler(config, log):
    return ByFixtures(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture(scope="session")
def airflow(request, tmp_path_factory):
    """Scheduler, DAG processor, API server and triggerer, with all routes of stack.py, each paused."""
    if home := os.environ.get("LIVE_AIRFLOW"):
        yield LocalAirflow.attach(Path(home))
    else:
        only_page = "WRITE_DOCS" in os.environ and {item.path.name for item in request.session.items} == {"test_page.py"}
        with running_airflow(tmp_path_factory.mktemp("live"), only_page=only_page) as running:
            yield running


@pytest.fixture
def route(airflow):
    """Makes a route of the live Airflow ready: ``route(name)`` gives it a tenant and a webhook of its own."""
    with routes_of(airflow) as make:
        yield make


@pytest.fixture(scope="session")
def browser():
    """One browser for all tests: a new one has to compile Airflow's UI again."""
    from tests.live.support.page import Page  # only the tests with a browser need what it imports

    with Page() as page:
        yield page
