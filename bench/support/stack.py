"""A live Airflow to measure, with the tenant in a separate process, and the probes that watch it."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import shutil
import threading
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.support.sink import Sink, sink
from simulation.local_airflow import PROJECT, LocalAirflow
from simulation.tenant import CLIENT_ID, CLIENT_SECRET, Tenant

if TYPE_CHECKING:
    from typing_extensions import Self

NEVER = "0 0 1 1 *"
"""A schedule that creates one run at the start and then none during the measurement."""
BESIDE = """\
from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import DAG, task

with DAG("empty"):

    @task
    def nothing():
        pass

    nothing.override(task_id="one")() >> nothing.override(task_id="two")() >> nothing.override(task_id="three")()

with DAG("mapped"):

    @task
    def read():
        return [{body!r}] * {count}

    HttpOperator.partial(
        task_id="post", http_conn_id="webhook_bench", method="POST", headers={{"Content-Type": "application/json"}}
    ).expand(data=read())
"""


def _serve(pipe: Connection) -> None:
    tenant = Tenant()
    tenant.log_token_requests = False
    with tenant.running():
        pipe.send(tenant.url)
        while (said := pipe.recv()) != "end":
            method, *arguments = said
            if method == "requests":
                pipe.send(sum(count for route, count in tenant.requests.items() if route.startswith("GET")))
            else:
                getattr(tenant, method)(*arguments)
                pipe.send(None)


@dataclass
class Stack:
    """The systems that a measurement uses."""

    airflow: LocalAirflow
    webhook: Sink
    _tenant: Connection

    def tenant(self, method: str, *arguments: Any) -> Any:
        """Call a method of the simulated tenant; ``requests`` counts those to its log."""
        self._tenant.send((method, *arguments))
        return self._tenant.recv()

    def switch(self, dag_id: str, *, on: bool) -> None:
        """Enable or pause a DAG."""
        self._rest("PATCH", f"/dags/{dag_id}", is_paused=not on)

    def trigger(self, dag_id: str, run_id: str) -> None:
        """Start a run, and wait for its end."""
        self.start(dag_id, run_id)
        if self.airflow.wait_for_run(dag_id, run_id) != "success":
            raise RuntimeError(f"{dag_id} {run_id} failed")

    def start(self, dag_id: str, run_id: str) -> None:
        """Start a run."""
        self._rest("POST", f"/dags/{dag_id}/dagRuns", dag_run_id=run_id, logical_date=None)

    def has_ended(self, dag_id: str) -> bool:
        """Whether all runs of a DAG have ended, and no other is asked for."""
        waiting = self.airflow.rows("select 1 from asset_dag_run_queue where target_dag_id = ?", dag_id)
        return not waiting and all(state in {"success", "failed"} for _, state in self.airflow.runs(dag_id))

    def wait_for_all_runs(self) -> None:
        """Wait until no run is under way, and none is asked for."""
        queries = (
            "select 1 from dag_run where state in ('queued', 'running')",
            "select 1 from asset_dag_run_queue",
        )
        self.airflow.wait_until(lambda: not any(map(self.airflow.rows, queries)), "the runs end", 600)

    def count_of_tasks(self) -> int:
        """How many tasks have had a process so far."""
        return int(self.airflow.rows("select count(*) from task_instance where state != 'skipped' and pid is not null")[0][0])

    def _rest(self, method: str, path: str, **body: Any) -> None:
        """Call Airflow's API; retry, because it answers 500 while SQLite is locked."""

        def answered() -> bool:
            try:
                self.airflow.rest(method, path, **body)
            except urllib.error.HTTPError as error:
                if error.code != 500:
                    raise
                return False
            return True

        self.airflow.wait_until(answered, f"{method} {path}", 30)

    def workers(self) -> list[psutil.Process]:
        """The processes of the LocalExecutor, and what they have forked."""
        return psutil.Process(self.airflow.pids()["scheduler"]).children(recursive=True)

    def cpu(self) -> float:
        """CPU seconds that all of Airflow has used so far."""
        return sum(map(self.cpu_of, ("api-server", "scheduler", "dag-processor", "triggerer")))

    def cpu_of(self, component: str) -> float:
        """CPU seconds that a component and its processes have used so far; the tasks are the scheduler's."""
        return sum(map(_cpu, _family(self.airflow.pids()[component])))

    def cpu_of_tasks(self) -> float:
        """CPU seconds that tasks, and what supervises them, have used so far."""
        return sum(map(_cpu, self.workers()))

    def rows(self) -> int:
        """Rows in all tables of Airflow's database except its own logs of jobs and parses."""
        tables = [name for (name,) in self.airflow.rows("select name from sqlite_master where type = 'table'")]
        return sum(
            self.airflow.rows(f'select count(*) from "{name}"')[0][0]
            for name in tables
            if name not in {"job", "dag_priority_parsing_request", "sqlite_sequence"}
        )


