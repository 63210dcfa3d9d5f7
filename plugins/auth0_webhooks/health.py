"""Whether a route is well: what its last live runs came to, kept in a Variable for the watch, the alarm and people."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Literal

from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowRuntimeError

from auth0_webhooks.checkpoint import iso, parse_time
from auth0_webhooks.errors import AirflowUnavailableError
from auth0_webhooks.variables import read_variable

TELL_AGAIN = timedelta(days=1)
"""How often a person is told while a route stays bad."""

MOST_UNTOLD = 20
"""How much waits for a person who cannot be told; then the oldest is given up."""

Change = Literal["bad", "still bad", "well", "gap"]


@dataclass(frozen=True)
class State:
    """What is wrong, since when and since which run, and when a person was told last (UTC, ISO 8601).

    ``problem`` is empty where the route is well and a person is yet to be told. ``gap`` is where the gap began that was
    found last. ``untold`` holds what a person could not be told yet, each a change and its words, the oldest first.
    """

    problem: str
    run_id: str
    since: str
    told: str
    gap: str = ""
    untold: list[list[str]] = field(default_factory=list)


class Health:
    """The state of one route. A route without the Variable is well."""

    def __init__(self, route: str) -> None:
        self.key = f"{route}_health"

    def load(self) -> State | None:
        """What is wrong; None when the route is well.

        :raises AirflowUnavailableError: when it cannot be read.
        """
        try:
            return State(**json.loads(read_variable(self.key) or "null"))
        except (ValueError, TypeError):
            return None

    def is_left_to_the_clock(self) -> bool:
        """Whether the last live run failed or is held; no when that cannot be told."""
        try:
            state = self.load()
        except AirflowUnavailableError:
            return False
        return state is not None and state.problem.startswith(("failed", "held"))

    def note(self, problem: str | None, run_id: str, gap: str | None = None, now: datetime | None = None) -> list[list[str]]:
        """Take down how a live run ended.

        :param problem: what is wrong, or None.
        :param gap: the time whose events are gone, as the report has it; the same gap is found anew until a run succeeds.
        :returns: what a person is to be told, each a change and its words: not the same each run, but once a day while it
            stays bad. It counts as not told until :meth:`told` is called.
        :raises AirflowUnavailableError: when it cannot be read or stored.
        """
        now, before = now or datetime.now(timezone.utc), self.load()
        bad_before = before if before and before.problem else None
        messages, found = list(before.untold) if before else [], before.gap if before else ""
        if gap and (began := gap.partition(" .. ")[0]) != found:
            messages.append(["gap", gap])
            found = began
        due = bad_before is None or not bad_before.told or now - parse_time(bad_before.told) >= TELL_AGAIN
        if problem and due:
            messages.append(["still bad" if bad_before else "bad", problem])
        if bad_before and not problem:
            messages.append(["well", bad_before.problem])
        since, told = (bad_before.since, bad_before.told) if bad_before else (iso(now), "")
        state = State(problem or "", run_id, since, iso(now) if due else told, found, messages[-MOST_UNTOLD:])
        self._store(state, before)
        return state.untold

    def told(self, count: int) -> None:
        """A person was told the first ``count`` of what :meth:`note` returned; the next run is to tell the others."""
        if (state := self.load()) and count:
            self._store(replace(state, untold=state.untold[count:]), state)

    def _store(self, state: State, before: State | None) -> None:
        if state.problem or state.untold:
            self._save(state)
        elif before:
            self._delete()

    def _save(self, state: State) -> None:
        try:
            Variable.set(self.key, json.dumps(asdict(state), indent=1), description="What is wrong with a route. Safe to delete.")
        except AirflowRuntimeError as error:
            raise AirflowUnavailableError(f"Variable {self.key!r} cannot be stored: {error.error.error}") from None

    def _delete(self) -> None:
        try:
            Variable.delete(self.key)
        except AirflowRuntimeError as error:
            raise AirflowUnavailableError(f"Variable {self.key!r} cannot be removed: {error.error.error}") from None
