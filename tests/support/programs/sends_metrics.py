"""Runs of routes that send their metrics as Airflow does: python -m tests.support.programs.sends_metrics < RUNS.

RUNS is a JSON list of runs, each with the fields of its report, the latencies of its events as seconds, how many runs failed, and
what an audit found. Each run is a process of its own, which begins and ends as that of a task does.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import time
from datetime import datetime, timezone
from typing import Any

from airflow.sdk.configuration import conf
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils

from auth0_webhooks.audit.notices import count
from auth0_webhooks.audit.outcome import Outcome
from auth0_webhooks.operators.ledger import Report
from auth0_webhooks.operators.metrics import Latencies, count_failed, count_requests, count_run
from auth0_webhooks.times import iso


def send(report: dict[str, Any], latencies: list[float], failed: int, unaccounted: int) -> None:
    """Send what one run would send."""
    stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=conf.getboolean("metrics", "legacy_names_on"))
    made, seen = Report(run_id="run", **report), Latencies()
    for seconds in latencies:
        seen.note(iso(datetime.fromtimestamp(time.time() - seconds, tz=timezone.utc)))
    count_requests(made.route, made.as_dict())
    count_run(made, 30, known=True, latencies=seen)
    count_failed(made.route, failed)
    now = iso(datetime.now(timezone.utc))
    count(made.route, Outcome("tenant", now, now, unaccounted=unaccounted, audited_until=now))


def main() -> None:
    """Send the metrics of each run, in a process of its own."""
    for run in json.load(sys.stdin):
        if not (child := os.fork()):
            atexit._clear()
            try:
                send(**run)
                atexit._run_exitfuncs()
            finally:
                os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
