"""Compares the events of the log, one by one, with what one route's runs kept."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from auth0_webhooks.audit.outcome import Outcome
from auth0_webhooks.audit.passed import Order, Passed, order_of
from auth0_webhooks.errors import NothingKeptError, SettingError
from auth0_webhooks.model.events import LogEvent, Position, log_id_order
from auth0_webhooks.operators.base import checkpoint_description
from auth0_webhooks.operators.ledger import age
from auth0_webhooks.state.kept_hashes import kept_hashes, kept_since
from auth0_webhooks.state.variables import CheckpointVariable
from auth0_webhooks.times import iso

if TYPE_CHECKING:
    from auth0_webhooks.model.checkpoint import Checkpoint
    from auth0_webhooks.reading.window import Window
    from auth0_webhooks.settings.route import Route

EARLIER = timedelta(days=1)
"""Hashes of a window's events can be in the file of a run that began before the window."""


class Comparison:
    """One route: what its runs kept, and what of the log is not among it.

    The checkpoint is read first and the hashes after it, because a hash is written before the checkpoint that passes its event.

    :raises WebhookRouteError: when the route cannot be audited; its message says why, and what to do.
    """

    def __init__(self, route: Route, window: Window, outcome: Outcome) -> None:
        self.route, self.outcome = route, outcome
        self._today = route.selection
        self.checkpoint: Checkpoint | None = CheckpointVariable(
            route.checkpoint_key, description=checkpoint_description(route)
        ).load(heal=False)
        self._place = order_of(self.checkpoint.position) if self.checkpoint else None
        self._until = iso(window.until)
        self._first_waiting: str | None = None
        self._load(window)

    def _load(self, window: Window) -> None:
        since = window.since.date() - EARLIER
        try:
            first = kept_since(self.route)
        except SettingError as error:
            raise NothingKeptError(f"no hashes are kept of what runs deliver: {error}") from None
        passed, hashes = Passed(self._today), array("Q")
        for head, found in kept_hashes(self.route, since) if first else ():
            hashes.extend(found)
            if "selection" in head:
                passed.add(_position(head["start"]), _position(head["end"]), head["selection"])
        passed.join()
        self._passed, self._hashes = passed, array("Q", sorted(hashes))
        self._began: Order | None = None
        if first is None or (first >= since and passed.began is None):
            raise NothingKeptError(
                f"the runs of route {self.route.name!r} have kept no hashes yet: the first live run that reads an event begins"
            )
        # What is kept of earlier days covers the beginning of the window, unless these are the first.
        if first >= since:
            self._began, self.outcome.kept_since = passed.began, first.isoformat()

    def is_unaccounted(self, event: LogEvent, kept: int) -> bool:
        """Judge and count an event of the log.

        :param kept: its hash.
        """
        outcome, at = self.outcome, log_id_order(event.log_id)
        outcome.read += 1
        if self._has(kept):
            outcome.delivered += 1
        elif self._has(kept | 1):
            outcome.set_aside += 1
        elif self._place is None or at > self._place:
            self._count_waiting(event)
        elif self._began is not None and at <= self._began:
            outcome.not_kept += 1
        elif self._passed.wanted(event):
            outcome.name(event)
            return True
        else:
            outcome.left_out += 1
        return False

    def end(self, read_until: str | None = None) -> None:
        """The log was read up to a time, by default the end of the window."""
        outcome = self.outcome
        outcome.audited_until = min(filter(None, (read_until or self._until, self._first_waiting)))
        if outcome.waiting:
            place = self.checkpoint.position if self.checkpoint else None
            since = place.date if place and place.log_id else self._first_waiting
            outcome.lag_seconds = round(age(since, time.time()), 1)

    def _has(self, kept: int) -> bool:
        index = bisect_left(self._hashes, kept)
        return index < len(self._hashes) and self._hashes[index] == kept

    def _count_waiting(self, event: LogEvent) -> None:
        if not self._today.wants(event):
            self.outcome.left_out += 1
            return
        self.outcome.waiting += 1
        self._first_waiting = self._first_waiting or event.date


def _position(stored: Any) -> Position:
    log_id, date = stored
    return Position(log_id, date)
