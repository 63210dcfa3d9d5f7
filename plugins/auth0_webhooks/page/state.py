"""The state of a route in words: is it healthy, since when, and what to do. Imports nothing of Airflow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from auth0_webhooks.model.checkpoint import Checkpoint
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


NOTHING = "Nothing"
UNPAUSE = "Press Unpause: no run starts while the DAG is paused."
TRIES_AGAIN = f"{NOTHING}: the next run tries again. To try at once, press Run now."
SLOW = "See whether the lag falls from run to run. If it grows, see the outcome of the last run, and set concurrent_calls: auto."
SEE_LOG = "Open the last run in Airflow, and remove the cause that the log of its failed task names. Then press Run now."
_WAITING = {
    "limit": (
        "the log holds more than one run takes: the next run continues",
        f"{NOTHING}, if the lag falls from run to run. If it grows, set max_logs_per_run higher.",
    ),
    "rate limit": (
        "the tenant's rate limit is used up but for the reserve: the next run continues",
        f"{NOTHING}, if the lag falls from run to run. If it grows, set api_reserve lower in {{tenant}}.",
    ),
}
"""What a route with waiting events waits for and what to do, by what its last run stopped at."""
_CORRECT_SETTING = "Correct what it names, then press Run now."
_CONTINUES = f"{NOTHING}: the next run continues from the checkpoint. To start it at once, press Run now."
AFTER = {
    "AirflowUnavailableError": TRIES_AGAIN,
    "BatchMissingError": _CONTINUES,
    "BatchesMixedError": _CONTINUES,
    "BudgetUsedError": TRIES_AGAIN,
    "CheckpointExpiredError": "Press Move the checkpoint, and choose a time that the tenant's log still holds.",
    "DeadLetterStoreError": "Make the route's dead_letter_path readable and writable for its tasks, then press Run now.",
    "DeliveryStalledError": _CONTINUES,
    "EndpointUnavailableError": "Get the webhook to answer 2xx in time. Each run tries again; to try at once, press Run now.",
    "EndpointWrongError": "Correct the webhook, or {webhook} under Admin > Connections. Then press Run now.",
    "EventRefusedError": "Correct the webhook, or set on_reject: dead_letter. Then press Run now.",
    "SettingError": _CORRECT_SETTING,
    "TenantDeniedError": "Correct {tenant} under Admin > Connections, or the application's grant in Auth0. Then press Run now.",
    "TenantRateLimitedError": TRIES_AGAIN,
    "TenantRefusedError": _CORRECT_SETTING,
    "TenantUnavailableError": TRIES_AGAIN,
}
"""What to do after a run that failed, by the class of its error; ``SEE_LOG`` where it is not here, or not known."""


class State(NamedTuple):
    """The state of a route: ``code`` is well, waiting, held, failing, gap or new; ``since`` is ISO 8601 where it is known.

    With ``at_least`` it may have been so for longer: no older run was looked at. ``todo`` is what a person should do, empty if
    there is nothing to say.
    """

    code: str
    words: str
    since: str | None = None
    at_least: bool = False
    todo: str = ""


def state_of(stored: Stored, checkpoint: Checkpoint | None, fault: str | None, now: datetime) -> State:
    """The state of a route.

    :param fault: why its checkpoint cannot be read, if it cannot.
    """
    found = _state(stored, checkpoint, fault, now)
    connections = (stored.settings.webhook_conn_id, stored.settings.auth0_conn_id) if stored.settings else (None, None)
    webhook, tenant = (f"connection {name!r}" if name else "the route's connection" for name in connections)
    todo = found.todo.format(webhook=webhook, tenant=tenant)
    if stored.paused:
        own = found.code in {"failing", "gap"} and not todo.startswith(NOTHING)
        todo = f"{todo} Before a run, press Unpause: none starts while the DAG is paused." if own else UNPAUSE
    return found._replace(todo=todo)


def _state(stored: Stored, checkpoint: Checkpoint | None, fault: str | None, now: datetime) -> State:
    if fault:
        return State("failing", fault, todo="Press Move the checkpoint, and choose where the route is to continue.")
    health = _health(stored.health)
    hold = checkpoint.hold if checkpoint else None
    if hold and hold.until > now:
        words = f"held until {hold.until:%Y-%m-%d %H:%M} UTC: {hold.reason}"
        todo = f"{NOTHING}: the first run after that tries again. If the webhook is ready earlier, press Lift the hold."
        return State("held", words, moment(health.get("since")), todo=todo)
    return _noted(stored, health) or _by_runs(stored, checkpoint)


def _noted(stored: Stored, health: dict[str, Any]) -> State | None:
    """The problem that the last live run noted, if any."""
    problem, since = str(health.get("problem") or ""), moment(health.get("since"))
    if problem.startswith("held"):
        return State("waiting", "the hold is over: the next run tries the webhook again", since, todo=TRIES_AGAIN)
    if problem.startswith("failed"):
        todo = AFTER.get(str(health.get("error")), SEE_LOG)
        return State("failing", problem.removeprefix("failed: "), since, todo=todo)
    if problem.startswith("set aside: "):
        todo = "Correct what the answer names, then press Send dead letters again."
        return State("waiting", f"dead letters: {problem.removeprefix('set aside: ')}", since, todo=todo)
    if problem.startswith("events have been waiting"):
        return State("waiting", "events have been waiting for longer than alarm_lag_seconds", since, todo=_behind(stored)[1])
    return State("waiting", problem, since, todo=SEE_LOG) if problem else None


def _by_runs(stored: Stored, checkpoint: Checkpoint | None) -> State:
    live = [run for run in stored.runs if run.live]
    if not live:
        if checkpoint:
            return State("well", "no event is known to wait")
        return State("new", "no live run has ended yet", todo=f"{NOTHING}: its schedule starts the first run. Or press Run now.")
    since, at_least = _same_since(live)
    if _lags(live[0]):
        words, todo = _behind(stored)
        return State("waiting", words, since, at_least, todo)
    if gaps := [run for run in live if (run.report or {}).get("gap")]:
        words = f"events of {(gaps[0].report or {})['gap']} had left the tenant's log before they were read"
        todo = "They cannot be read again. Let runs start more often, by schedule or watch, before more leave the log."
        return State("gap", words, iso(gaps[-1].ended) if gaps[-1].ended else None, todo=todo)
    return State("well", "every selected event is delivered", since, at_least)


def _behind(stored: Stored) -> tuple[str, str]:
    """Why events wait, and what to do, by what the last live run stopped at."""
    last = next((run.report or {} for run in stored.runs if run.live), {})
    return _WAITING.get(str(last.get("stopped")), ("events are waiting", SLOW))


def _lags(run: Run) -> bool:
    return bool((run.report or {}).get("lag_seconds"))


def _same_since(live: Sequence[Run]) -> tuple[str | None, bool]:
    """Since when live runs, the newest first, end as the last one did; and whether it may have been so for longer."""
    bad = [run.state == "failed" or _lags(run) for run in live]
    same = bad.index(not bad[0]) if (not bad[0]) in bad else len(bad)
    ended = live[same - 1].ended
    return iso(ended) if ended else None, same == len(bad)


def _health(text: str | None) -> dict[str, Any]:
    try:
        health = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return health if isinstance(health, dict) else {}


def moment(value: Any) -> str | None:
    """A time that people may have edited, as ISO 8601 in UTC; None if it is not a time."""
    try:
        return iso(parse_time(value))
    except (ValueError, OverflowError):
        return None
