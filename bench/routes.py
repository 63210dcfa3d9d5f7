"""Many routes on one tenant: what an idle Airflow costs, a round of idle runs, and an event that many routes want."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.results import Figure, Part, Target, at_most
from bench.stack import Stack, stack

COUNTS = (1, 40, 100)
QUIET_SECONDS = 45.0
"""How long an Airflow is watched in which no run is due."""
TICK = 300.0
"""Seconds between two scheduled runs of a route, by default."""
WANTED = {"f": (1, 4), "fp": (20, 3), "fu": (50, 2)}
"""How many routes want an event of each of these types, and how often one is sent."""
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
UNPAUSED = {"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False"}


def run(say: Callable[[str], None]) -> list[Part]:
    """Measure with the settings of ``make airflow``, and for 40 routes with Airflow's own."""
    part = Part(
        "Many routes",
        "Routes of one file on one tenant, `watch: 3`, a schedule of every 5 minutes. Cores busy: all of Airflow, with nothing "
        "new, the runs of the schedule included: their CPU as measured in a round of one run of each route, spread over 5 "
        "minutes. An event that some routes want: seconds from its appearing in the tenant's log to its arrival at the last "
        "webhook.",
        (
            "routes",
            "settings",
            "cores busy when idle",
            "a round of runs, s",
            "task: s / CPU, s",
            *(f"event for {count}, s" for count, _ in WANTED.values()),
        ),
    )
    for settings, counts in (("make airflow", COUNTS), ("Airflow's defaults", (40,))):
        environment = UNPAUSED | (AIRFLOWS_DEFAULTS if settings != "make airflow" else {})
        with (
            tempfile.TemporaryDirectory(prefix="auth0-webhooks-bench-", ignore_cleanup_errors=True) as home,
            stack(Path(home), _routes(counts[0]), environment=environment) as up,
        ):
            for count in counts:
                _take(up, Path(home), count)
                _measure(up, part, settings, count, say)
    return [part]


def _routes(count: int) -> dict[str, dict[str, object]]:
    kinds = [kind for kind, (routes, _) in WANTED.items() for _ in range(routes)]
    return {
        f"route_{number:03d}": {
            "auth0_conn_id": "auth0_bench",
            "webhook_conn_id": "webhook_bench",
            "start_from": "now",
            "log_types": [kinds[number] if number < len(kinds) else "slo"],
        }
        for number in range(count)
    }


def _take(up: Stack, home: Path, count: int) -> None:
    """Let Airflow have this many routes, and wait until each has run, and has a watch."""
    (home / "dags" / "webhook_routes.yaml").write_text(json.dumps({"routes": _routes(count)}), encoding="utf-8")
    query = "select count(distinct dag_id) from dag_run where dag_id like 'route%' and state = 'success'"
    up.airflow.wait_until(lambda: up.airflow.rows(query)[0][0] >= count, "each route has run", 60 + 4 * count)
    up.wait_for_all_runs()
    time.sleep(10)  # the triggerer starts the new watches


def _measure(up: Stack, part: Part, settings: str, count: int, say: Callable[[str], None]) -> None:
    began, before = time.monotonic(), up.cpu()
    ran = up.count_of_tasks()
    time.sleep(QUIET_SECONDS)
    quiet = (up.cpu() - before) / (time.monotonic() - began)
    if up.count_of_tasks() > ran:
        say("a tick of the schedule fell into the quiet time: once more")
        return _measure(up, part, settings, count, say)
    began, before, tasks, of_tasks = time.monotonic(), up.cpu(), up.count_of_tasks(), up.cpu_of_tasks()
    for name in _routes(count):
        up.start(name, f"bench_{count}")
    up.wait_for_all_runs()
    took = time.monotonic() - began
    time.sleep(2)  # a worker counts its task only after it has seen it end
    tasks = up.count_of_tasks() - tasks
    each = (up.cpu_of_tasks() - of_tasks) / tasks
    query = "select duration from task_instance where run_id = ? and state = 'success'"
    seconds = statistics.median(row[0] for row in up.airflow.rows(query, f"bench_{count}"))
    cores = quiet + max(0.0, up.cpu() - before - quiet * (time.monotonic() - began)) / TICK
    say(f"{count} routes, {settings}: {cores:.2f} cores ({quiet:.2f} without runs), {took:.0f} s a round, {each:.2f} s a task")
    events = {}
    for kind, (routes, rounds) in WANTED.items():
        if sum(wanted for wanted, _ in list(WANTED.values())[: list(WANTED).index(kind) + 1]) <= max(count, 1):
            events[kind] = Figure(
                f"seconds until {routes} routes have delivered an event, {settings}",
                tuple(_event(up, kind, routes) for _ in range(rounds)),
            )
            say(f"an event for {routes}: {events[kind]} s")
    part.rows.append(
        (
            f"{count}",
            settings,
            f"{cores:.2f} ({quiet:.2f} without runs)",
            f"{took:.0f}",
            f"{seconds:.2f} / {each:.2f}",
            *(str(events.get(kind, "")) for kind in WANTED),
        )
    )
    if count == 40:
        part.targets += _targets(settings, cores, events["fp"])
    return None


def _targets(settings: str, cores: float, event: Figure) -> list[Target]:
    if settings == "make airflow":
        return [at_most(event, 20)]
    return [at_most(Figure(f"cores busy with 40 idle routes, {settings}", (cores,)), 0.25)]


def _event(up: Stack, kind: str, routes: int) -> float:
    up.webhook.forget()
    added = time.time()
    up.tenant("add", kind)
    up.airflow.wait_until(lambda: up.webhook.counted().posts >= routes, f"the event is with {routes} routes", 60 + 4 * routes)
    last = up.webhook.counted().last
    up.wait_for_all_runs()
    time.sleep(5)
    return last - added
