"""Stores the progress of a window's delivery in the task state store of its ``deliver`` task.

The live checkpoint is not involved. Task state survives a task's retries, and in Airflow 3.3 also the clearing of a task.
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
    """Stores a window's position for the next try, and for a failed run that is cleared.

    :param fingerprint: digest of the window and its selected events. Progress is valid only for these: if other events
        precede the position, such as a late one, they would never be sent.
    :param fetch: which run of ``fetch`` read them. Once a window is delivered, fetching it again delivers it again.
    """

    on_hold = "clear this run after that time to send the remaining events"

    def __init__(self, store: StateStore, *, fingerprint: str, fetch: str) -> None:
        self._store, self._fingerprint, self._fetch = store, fingerprint, fetch
        self._checkpoint: Checkpoint | None = None

    def load(self) -> Checkpoint | None:
        """The position reached, or None to start at the beginning of the window.

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
        """Store the progress. A hold is not stored: a person clears the failed run when it is over.

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
        """Mark the window as delivered: if it is fetched again, it is delivered again."""
        if self._checkpoint:
            self.save(self._checkpoint, complete=True)
