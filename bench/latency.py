"""From an event to the webhook, through the watch, with the settings of ``make airflow``."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from auth0_webhooks.waits import WAITS
from bench.support.results import Figure, Part, at_most, draw
from bench.support.stack import NEVER, moment, stack

ROUTE = {
    "auth0_conn_id": "auth0_bench",
    "webhook_conn_id": "webhook_bench",
    "schedule": NEVER,
    "start_from": "now",
    "exclude_types": [],
    "log_types": ["f"],
    "watch": 3,
}
LATENCIES = 20
UNMEASURED = 2
"""The first events after the DAG is enabled wait for the watch: Airflow starts it when it next reads the DAG file."""


def run(say: Callable[[str], None]) -> list[Part]:
    """Deliver single events at random times, through the watch, in an Airflow of their own with one route, as it is shipped."""
    chance = random.Random(7)
    with (
        tempfile.TemporaryDirectory(prefix="auth0-webhooks-bench-", ignore_cleanup_errors=True) as home,
        stack(Path(home), {"latency": ROUTE}) as up,
    ):
        up.switch("latency", on=True)
        up.airflow.wait_until(lambda: up.airflow.runs("latency") and up.has_ended("latency"), "the scheduled run ends", 120)
        up.webhook.forget()
        took, stages = [], []
        for number in range(UNMEASURED + LATENCIES):
            time.sleep(chance.uniform(0.5, 2))
            added = time.time()
            up.tenant("add", "f")
            up.airflow.wait_until(lambda number=number: up.webhook.counted().posts > number, "the event arrives", 120)
            took.append((last := up.webhook.counted().last) - added)
            ends = "select max(end_date) from task_instance where dag_id = 'latency' and task_id = ?"
            fetched, filtered = (moment(up.airflow.rows(ends, task)[0][0]) for task in ("fetch", "filter"))
            stages.append((fetched - added, filtered - fetched, last - filtered))
    del took[:UNMEASURED], stages[:UNMEASURED]
    values = tuple(sorted(took))
    p50, p95 = statistics.median(values), statistics.quantiles(values, n=20, method="inclusive")[-1]
    say(f"latency: {p50:.2f} s at the median, {p95:.2f} s at p95, {values[-1]:.2f} s at most")
    part = Part(
        "Latency",
        f"From an event's appearing in the tenant's log to its arrival at the webhook, {LATENCIES} single events at random "
        "times, some seconds apart, with one route, the settings of `make airflow` and `watch: 3`. Because events come, the "
        "watch looks each second; the first event after a quiet minute waits for it a second longer on average. Three tasks are "
        "scheduled in between.",
        ("p50", "p95", "most"),
        [(f"{p50:.1f} s", f"{p95:.1f} s", f"{values[-1]:.1f} s")],
    )
    to_fetch, to_filter, to_webhook = (statistics.median(stage) for stage in zip(*stages, strict=True))
    why = (
        f"`fetch` hands on an event once it is {WAITS.settle:g} s old, since Auth0 may show an older one a bit later. At the "
        f"median `fetch` ends {to_fetch:.2f} s after the event, `filter` {to_filter:.2f} s later, and the event arrives "
        f"{to_webhook:.2f} s after that, most of which Airflow takes to start the two tasks."
    )
    part.targets += [
        at_most(Figure("event to webhook, p50, s", (p50,)), 3.5, why),
        at_most(Figure("event to webhook, p95, s", (p95,)), 5, why),
    ]
    part.pictures.append(
        draw(
            "latency",
            "From event to webhook",
            "share of events",
            "seconds",
            {"events": [((rank + 1) / len(values), value) for rank, value in enumerate(values)]},
        )
    )
    return [part]
