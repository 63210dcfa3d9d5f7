"""What many routes cost while nothing happens, with Airflow's default settings, and what one of their tasks costs."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.routes import UNPAUSED, routes_of, wait_for_first_runs
from bench.support.results import Figure, Part, at_most
from bench.support.stack import Stack, stack

COUNTS = (1, 40)
QUIET_SECONDS = 35.0
"""How long Airflow is watched while nothing is due: its DAG processor reads the files every 30 seconds."""
TICK = 300.0
"""Seconds between two scheduled runs of a route, by default."""
STARTED = 20
"""The most runs that are started to find out what one costs."""
AIRFLOWS_DEFAULTS = {
    "AIRFLOW__CORE__PARALLELISM": "32",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "300",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
    "AIRFLOW__SCHEDULER__MP_START_METHOD": "fork",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
}
"""Instead of what ``make airflow`` sets."""


def run(say: Callable[[str], None]) -> list[Part]:
    """Measure one number of routes after the other, in the same Airflow."""
    part = Part(
        "Many routes while nothing happens",
        "Routes of one file on one tenant, `watch: 3`, Airflow's default settings. Cores busy: those of all of Airflow in "
        f"{QUIET_SECONDS:g} s without runs, and what a run of each route every {TICK / 60:g} minutes adds, by the CPU of up to "
        f"{STARTED} runs that find nothing new. Seconds and CPU of a task are of those runs.",
        ("routes", "cores busy", "of them without runs", "task, s", "task, CPU s"),
    )
    with (
        tempfile.TemporaryDirectory(prefix="auth0-webhooks-bench-", ignore_cleanup_errors=True) as home,
        stack(Path(home), routes_of(COUNTS[0]), environment=UNPAUSED | AIRFLOWS_DEFAULTS) as up,
    ):
        for count in COUNTS:
            _write_routes(Path(home), count)
            wait_for_first_runs(up, count)
            time.sleep(10)  # the triggerer starts the new watches
            quiet, a_run, seconds, cpu = _measure(up, count)
            cores = quiet + a_run * count / TICK
            part.rows.append((f"{count}", f"{cores:.2f}", f"{quiet:.2f}", f"{seconds:.2f}", f"{cpu:.2f}"))
            say(f"{count} idle routes: {cores:.2f} cores, {quiet:.2f} without runs; a task {seconds:.2f} s, CPU {cpu:.2f} s")
            if count == 40:
                part.targets.append(at_most(Figure("cores busy with 40 idle routes, Airflow's defaults", (cores,)), 0.25))
    return [part]


def _write_routes(home: Path, count: int) -> None:
    (home / "dags" / "webhook_routes.yaml").write_text(json.dumps({"routes": routes_of(count)}), encoding="utf-8")
    for file in (home / "dags").glob("*.py"):
        file.touch()  # so that Airflow reads it soon


def _measure(up: Stack, count: int) -> tuple[float, float, float, float]:
    """Cores without runs, CPU seconds of a run and what it makes others do, seconds of a task, CPU seconds of a task."""
    began, before = time.monotonic(), up.cpu()
    time.sleep(QUIET_SECONDS)
    quiet = (up.cpu() - before) / (time.monotonic() - began)
    names = list(routes_of(min(count, STARTED)))
    began, before, tasks, of_tasks = time.monotonic(), up.cpu(), up.count_of_tasks(), up.cpu_of_tasks()
    for name in names:
        up.start(name, f"bench_{count}")
    up.wait_for_all_runs()
    time.sleep(6)  # a worker counts its task only after it has seen it end
    a_run = max(0.0, up.cpu() - before - quiet * (time.monotonic() - began)) / len(names)
    query = "select duration from task_instance where run_id = ? and state = 'success'"
    seconds = statistics.median(row[0] for row in up.airflow.rows(query, f"bench_{count}"))
    return quiet, a_run, seconds, (up.cpu_of_tasks() - of_tasks) / (up.count_of_tasks() - tasks)
