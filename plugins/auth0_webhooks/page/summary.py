"""What the page says about a route, worked out from what is stored. Imports nothing of Airflow."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from auth0_webhooks.errors import SettingError
from auth0_webhooks.model.checkpoint import Checkpoint, parse_checkpoint, parse_record
from auth0_webhooks.names import checkpoint_key, record_key
from auth0_webhooks.operators.ledger import DAY
from auth0_webhooks.settings.route import Route
from auth0_webhooks.times import iso, parse_time

LEDGER = (
    "mode", "window", "dry_run", "outcome", "read", "excluded", "below_level", "other_type", "not_matching", "selected",
    "delivered_now", "delivered_before", "dead_lettered", "refused", "not_reached", "repeated", "lag_seconds", "gap", "notes",
    "api_requests", "api_limit", "api_remaining", "api_rate", "api_waited",
)  # fmt: skip
"""The keys of a run's report that are shown: counts, times and words; no event."""


@dataclass(frozen=True)
class Run:
    """One run of a route as Airflow stores it, with its report if it has one. Times in UTC."""

    run_id: str
    run_type: str
    state: str
    began: datetime | None
    ended: datetime | None
    by: str | None
    report: dict[str, Any] | None

    @property
    def live(self) -> bool:
        """Whether its report is that of a live run, which speaks for the route."""
        report = self.report or {}
        return report.get("mode") == "live" and not report.get("dry_run")

    def as_json(self) -> dict[str, Any]:
        """For the page: the run, and its ledger (None if it left no report)."""
        ledger = {key: self.report.get(key) for key in LEDGER} if self.report else None
        times = {"began": self.began and iso(self.began), "ended": self.ended and iso(self.ended)}
        return {"run_id": self.run_id, "type": self.run_type, "state": self.state, "by": self.by, **times, "ledger": ledger}


@dataclass(frozen=True)
class Stored:
    """What is stored of one route: its Variables as texts, its last runs (newest first), its last delivering run."""

    dag_id: str
    name: str
    paused: bool
    checkpoint: str | None
    record: str | None
    health: str | None
    runs: Sequence[Run]
    delivered_at: datetime | None
    delivered: dict[str, Any] | None
    settings: Route | None


class State(NamedTuple):
    """The state of a route: ``code`` is well, waiting, held, failing, gap or new; ``since`` is ISO 8601 where it is known."""

    code: str
    words: str
    since: str | None = None


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
        "state": _state(stored, checkpoint, fault, now)._asdict(),
        "lag_seconds": lag,
        "seconds_to_loss": _seconds_to_loss(settings, lag),
        "last_delivered": _moment((report.get("last_selected") or [None, None])[1]) if not report.get("not_reached") else None,
        "last_delivery": iso(stored.delivered_at) if stored.delivered_at else None,
        "last_run": stored.runs[0].as_json() if stored.runs else None,
        "checkpoint": {
            "key": checkpoint_key(stored.dag_id),
            "log_id": checkpoint.position.log_id if checkpoint else None,
            "date": _moment(checkpoint.position.date) if checkpoint else None,
            "hold_until": iso(hold.until) if hold else None,
            "hold_reason": hold.reason if hold else None,
            "instead": {"log_id": instead.position.log_id, "date": _moment(instead.position.date)} if instead else None,
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


def _state(stored: Stored, checkpoint: Checkpoint | None, fault: str | None, now: datetime) -> State:
    if fault:
        return State("failing", fault)
    health = _health(stored.health)
    hold = checkpoint.hold if checkpoint else None
    if hold and hold.until > now:
        return State("held", f"held until {hold.until:%Y-%m-%d %H:%M} UTC: {hold.reason}", _moment(health.get("since")))
    return _noted(health) or _by_runs(stored, checkpoint)


def _noted(health: dict[str, Any]) -> State | None:
    """The problem that the last live run noted, if any."""
    problem, since = str(health.get("problem") or ""), _moment(health.get("since"))
    if problem.startswith("held"):
        return State("waiting", "the hold is over: the next run tries the webhook again", since)
    if problem.startswith("failed"):
        return State("failing", problem.removeprefix("failed: "), since)
    if problem.startswith("set aside: "):
        return State("waiting", f"dead letters: {problem.removeprefix('set aside: ')}", since)
    return State("waiting", problem, since) if problem else None


def _by_runs(stored: Stored, checkpoint: Checkpoint | None) -> State:
    reports = [run.report or {} for run in stored.runs if run.live]
    if not reports:
        return State("well", "no event is known to wait") if checkpoint else State("new", "no live run has ended yet")
    if reports[0].get("lag_seconds"):
        return State("waiting", _WAITING.get(str(reports[0].get("stopped")), "events are waiting"))
    if gaps := [report["gap"] for report in reports if report.get("gap")]:
        return State("gap", f"events of {gaps[0]} had left the tenant's log before they were read")
    return State("well", "every selected event is delivered")


_WAITING = {
    "limit": "the log holds more than one run takes: the next run continues",
    "rate limit": "the tenant's rate limit is used up but for the reserve: the next run continues",
}
"""What a route with waiting events waits for, by what its last run stopped at."""


def _health(text: str | None) -> dict[str, Any]:
    try:
        health = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return health if isinstance(health, dict) else {}


def _moment(value: Any) -> str | None:
    """A time that people may have edited, as ISO 8601 in UTC; None if it is not a time."""
    try:
        return iso(parse_time(value))
    except (ValueError, OverflowError):
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
    for moment, report in reports:
        if report.get("dry_run") or not since <= moment <= until:
            continue
        bucket = counts[min(buckets - 1, int((moment - since) / length))]
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


def audit(found: Run | None, dag_id: str) -> dict[str, Any] | None:
    """What the last audit of a route found; None if there was none.

    ``until`` is None if it could not tell anything; ``left`` are the events that are still not accounted for.
    """
    outcome = ((found.report or {}).get(dag_id) if found else None) or {}
    if not found or not isinstance(outcome, dict):
        return None
    unaccounted = _count(outcome, "unaccounted")
    return {
        "run_id": found.run_id,
        "ended": found.ended and iso(found.ended),
        "until": _moment(outcome.get("audited_until")),
        "unaccounted": unaccounted,
        "left": unaccounted - _count(outcome, "sent") - _count(outcome, "dead_lettered"),
        "outcome": str(outcome.get("outcome") or ""),
    }


def _count(report: dict[str, Any], key: str) -> int:
    value = report.get(key)
    return value if isinstance(value, int) else 0


SPANS = {1: (timedelta(days=1), 24), 7: (timedelta(days=7), 28), 30: (timedelta(days=30), 30)}
"""The spans that the page offers, in days, each with its number of buckets."""


def ended_after(run: Run, moment: str | None) -> bool:
    """Whether a run ended after a time (ISO 8601); yes if there is no time."""
    return moment is None or (run.ended is not None and run.ended > parse_time(moment))
