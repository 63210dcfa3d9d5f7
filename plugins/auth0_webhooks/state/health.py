"""The health of a route: how its last live runs ended, stored in a Variable for the watch, the alarm and people."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta, timezone
from typing import Literal

from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowRuntimeError

from auth0_webhooks.delivery.refusals import MOST_REFUSED
from auth0_webhooks.errors import AirflowUnavailableError
from auth0_webhooks.names import DEAD_LETTER_DAG_ID, health_key
from auth0_webhooks.state.variables import read_rare_variable
from auth0_webhooks.times import iso, parse_time
from auth0_webhooks.wording import counted

log = logging.getLogger(__name__)

NOTIFY_AGAIN = timedelta(days=1)
"""How often an alarm is sent while a route stays unhealthy."""

MOST_PENDING = 20
"""How many alarms that could not be sent are kept; then the oldest is dropped."""

SUSPECT_RUNS, SUSPECT_SPAN = 10, timedelta(hours=6)
"""How many runs, over how long, must fail on the same first event before it is suspected of being at fault."""
SET_ASIDE = "set aside: "
"""The first words of the problem of a route that set events aside and is healthy otherwise."""

Change = Literal["bad", "still bad", "well", "gap", "unaccounted", "summary"]
"""The ``state`` of an alarm. The last two are an audit's."""


@dataclass(frozen=True)
class Stuck:
    """The first event of the runs that failed because the webhook neither accepts nor refuses it.

    ``since`` is when the first of ``runs`` runs failed on it (UTC, ISO 8601); ``told``: an alarm named it.
    """

    log_id: str
    type: str
    since: str
    runs: int = 1
    told: bool = False

    def is_suspect(self, now: datetime) -> bool:
        """Whether the event may be at fault, not the webhook."""
        return self.runs >= SUSPECT_RUNS and now - parse_time(self.since) >= SUSPECT_SPAN


