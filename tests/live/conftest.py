"""One live Airflow for all live tests: scheduler, DAG processor, API server, triggerer."""

from __future__ import annotations

import contextlib
import shutil

import pytest

from demo.local_airflow import PROJECT, LocalAirflow
from demo.receiver import Receiver
from demo.tenant import CLIENT_ID, CLIENT_SECRET, Tenant
from tests.live.stack import DAG_ID, FAILING, WATCHED, WINDOWS, all_ended, as_connection

NEVER = '"0 0 1 1 *"'
"""A schedule of which the clock makes its first run and then stays out of the way."""


@pytest.fixture(scope="session")
def services():
    """Three tenants with a webhook each: of the shipped route, of the route for backfills, and of those that watch."""
    tenants, receivers = (Tenant(), Tenant(), Tenant()), (Receiver(), Receiver(), Receiver())
    with contextlib.ExitStack() as all_of_them:
        for server in (*tenants, *receivers):
            all_of_them.enter_context(server.running())
        yield tenants, receivers


@pytest.fixture(scope="session")
def airflow(services, tmp_path_factory):
    """The live Airflow, the shipped route switched on and its clock's first run over."""
    tenants, receivers = services
    client = {"login": CLIENT_ID, "password": CLIENT_SECRET}
    environment = {
        "AIRFLOW_CONN_AUTH0_DEFAULT": as_connection(tenants[0].url, **client),
        "AIRFLOW_CONN_AUTH0_WINDOWS": as_connection(tenants[1].url, **client),
        "AIRFLOW_CONN_AUTH0_WATCHED": as_connection(tenants[2].url, **client),
        "AIRFLOW_CONN_WEBHOOK_WATCHED": as_connection(f"{receivers[2].url}/good"),
        "AIRFLOW_CONN_WEBHOOK_FAILING": as_connection(f"{receivers[2].url}/failing"),
        "AIRFLOW_CONN_WEBHOOK_DEFAULT": as_connection(f"{receivers[0].url}/hooks"),
        "AIRFLOW_CONN_WEBHOOK_WINDOWS": as_connection(f"{receivers[1].url}/hooks"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        # A dead worker is noticed after a minute instead of five; a starved one is not taken for dead.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    }
    dags = shutil.copytree(PROJECT / "dags", tmp_path_factory.mktemp("dags") / "dags")
    routes = dags / "webhook_routes.yaml"
    shipped = routes.read_text(encoding="utf-8").replace('"*/5 * * * *"', f"{NEVER}\n    watch: off")
    more = f"""
  {WINDOWS}: {{auth0_conn_id: auth0_windows, webhook_conn_id: webhook_windows, start_from: now, watch: off}}
  {WATCHED}:
    {{auth0_conn_id: auth0_watched, webhook_conn_id: webhook_watched, schedule: {NEVER}, watch: 1, log_types: [f],
      max_logs_per_run: 50}}
  {FAILING}: {{auth0_conn_id: auth0_watched, webhook_conn_id: webhook_failing, schedule: {NEVER}, watch: 1}}
"""
    routes.write_text(shipped.rstrip() + more, encoding="utf-8")
    with LocalAirflow(tmp_path_factory.mktemp("airflow"), dags=dags, environment=environment) as running:
        running.wait_until(lambda: len(running.rows("select 1 from dag")) == 5, "the DAGs are there", 60)
        running.cli("dags", "unpause", DAG_ID)
        running.wait_until(lambda: all_ended(running) and running.runs(DAG_ID), "the clock's run ends", 120)
        yield running


@pytest.fixture
def quiet(airflow, services):
    """The shipped route with a receiver that has nothing recorded and answers 200."""
    (tenant, *_), (receiver, *_) = services
    airflow.wait_until(lambda: all_ended(airflow), "earlier runs end", 180)
    receiver.posts.clear()
    receiver.problems.clear()
    receiver.behave = lambda _post: 200
    return airflow, tenant, receiver
