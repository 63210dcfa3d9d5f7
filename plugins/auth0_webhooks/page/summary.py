"""What the page says about a route, worked out from what is stored. Imports nothing of Airflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from auth0_webhooks.errors import SettingError
from auth0_webhooks.model.checkpoint import Checkpoint, parse_checkpoint, parse_record
from auth0_webhooks.names import checkpoint_key, record_key
from auth0_webhooks.operators.ledger import DAY
from auth0_webhooks.page.state import Run, Stored, moment, state_of
from auth0_webhooks.settings.route import Route
from auth0_webhooks.times import iso, parse_time


def summary(stored: Stored, now: datetime) -> dict[str, Any]:
    """One route as the page shows it; all times are ISO 8601 in UTC, all spans seconds."""
    checkpoint, instead, fault = _checkpoint(stored)
    last = next((run for run in stored.runs if run.live), None)
    lag = lag_seconds(last, now)
    settings = stored.settings
    hold = checkpoint.hold if checkpoint else None
    report = stored.delivered or {}
    return {
        "dag_id": stored.dag_id,
        "name": stored.name,
        "paused": stored.paused,
        "state": state_of(stored, checkpoint, fault, now)._asdict(),
        "lag_seconds": lag,
        "seconds_to_loss": _seconds_to_loss(settings, lag),
        "last_delivered": moment((report.get("last_selected") or [None, None])[1]) if not report.get("not_reached") else None,
        "last_delivery": iso(stored.delivered_at) if stored.delivered_at else None,
        "last_live_run": iso(last.ended) if last and last.ended else None,
        "budget": _budget(stored.runs),
        "checkpoint": {
            "key": checkpoint_key(stored.dag_id),
            "log_id": checkpoint.position.log_id if checkpoint else None,
            "date": moment(checkpoint.position.date) if checkpoint else None,
            "hold_until": iso(hold.until) if hold else None,
            "hold_reason": hold.reason if hold else None,
            "instead": {"log_id": instead.position.log_id, "date": moment(instead.position.date)} if instead else None,
        },
        "settings": _settings(settings),
    }


def lag_seconds(last: Run | None, now: datetime) -> float | None:
    """How old the oldest event is that is known to wait: what the last live run said, and the time since; None if unknown."""
    if last is None or last.report is None:
        return None
    lag = float(last.report.get("lag_seconds") or 0.0)
    return round(lag + max(0.0, (now - last.ended).total_seconds()), 1) if lag and last.ended else lag


def _checkpoint(stored: Stored) -> tuple[Checkpoint | None, Checkpoint | None, str | None]:
    """The checkpoint, the one that the next run uses instead, and what is wrong."""
    if stored.checkpoint is None:
        return None, None, None
    key = checkpoint_key(stored.dag_id)
    try:
        found, record = parse_checkpoint(stored.checkpoint, key=key), parse_record(stored.record, key=record_key(key))
        return found, record.checkpoint if record and record.supersedes(stored.checkpoint) else None, None
    except SettingError as error:
        return None, None, str(error)
    except OverflowError:
        return None, None, f"Variable {key!r} holds a time outside the years 1 to 9999"


def _budget(runs: Sequence[Run]) -> dict[str, Any] | None:
    """What the last run that asked the tenant says of its rate limit; None if none does, as those of older versions."""
    keys = ("api_requests", "api_limit", "api_remaining", "api_rate")
    for run in runs:
        report = run.report or {}
        if report.get("api_remaining") is not None and run.ended:
            return {"at": iso(run.ended), **{key: report.get(key) for key in keys}}
    return None


def _seconds_to_loss(settings: Route | None, lag: float | None) -> float | None:
    if settings is None or not settings.retention_days or lag is None:
        return None
    return max(0.0, settings.retention_days * DAY - lag)


def _settings(route: Route | None) -> dict[str, Any] | None:
    """The settings that are shown, which the DAG's own documentation shows, too."""
    if route is None:
        return None
    shown = {"auth0_conn_id", "webhook_conn_id", "schedule", "watch", "on_reject", "retention_days", "log_types", "log_level"}
    return route.model_dump(mode="json", include=shown)