@dataclass(frozen=True)
class State:
    """What is wrong, since when and since which run, and when the last alarm was sent (UTC, ISO 8601).

    ``problem`` is empty if the route is healthy and an alarm is still to be sent; ``error`` names the class of the error of a
    run that failed. ``gap`` is where the last gap that was
    found began. ``untold`` holds the alarms that could not be sent yet, each a change and its words, the oldest first.
    ``refused`` are the log ids of the events refused in a row, across live runs, since the webhook accepted one. ``stuck`` is
    the event that the runs get no further than. ``aside`` is how many events were set aside without an alarm so far,
    ``aside_first`` names the first of them, ``aside_told`` says when the last alarm about such events was sent.
    """

    problem: str
    run_id: str
    since: str
    told: str
    gap: str = ""
    untold: list[list[str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    stuck: Stuck | None = None
    aside: int = 0
    aside_first: str = ""
    aside_told: str = ""
    error: str = ""

    @property
    def refuses_everything(self) -> bool:
        """Whether the webhook refused so many events in a row that the endpoint is at fault, not the events."""
        return len(self.refused) >= MOST_REFUSED


_HEALTHY = State("", "", "", "")


class Health:
    """The state of one route. A route without the Variable is healthy."""

    def __init__(self, route: str) -> None:
        self.key = health_key(route)

    def load(self) -> State | None:
        """What is stored; None if the route is healthy, or if the Variable is not what this project writes.

        :raises AirflowUnavailableError: when it cannot be read.
        """
        text = read_rare_variable(self.key)
        if text is None:
            return None
        try:
            stored = json.loads(text)
            stuck = Stuck(**stored["stuck"]) if stored.get("stuck") else None
            refused = [str(log_id) for log_id in stored.get("refused") or []]
            state = State(**{**stored, "stuck": stuck, "refused": refused})
            if _is_sound(state):
                return state
        except (ValueError, TypeError, AttributeError, RecursionError):
            pass
        log.warning("Variable %r is not what a run writes there, so it is ignored. Delete it", self.key)
        return None

    def waits_for_its_schedule(self) -> bool:
        """Whether the last live run failed or is held, or the webhook refuses everything; False if that is unknown."""
        try:
            state = self.load()
        except AirflowUnavailableError:
            return False
        return state is not None and (state.problem.startswith(("failed", "held")) or state.refuses_everything)

    def note(
        self,
        problem: str | None,
        run_id: str,
        gap: str | None = None,
        now: datetime | None = None,
        *,
        first: tuple[str, str] | None = None,
        sets_aside: bool = False,
        error: str = "",
    ) -> list[list[str]]:
        """Note how a live run ended.

        :param problem: what is wrong, or None.
        :param gap: the time whose events are gone, as the report has it; the same gap is found again until a run succeeds.
        :param first: log id and type of the first event that is still to be delivered, if the run failed because the
            webhook did not accept it for now.
        :param sets_aside: the route sets such an event aside automatically, so no alarm names it.
        :param error: the class of the error, if the run failed with one of this project's.
        :returns: the alarms to send, each a change and its words: not the same after each run, but once a day while the route
            stays unhealthy. They count as not sent until :meth:`told` is called.
        :raises AirflowUnavailableError: when it cannot be read or stored.
        """
        now, before = now or datetime.now(timezone.utc), self.load()
        last = before or _HEALTHY
        messages, found = list(last.untold), last.gap
        if gap and (began := gap.partition(" .. ")[0]) != found:
            messages.append(["gap", gap])
            found = began
        if last.refuses_everything and not problem:
            problem, error = last.problem, last.error  # a run that had nothing to send does not change that
        stuck, name_it = _stuck(last.stuck, first, problem, now, sets_aside=sets_aside)
        if first and stuck and stuck.told:
            problem = f"{problem}; since {stuck.since} no run got further than event {stuck.log_id} (type {stuck.type!r})"
        told_today = bool(last.aside_told) and now - parse_time(last.aside_told) < NOTIFY_AGAIN
        aside = _in_words(last) if last.aside and not told_today else ""
        if aside and problem:
            messages.append(["still bad" if last.problem else "bad", aside])
        problem = problem or aside or None
        # Another problem after set-aside events is news.
        news = last.problem.startswith(SET_ASIDE) and problem and not problem.startswith(SET_ASIDE)
        bad_before = last if last.problem and not news else None
        again = bad_before is None or not bad_before.told or now - parse_time(bad_before.told) >= NOTIFY_AGAIN
        due = again or name_it or problem == aside
        if problem and due:
            messages.append(["still bad" if bad_before else "bad", problem])
        if bad_before and not problem:
            messages.append(["well", bad_before.problem])
        since, told = (bad_before.since, bad_before.told) if bad_before else (iso(now), "")
        state = replace(
            last,
            problem=problem or "",
            run_id=run_id,
            since=since,
            told=iso(now) if due else told,
            gap=found,
            untold=messages[-MOST_PENDING:],
            stuck=stuck,
            aside=0 if aside else last.aside,
            aside_first="" if aside else last.aside_first,
            aside_told=iso(now) if aside else last.aside_told if told_today else "",
            error=error,
        )
        self._store(state, before)
        return state.untold

    def suspect(self, now: datetime | None = None) -> str | None:
        """The log id of the event that may be at fault for runs that fail. Raises what :meth:`load` raises."""
        state = self.load()
        stuck = state.stuck if state else None
        return stuck.log_id if stuck and stuck.is_suspect(now or datetime.now(timezone.utc)) else None

    def told(self, count: int) -> None:
        """The first ``count`` alarms of what :meth:`note` returned were sent; the next run sends the others."""
        if (state := self.load()) and count:
            self._store(replace(state, untold=state.untold[count:]), state)

    def note_aside(self, count: int, first: str) -> None:
        """Note that a live run set events aside, and the first of them; :meth:`note` returns an alarm at most once a day."""
        before = self.load()
        last = before or _HEALTHY
        self._store(replace(last, aside=last.aside + count, aside_first=last.aside_first or first), before)

    def keep_refused(self, log_ids: Sequence[str]) -> None:
        """Keep which events were refused in a row."""
        before = self.load()
        self._store(replace(before or _HEALTHY, refused=list(log_ids)), before)

    def _store(self, state: State, before: State | None) -> None:
        if state.problem or state.untold or state.refused or state.stuck or state.aside or state.aside_told:
            self._save(state)
        elif before:
            self._delete()

    def _save(self, state: State) -> None:
        try:
            record = {key: value for key, value in asdict(state).items() if value or key != "error"}
            Variable.set(self.key, json.dumps(record, indent=1), description="What is wrong with a route. Safe to delete.")
        except AirflowRuntimeError as error:
            raise AirflowUnavailableError(f"Variable {self.key!r} cannot be stored: {error.error.error}") from None

    def _delete(self) -> None:
        try:
            Variable.delete(self.key)
        except AirflowRuntimeError as error:
            raise AirflowUnavailableError(f"Variable {self.key!r} cannot be removed: {error.error.error}") from None


class KeptRefusals:
    """The events that the webhook refused in a row, kept with the route's health."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def load(self) -> Sequence[str]:
        """Read them. Raises what :meth:`Health.load` raises."""
        state = self._health.load()
        return state.refused if state else ()

    def save(self, log_ids: Sequence[str]) -> None:
        """Store them. Raises what :meth:`Health.keep_refused` raises."""
        self._health.keep_refused(log_ids)


def _in_words(state: State) -> str:
    return (
        f"{SET_ASIDE}{counted(state.aside, 'event')}, the first {state.aside_first}; the DAG {DEAD_LETTER_DAG_ID} lists them, "
        "and sends them again"
    )


def _stuck(
    before: Stuck | None, first: tuple[str, str] | None, problem: str | None, now: datetime, *, sets_aside: bool
) -> tuple[Stuck | None, bool]:
    """The event that the runs get no further than after one more run, and whether an alarm is to name it now."""
    if first is None:
        # A run that failed for another reason does not change it; one that succeeded got past it.
        return (before if problem else None), False
    log_id, kind = first
    stuck = replace(before, runs=before.runs + 1) if before and before.log_id == log_id else Stuck(log_id, kind, iso(now))
    name_it = stuck.is_suspect(now) and not stuck.told and not sets_aside
    return (replace(stuck, told=True) if name_it else stuck), name_it


_TYPES = {"str": str, "int": int, "bool": bool}


def _is_sound(record: State | Stuck) -> bool:
    """Whether each text is a text, each time a time, and so on: people can edit the Variable. Else ``ValueError``, too."""
    plain = ((getattr(record, one.name), _TYPES[str(one.type)]) for one in fields(record) if one.type in _TYPES)
    if not all(type(value) is kind for value, kind in plain):
        return False
    if isinstance(record, Stuck):
        return bool(parse_time(record.since))
    return (
        isinstance(record.untold, list)
        and all(isinstance(pair, list) and [type(words) for words in pair] == [str, str] for pair in record.untold)
        and all(parse_time(moment) for moment in (record.told, record.aside_told) if moment)
        and (record.stuck is None or _is_sound(record.stuck))
    )
