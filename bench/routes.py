"""An event that many routes of one tenant want: how long until all of them have delivered it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.support.results import Figure, Part, at_most
from bench.support.stack import NEVER, Stack, stack

WANTED = {"f": (1, 2), "fp": (20, 2), "fu": (50, 1)}
"""How many routes want an event of each of these types, and how often one is sent."""
COUNT = 50
UNPAUSED = {"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False"}


def run(say: Callable[[str], None]) -> list[Part]:
    """Measure with the settings of ``make airflow``."""
    part = Part(
        "One event for many routes",
        f"{COUNT} routes of one file on one tenant, `watch: 3`, with the settings of `make airflow`. Seconds from an event's "
        "appearing in the tenant's log to its arrival at the last of the webhooks of the routes that want it.",
        ("routes that want it", "seconds"),
    )
    with (
        tempfile.TemporaryDirectory(prefix="auth0-webhooks-bench-", ignore_cleanup_errors=True) as home,
        stack(Path(home), routes_of(COUNT), environment=UNPAUSED) as up,
    ):
        wait_for_first_runs(up, COUNT)
        _event(up, "f", WANTED["f"][0])  # this one also waits until the triggerer has started the watches
        for kind, (count, rounds) in WANTED.items():
            took = tuple(_event(up, kind, count) for _ in range(rounds))
            figure = Figure(f"seconds until {count} routes have delivered an event", took)
            part.rows.append((f"{count}", str(figure)))
            say(f"an event for {count} of {COUNT} routes: {figure} s")
            if count == 20:
                part.targets.append(at_most(figure, 20))
    return [part]


def routes_of(count: int) -> dict[str, dict[str, object]]:
    """So many routes that no schedule starts again: of each type, the first want it, as many as ``WANTED`` says."""
    return {
        f"route_{number:03d}": {
            "auth0_conn_id": "auth0_bench",
            "webhook_conn_id": "webhook_bench",
            "schedule": NEVER,
            "start_from": "now",
            "log_types": [kind for kind, (routes, _) in WANTED.items() if number < routes] or ["slo"],
        }
        for number in range(count)
    }


def wait_for_first_runs(up: Stack, count: int) -> None:
    """Wait until each route has run."""
    query = "select count(distinct dag_id) from dag_run where dag_id like 'route%' and state = 'success'"
    up.airflow.wait_until(lambda: up.airflow.rows(query)[0][0] >= count, "each route has run", 60 + 4 * count)
    up.wait_for_all_runs()


def _event(up: Stack, kind: str, routes: int) -> float:
    up.webhook.forget()
    added = time.time()
    up.tenant("add", kind)
    up.airflow.wait_until(lambda: up.webhook.counted().posts >= routes, f"the event is with {routes} routes", 60 + 4 * routes)
    last = up.webhook.counted().last
    up.wait_for_all_runs()
    time.sleep(3)
    return last - added