@contextlib.contextmanager
def stack(
    home: Path, routes: dict[str, dict[str, Any]], mapped: int = 0, *, environment: dict[str, str] | None = None
) -> Iterator[Stack]:
    """A live Airflow with these routes, and if ``mapped`` with two other DAGs.

    ``empty`` has three tasks, ``mapped`` so many HttpOperators.

    :param environment: more environment variables for Airflow.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    with sink() as webhook:
        try:
            url = ours.recv()
            dags = Path(shutil.copytree(PROJECT / "dags", home / "dags", ignore=shutil.ignore_patterns("__pycache__", "*.yaml")))
            (dags / "webhook_routes.yaml").write_text(json.dumps({"routes": routes}), encoding="utf-8")
            if mapped:
                beside = BESIDE.format(body=json.dumps({"x": "y" * 1200}), count=mapped)
                (dags / "beside.py").write_text(beside, encoding="utf-8")
            environment = {
                **(environment or {}),
                "AIRFLOW_CONN_AUTH0_BENCH": json.dumps(
                    {"conn_type": "http", "host": url, "login": CLIENT_ID, "password": CLIENT_SECRET}
                ),
                "AIRFLOW_CONN_WEBHOOK_BENCH": json.dumps({"conn_type": "http", "host": webhook.url}),
            }
            with LocalAirflow(home / "airflow", dags=dags, environment=environment) as airflow:
                wanted = {*routes, *(("empty", "mapped") if mapped else ())}
                airflow.wait_until(
                    lambda: wanted <= {dag_id for (dag_id,) in airflow.rows("select dag_id from dag")}, "the DAGs exist", 120
                )
                yield Stack(airflow, webhook, ours)
        finally:
            ours.send("end")
            process.join(10)
            process.kill()


@dataclass
class Watcher:
    """Samples the tasks' memory and XCom five times a second."""

    airflow: LocalAirflow
    dag_id: str
    memory: dict[str, float] = field(default_factory=dict)
    """The peak resident memory in bytes, by task id."""
    xcom: dict[tuple[str, ...], int] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._end = threading.Event()
        self._peaks: dict[str, int] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(10)
        for identity, peak in self._peaks.items():
            for (task_id,) in self.airflow.rows("select task_id from task_instance where id = ?", identity.replace("-", "")):
                self.memory[task_id] = max(self.memory.get(task_id, 0), peak)

    def _watch(self) -> None:
        scheduler = psutil.Process(self.airflow.pids()["scheduler"])
        while not self._end.wait(0.2):
            for process in scheduler.children(recursive=True):
                with contextlib.suppress(psutil.Error, IndexError):
                    title = " ".join(process.cmdline()).strip()
                    if title.startswith("airflow worker -- ") and "LocalExecutor" not in title:
                        identity = title.rsplit(" ", 1)[1]
                        self._peaks[identity] = max(self._peaks.get(identity, 0), process.memory_info().rss)
            for *key, length in self.airflow.rows(
                "select run_id, task_id, key, length(value) from xcom where dag_id = ?", self.dag_id
            ):
                self.xcom[tuple(key)] = length


def moment(stored: str) -> float:
    """Seconds since 1970 of a date-time in Airflow's SQLite."""
    return datetime.fromisoformat(stored).replace(tzinfo=timezone.utc).timestamp()


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
