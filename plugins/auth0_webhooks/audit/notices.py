"""Where the result of an audit goes besides its report: metrics, an alarm, and the daily summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auth0_webhooks.operators.alarm import tell
from auth0_webhooks.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import Context

    from auth0_webhooks.audit.outcome import Outcome
    from auth0_webhooks.settings.route import Route


def count(name: str, outcome: Outcome) -> None:
    """Send the metrics: how many events are left that nobody accounts for, and up to when all others are accounted for."""
    from airflow.sdk.observability import stats

    if outcome.audited_until:
        tags, until = {"route": name}, parse_time(outcome.audited_until).timestamp()
        stats.gauge("auth0_webhooks.unaccounted", outcome.left, tags=tags)
        stats.gauge("auth0_webhooks.audited_until_timestamp_seconds", round(until), tags=tags)


def notify(routes: Iterable[Route], outcomes: dict[str, Outcome], context: Context, *, daily: bool) -> None:
    """Send an alarm for each route with events that are not accounted for, and the summary where a route asks for it.

    :param daily: whether this audit is the day's, and not one of another window.
    """
    for route in routes:
        outcome = outcomes[route.name]
        if outcome.left:
            tell(route, "unaccounted", _problem(outcome), str(context["run_id"]), context)
        if daily and route.daily_summary:
            words = summary(outcome)
            tell(route, "summary", words, str(context["run_id"]), context, summary=_figures(outcome))


def summary(outcome: Outcome) -> str:
    """A day of a route in one line."""
    waiting = f", {outcome.waiting:,} waiting (lag {outcome.lag_seconds:,.0f} s)" if outcome.waiting else ", none waiting"
    done = f"{outcome.delivered + outcome.sent:,} delivered, {outcome.set_aside + outcome.dead_lettered:,} set aside{waiting}"
    done = done if outcome.audited_until else "what was delivered is not known"
    return f"{outcome.since} to {outcome.until}: {done}; audit: {outcome.outcome}"


def _problem(outcome: Outcome) -> str:
    first = outcome.missing[0] if outcome.missing else {}
    return (
        f"{outcome.left:,} of the {outcome.read:,} events from {outcome.since} to {outcome.until} were wanted, and no run "
        f"delivered or set aside any of them; the first is {first.get('log_id')} (type {first.get('type')!r}, "
        f"{first.get('date')}). The audit's report names them; an audit with send: true sends them"
    )


def _figures(outcome: Outcome) -> dict[str, Any]:
    return {
        "since": outcome.since,
        "until": outcome.until,
        "delivered": outcome.delivered + outcome.sent,
        "set_aside": outcome.set_aside + outcome.dead_lettered,
        "waiting": outcome.waiting,
        "lag_seconds": outcome.lag_seconds,
        "unaccounted": outcome.left,
        "audited_until": outcome.audited_until,
    }
