"""The live tests' Airflow: its routes, one or more for each test, each with a tenant and a webhook of its own."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from simulation.local_airflow import PROJECT, LocalAirflow
from simulation.receiver import Receiver
from simulation.tenant import CLIENT_ID, CLIENT_SECRET, Tenant
from tests.support.telemetry.traces import Traces

NEVER = "0 0 1 1 *"
"""A schedule of which a DAG makes a first run when it is enabled, and then no other."""

SHOP = {"auth0_conn_id": "auth0_shop"}
PAGE: dict[str, dict[str, Any]] = {
    "logins": {**SHOP, "log_types": ["s", "f"], "retention_days": 30},
    "signups": {**SHOP, "on_reject": "dead_letter", "log_types": ["ss", "fp"], "retention_days": 2},
    "refunds": {**SHOP, "on_reject": "dead_letter", "log_types": ["ss", "fp"], "retention_days": 2},
    "alerts": {**SHOP, "log_types": ["limit_wc"]},
    "pager": {**SHOP, "log_types": ["limit_wc"]},
    "billing": {**SHOP, "log_types": ["slo"]},
}
"""The routes of the tests of the page. Its pictures are taken with no others, so that they show just these."""

HOURLY = {"schedule": "7 * * * *", "start_from": "now"}
WATCHING = {"auth0_conn_id": "auth0_watched", "watch": 1}
OTHERS: dict[str, dict[str, Any]] = {
    "auth0_log_webhooks": {},
    "cleared": {},
    "beside_a_broken_one": {},
    "task_killed": {},
    "failed_in_the_ui": {},
    "frozen": {},
    "api_server_killed": {},
    "scheduler_killed": {},
    "database_locked": {},
    "backfilled": HOURLY,
    "reprocessed": HOURLY,
    "replayed": HOURLY,
    "backfilled_in_the_ui": HOURLY,
    "dry_run_in_the_ui": HOURLY,
    "watched": {**WATCHING, "log_types": ["f"], "max_logs_per_run": 50},
    "failing": WATCHING,
    "triggerer_killed": {"watch": 1},
    "traced": {},
    "traced_failure": {},
}


@contextlib.contextmanager
def running_airflow(home: Path, *, only_page: bool = False) -> Iterator[LocalAirflow]:
    """The Airflow of all live tests, with all routes (or those of the page), each paused."""
    dags = shutil.copytree(
        PROJECT / "dags", home / "dags", ignore=shutil.ignore_patterns("__pycache__", "*.yaml", "management_api_*")
    )
    shutil.copy(PROJECT / "tests" / "support" / "dags" / "webhook_routes.py", dags)
    (dags / "waits.json").write_text(json.dumps({"task_retry": 1.0}), encoding="utf-8")
    routes = PAGE if only_page else {**PAGE, **OTHERS}
    usual = {name: {"schedule": NEVER, "watch": "off", **_connection_ids(name), **more} for name, more in routes.items()}
    (dags / "webhook_routes.yaml").write_text(yaml.safe_dump({"routes": usual}), encoding="utf-8")
    environment = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer,operator:op",
        "AIRFLOW__CORE__PARALLELISM": "8",
        # Looks of the scheduler and parsing take CPU from the tests: ten looks a second take an eighth of a core.
        # A DAG file that has changed is parsed at once nevertheless, see write_routes.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "120",
        # A dead worker is noticed after 90 seconds instead of five minutes; a starved one is not taken for dead.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "90",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    }
    with (
        Traces().running() as traces,
        LocalAirflow(home / "airflow", dags=dags, environment={**environment, **traces.settings}) as airflow,
    ):
        airflow.wait_until(lambda: len(airflow.rows("select 1 from dag")) == len(routes) + 2, "the DAGs are there", 60)
        yield airflow


@contextlib.contextmanager
def supervising(airflow: LocalAirflow) -> Iterator[None]:
    """Start a component again that ends by itself, as a service manager does.

    Airflow's scheduler ends with an IntegrityError where it gives up a task that reports its end in the same moment (3.3.2: both
    note the try in ``task_instance_history``), as one may whose API server was away for long.
    """
    over = threading.Event()

    def look() -> None:
        while not over.wait(1):
            for name in airflow.ended():
                print(f"airflow {name} has ended and is started again:\n{airflow.tail(name)}", flush=True)
                airflow.start_component(name)

    supervisor = threading.Thread(target=look, daemon=True)
    supervisor.start()
    try:
        yield
    finally:
        over.set()
        supervisor.join()


def write_routes(airflow: LocalAirflow, text: str) -> None:
    """Write the route file, and have Airflow parse the DAG files that read it soon."""
    (airflow.dags / "webhook_routes.yaml").write_text(text, encoding="utf-8")
    for file in airflow.dags.glob("*.py"):
        file.touch()


def _connection_ids(name: str) -> dict[str, str]:
    return {"auth0_conn_id": f"auth0_{name}", "webhook_conn_id": f"webhook_{name}"}


class Route:
    """A route of the live Airflow, with a tenant and a webhook of its own."""

    def __init__(self, airflow: LocalAirflow, name: str, tenant: Tenant, receiver: Receiver) -> None:
        self.airflow, self.name, self.tenant, self.receiver = airflow, name, tenant, receiver

    def enable(self, *, on: bool = True) -> None:
        """Unpause the DAG, whose first run begins then; or pause it."""
        self.airflow.rest("PATCH", f"/dags/{self.name}", is_paused=not on)

    def enabled(self) -> Route:
        """Enable it and wait for its first run."""
        self.enable()
        self.airflow.wait_until(lambda: self.runs() and self.all_ended(), f"the first run of {self.name} ends", 120)
        return self

    def trigger(self, run_id: str, **conf: Any) -> None:
        """Start a run."""
        try:
            self.airflow.rest("POST", f"/dags/{self.name}/dagRuns", dag_run_id=run_id, logical_date=None, conf=conf)
        except urllib.error.HTTPError as error:
            if error.code != 409:  # it is there already: an answer got lost while the database was busy
                raise

    def runs(self) -> list[tuple[str, str]]:
        """(run id, state) of its runs in the order of their start."""
        return self.airflow.runs(self.name)

    def wait_for(self, run_id: str, seconds: float = 180.0) -> str:
        """Wait until a run has ended; returns its state."""
        return self.airflow.wait_for_run(self.name, run_id, seconds)

    def wait_for_posts(self, count: int) -> None:
        """Wait until the webhook has had so many POSTs."""
        self.airflow.wait_until(lambda: len(self.receiver.posts) >= count, "delivery is under way", 180)

    def all_ended(self) -> bool:
        """Whether no run is under way."""
        return all(state in {"success", "failed"} for _, state in self.runs())

    def tasks(self, run_id: str) -> str:
        """The tasks of a run, each with its state, its number of tries and the end of its log, for a test that fails."""
        query = "select task_id, state, try_number from task_instance where dag_id = ? and run_id = ?"
        rows = self.airflow.rows(query, self.name, run_id)
        return "\n".join(f"{task} {state}, try {tries}: {self.log(run_id, task)[-2000:]}" for task, state, tries in rows)

    def log(self, run_id: str, task_id: str) -> str:
        """What a task has logged."""
        return self.airflow.task_log(self.name, run_id, task_id)

    def report(self, run_id: str) -> Any:
        """The report of a run."""
        return self.airflow.report(self.name, run_id)

    def checkpoint(self) -> str:
        """The text of the checkpoint's Variable."""
        return str(self.airflow.rest("GET", f"/variables/{self.name}_checkpoint")["value"])

    def leftovers(self) -> list[Any]:
        """Batches that are still in XCom."""
        return self.airflow.rows(
            "select key from xcom where dag_id = ? and (key like 'batch%' or key = 'open_batches')", self.name
        )

    def wanted(self) -> list[str]:
        """The ids of the events that its webhook is to get."""
        return [log_id for log_id, kind, _ in self.tenant.log() if kind not in {"sapi", "fapi"}]


