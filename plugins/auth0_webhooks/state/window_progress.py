"""How far a window's delivery is, in the task state store of its ``deliver`` task.

The live checkpoint stays out of it. Task state outlives a task's tries, and in Airflow 3.3 the clearing of a task, too.
"""

from __future__ import annotations

from typing import Any, Protocol

from airflow.sdk.exceptions import AirflowRuntimeError

from auth0_webhooks.errors import AirflowUnavailableError
from auth0_webhooks.model.checkpoint import Checkpoint, parse_checkpoint

KEY = "window_progress"


class StateStore(Protocol):
    """The part of Airflow's ``context["task_state_store"]`` that is needed."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or ``default``."""

    def set(self, key: str, value: Any) -> None:
        """Store a JSON value."""


class WindowProgress:
    """Keeps a window's place for the next try, and for a failed run that is cleared.

    :param fingerprint: digest of the window and its selected events. Progress counts only for these: with others before
        the place, as when a late event came in, it would hide what was never sent.
    :param fetch: which run of ``fetch`` read them. Once all is delivered, a window that is fetched anew is delivered anew.
    """

    on_hold = "clear this run after that time, and it sends what is left"

    def __init__(self, store: StateStore, *, fingerprint: str, fetch: str) -> None:
        self._store, self._fingerprint, self._fetch = store, fingerprint, fetch
        self._checkpoint: Checkpoint | None = None

    def load(self) -> Checkpoint | None:
        """The place reached, or None to begin at the window's start.

        :raises AirflowUnavailableError: when it cannot be read.
        """
        try:
            stored = self._store.get(KEY)
        except AirflowRuntimeError as error:
            raise AirflowUnavailableError(f"the window's progress cannot be read: {error.error.error}") from None
        if not isinstance(stored, dict) or stored.get("events") != self._fingerprint:
            return None
        if stored.get("complete") and stored.get("fetch") != self._fetch:
            return None
        self._checkpoint = parse_checkpoint(str(stored["place"]), key=KEY)
        return self._checkpoint

    def save(self, checkpoint: Checkpoint, *, complete: bool = False) -> None:
        """Store it. A hold is left out: it is the person's who clears the failed run.

        :raises AirflowUnavailableError: when it cannot be stored.
        """
        place = Checkpoint(checkpoint.position, checkpoint.acknowledged)
        stored = {"events": self._fingerprint, "fetch": self._fetch, "complete": complete, "place": place.dump()}
        try:
            self._store.set(KEY, stored)
        except AirflowRuntimeError as error:
            raise AirflowUnavailableError(f"the window's progress cannot be saved: {error.error.error}") from None
        self._checkpoint = place

    def finish(self) -> None:
        """Everything is delivered: what is fetched from now on is to be delivered anew."""
        if self._checkpoint:
            self.save(self._checkpoint, complete=True)
