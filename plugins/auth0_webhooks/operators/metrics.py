"""The metrics of a route, and what the spans of its tasks say: both go through Airflow's own, wherever it is set to send them.

Each metric has the tag ``route``, the buckets of the histogram ``le`` as well; no other, so that their number stays small.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from auth0_webhooks.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auth0_webhooks.operators.ledger import Report

BUCKETS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 21_600, 86_400)
"""Upper bounds of the buckets of the delivery's latency, in seconds; one more has no bound."""

SPAN = (
    "route", "mode", "dry_run", "read", "stopped", "api_requests", "api_limit", "api_remaining", "api_waited",
    "excluded", "below_level", "other_type", "not_matching", "undecided", "unknown_type", "selected",
    "delivered_now", "delivered_before", "dead_lettered", "refused", "not_reached", "repeated", "retried", "posts",
    "slowest_answer", "lag_seconds",
)  # fmt: skip
"""What a task's span says of its run, by the keys of the report: counts, and words of this project. No text from outside."""


class Latencies:
    """How long after their dates the events of a run were acknowledged.

    It is sent as counters, one for each bucket of Prometheus' histogram. With StatsD a timing for each event would be a packet
    for each; and timings arrive as exponential histograms by OpenTelemetry, as summaries by StatsD, so no query would fit both.
    """

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def note(self, date: str) -> None:
        """Count an event that was acknowledged now.

        :param date: the event's date as Auth0 wrote it; an event without a readable one is not counted.
        """
        try:
            seconds = max(0.0, time.time() - parse_time(date).timestamp())
        except ValueError:
            return
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds

    def buckets(self) -> dict[str, int]:
        """How many events took at most so many seconds, by bound. The last one is ``Inf``: StatsD names have no ``+``."""
        return dict(zip([*map(str, BUCKETS), "Inf"], accumulate(self._counts), strict=True))

    def send(self, tags: Mapping[str, str]) -> None:
        """Send them."""
        from airflow.sdk.observability import stats

        buckets = self.buckets()
        for bound, count in buckets.items():
            stats.incr("auth0_webhooks.delivery_seconds_bucket", count, tags={**tags, "le": bound})
        stats.incr("auth0_webhooks.delivery_seconds_count", buckets["Inf"], tags={**tags})
        # Airflow's types say int; all three kinds of metrics take fractions.
        stats.incr("auth0_webhooks.delivery_seconds_sum", cast("int", round(self._seconds, 3)), tags={**tags})


def count_run(report: Report, retention_days: int | None, *, known: bool, latencies: Latencies | None = None) -> None:
    """Send what a run, or a try of it, did.

    Counters are sent even when they are 0: Prometheus sees no increase in the first value of a series.

    :param known: whether the report tells how far the route is; if it does not, no gauge is better than one that looks healthy.
    """
    from airflow.sdk.observability import stats

    tags = {"route": report.route}
    if report.dry_run:
        return
    stats.incr("auth0_webhooks.delivered", report.delivered_now, tags=tags)
    stats.incr("auth0_webhooks.dead_lettered", report.dead_lettered, tags=tags)
    if report.window:
        return
    count_failed(report.route, 0)
    (latencies or Latencies()).send(tags)
    if not known:
        return
    stats.gauge("auth0_webhooks.last_run_timestamp_seconds", round(time.time()), tags=tags)
    stats.gauge("auth0_webhooks.lag_seconds", report.lag_seconds, tags=tags)
    left = report.seconds_to_loss(retention_days)
    if left is not None:
        stats.gauge("auth0_webhooks.seconds_to_retention_loss", left, tags=tags)


def count_failed(route: str, runs: int = 1) -> None:
    """Send that live runs of a route failed."""
    from airflow.sdk.observability import stats

    stats.incr("auth0_webhooks.failed_runs", runs, tags={"route": route})


def count_requests(route: str, figures: Mapping[str, Any]) -> None:
    """Send what a try of ``fetch`` asked of the Management API, and what its answers said of the tenant's rate limit.

    :param figures: ``api_requests``, ``api_limit``, ``api_remaining`` and ``api_rate``, as in the report.
    """
    from airflow.sdk.observability import stats

    tags = {"route": route}
    stats.incr("auth0_webhooks.api_requests", figures["api_requests"], tags=tags)
    if figures["api_limit"] is not None:
        stats.gauge("auth0_webhooks.api_limit", figures["api_limit"], tags=tags)
    if figures["api_remaining"] is not None:
        stats.gauge("auth0_webhooks.api_remaining", figures["api_remaining"], tags=tags)
    if figures["api_rate"] is not None:
        stats.gauge("auth0_webhooks.api_rate", figures["api_rate"], tags=tags)


def describe_span(figures: Mapping[str, Any]) -> None:
    """Set attributes of the span that Airflow made for this task; nothing happens where Airflow sends no traces.

    :param figures: by keys of the report; only those of ``SPAN``, and ``answers``, become attributes.
    """
    from airflow.sdk.observability import trace

    known = {key: figures[key] for key in SPAN if figures.get(key) is not None}
    answers = {f"answers.{status}": count for status, count in figures.get("answers", {}).items()}
    trace.get_current_span().set_attributes({f"auth0_webhooks.{key}": value for key, value in {**known, **answers}.items()})


def fail_span(error: BaseException) -> None:
    """Say in the task's span that it failed, and by which class of error: Airflow says so in the span around it only.

    The error's message stays out, because that of an unknown error can have anything in it.
    """
    from airflow.sdk.observability import trace

    span, kind = trace.get_current_span(), type(error).__name__
    span.set_status(trace.StatusCode.ERROR, kind)
    span.set_attribute("error.type", kind)
