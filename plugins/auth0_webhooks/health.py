"""Whether a route is well: what its last live runs came to, kept in a Variable for the watch, the alarm and people."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Literal

from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowRuntimeError

from auth0_webhooks.checkpoint import iso, parse_time
from auth0_webhooks.errors import AirflowUnavailableError
from auth0_webhooks.variables import read_variable

TELL_AGAIN = timedelta(days=1)
"""How often a person is told while a route stays bad."""

Change = Literal["bad", "still bad", "well"]


@dataclass(frozen=True)
class State:
    """What is wrong, since when and since which run, and when a person was told last (UTC, ISO 8601)."""

    problem: str
    run_id: str
    since: str
    told: str


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

    def is_bad(self) -> bool:
        """Whether the last live run failed or is held; no when that cannot be told."""
        try:
            return self.load() is not None
        except AirflowUnavailableError:
            return False

    def note(self, problem: str | None, run_id: str, now: datetime | None = None) -> Change | None:
        """Take down how a live run ended.

        :param problem: what is wrong, or None.
        :returns: what a person is to be told, if anything: not the same each run, but once a day while it stays bad.
        :raises AirflowUnavailableError: when it cannot be read or stored.
        """
        now, before = now or datetime.now(timezone.utc), self.load()
        if problem is None:
            if before is None:
                return None
            self._delete()
            return "well"
        if before is None:
            self._save(State(problem, run_id, since=iso(now), told=iso(now)))
            return "bad"
        due = not before.told or now - parse_time(before.told) >= TELL_AGAIN
        self._save(State(problem, run_id, before.since, told=iso(now) if due else before.told))
        return "still bad" if due else None

    def forget_telling(self) -> None:
        """Nobody could be told: the next run is to try again."""
        if state := self.load():
            self._save(replace(state, told=""))

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