def define_connection(airflow: LocalAirflow, conn_id: str, host: str, **fields: Any) -> None:
    """Define a connection as a person does, under Admin > Connections."""
    airflow.rest("POST", "/connections", connection_id=conn_id, conn_type="http", host=host, **fields)


RouteMaker = Callable[..., Route]


@contextlib.contextmanager
def routes_of(airflow: LocalAirflow) -> Iterator[RouteMaker]:
    """Gives routes their tenant and their webhook; ``tenant`` of another route for one that reads the same log."""
    with contextlib.ExitStack() as servers:
        made: list[Route] = []

        def make(name: str, tenant: Tenant | None = None, receiver: Receiver | None = None) -> Route:
            if tenant is None:
                tenant = servers.enter_context(Tenant().running())
                tenant.log_token_requests = False
                conn_id = {**_connection_ids(name), **PAGE.get(name, {}), **OTHERS.get(name, {})}["auth0_conn_id"]
                define_connection(airflow, conn_id, tenant.url, login=CLIENT_ID, password=CLIENT_SECRET)
            if receiver is None:
                receiver = servers.enter_context(Receiver().running())
            define_connection(airflow, f"webhook_{name}", f"{receiver.url}/{name}")
            made.append(Route(airflow, name, tenant, receiver))
            return made[-1]

        try:
            yield make
        finally:
            for route in made:
                route.enable(on=False)