def history(
    reports: Iterable[tuple[datetime, dict[str, Any]]], *, since: datetime, until: datetime, buckets: int
) -> dict[str, Any]:
    """Delivered, dead-lettered and repeated events over time, and the log types of what was sent.

    :param reports: the time of each run and its report.
    :returns: ``buckets`` of equal length from ``since`` to ``until``, and ``types`` with their counts.
    """
    counts: list[Counter[str]] = [Counter() for _ in range(buckets)]
    types: Counter[str] = Counter()
    length = (until - since) / buckets
    for ended, report in reports:
        if report.get("dry_run") or not since <= ended <= until:
            continue
        bucket = counts[min(buckets - 1, int((ended - since) / length))]
        bucket["delivered"] += _count(report, "delivered_now")
        bucket["dead_lettered"] += _count(report, "dead_lettered")
        bucket["repeated"] += _count(report, "repeated")
        if _count(report, "delivered_now"):
            types.update({str(kind): int(count) for kind, count in (report.get("selected_types") or {}).items()})
    return {
        "buckets": [
            {"since": iso(since + number * length), **{key: count[key] for key in ("delivered", "dead_lettered", "repeated")}}
            for number, count in enumerate(counts)
        ],
        "types": dict(types.most_common(20)),
        "other_types": sum(count for _, count in types.most_common()[20:]),
    }


def dead_letters(listing: Run | None, dag_id: str, later: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What is known to be set aside: the last listing, and what runs have set aside since.

    :param listing: the last run of the dead letters' DAG that looked at this route.
    :param later: the reports of the route's runs that ended after it.
    """
    found = ((listing.report or {}).get(dag_id) or {}) if listing else {}
    waiting = _count(found, "left") + _count(found, "refused")
    letters = list(found.get("listed") or []) if waiting else []
    more = 0
    for report in later:
        more += _count(report, "dead_lettered")
        letters += report.get("set_aside") or []
    shown = ("log_id", "type", "date", "answer", "tries", "at")
    return {
        "listed_at": iso(listing.ended) if listing and listing.ended else None,
        "listed_by": listing.run_id if listing else None,
        "sent": _count(found, "sent"),
        "waiting": waiting,
        "unreadable": _count(found, "unreadable"),
        "since": more,
        "letters": [{key: letter.get(key) for key in shown} for letter in letters if isinstance(letter, dict)],
    }


def last_about(runs: Iterable[Run], dag_id: str) -> Run | None:
    """Of the runs of a DAG that is there for all routes, newest first, the first that has ended and reports on this one."""
    return next((run for run in runs if run.ended and run.report and dag_id in run.report), None)


def audit(runs: Iterable[Run], dag_id: str) -> dict[str, Any] | None:
    """What the last audit of a route found; None if there was none.

    :param runs: the last runs of the audit's DAG, newest first.

    ``until`` is None if it could not tell anything; ``left`` are the events that are still not accounted for.
    """
    found = last_about(runs, dag_id)
    outcome = (found.report or {})[dag_id] if found else None
    if not found or not isinstance(outcome, dict):
        return None
    unaccounted = _count(outcome, "unaccounted")
    return {
        "run_id": found.run_id,
        "ended": found.ended and iso(found.ended),
        "until": moment(outcome.get("audited_until")),
        "unaccounted": unaccounted,
        "left": unaccounted - _count(outcome, "sent") - _count(outcome, "dead_lettered"),
        "outcome": str(outcome.get("outcome") or ""),
    }


def _count(report: dict[str, Any], key: str) -> int:
    value = report.get(key)
    return value if isinstance(value, int) else 0


SPANS = {1: 24, 7: 28, 30: 30}
"""The spans that the page offers, in days, each with its number of buckets."""


def span_until(now: datetime, days: int) -> tuple[datetime, datetime]:
    """The span of whole buckets that ends with the one that is under way: hours, quarters of a day or days, in UTC.

    :param days: a key of :data:`SPANS`.
    """
    length = timedelta(days=days) / SPANS[days]
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    until = midnight + ((now - midnight) // length + 1) * length
    return until - timedelta(days=days), until


def ended_after(run: Run, when: str | None) -> bool:
    """Whether a run ended after a time (ISO 8601); yes if there is no time."""
    return when is None or (run.ended is not None and run.ended > parse_time(when))
