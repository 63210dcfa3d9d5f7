"""Refusals in a row: whether single events are refused, or the webhook refuses everything.

Counted are events that the webhook refused with nothing accepted since, across the runs of a route; an event that is
refused again by a later try counts once. Where several POSTs are under way at a time, an acceptance counts as later than a
refusal only if its POST began after the refusal had come in: what was under way before may have been answered before the
webhook changed. So a refused event is set aside only once something later was accepted, or at the end of a batch while fewer
than ``MOST_REFUSED`` were refused in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from auth0_webhooks.model.events import LogEvent
from auth0_webhooks.webhook.answers import Answer

MOST_REFUSED = 20
"""So many refused in a row and none accepted: it is the endpoint, not the events. Also how many events a probe sends."""


class RefusalKeeper(Protocol):
    """Where the log ids of the events refused in a row are kept from run to run. Both calls block."""

    def load(self) -> Sequence[str]:
        """Read them."""

    def save(self, log_ids: Sequence[str]) -> None:
        """Store them."""


class NotKept:
    """For a replay or a backfill, which says nothing about the route: it counts for itself."""

    def load(self) -> Sequence[str]:
        """None are kept."""
        return ()

    def save(self, log_ids: Sequence[str]) -> None:
        """Keep none."""


class Refused(NamedTuple):
    """An event of the open batch that was refused and is not set aside. ``after`` POSTs had begun when the answer came."""

    place: int
    event: LogEvent
    answer: Answer
    after: int


class Refusals:
    """The events refused in a row.

    ``probing`` says that the webhook is known to refuse everything, and nothing was accepted since.

    :param kept: the log ids refused in a row by former runs.
    """

    def __init__(self, kept: Sequence[str] = ()) -> None:
        self._row = dict.fromkeys(kept)
        self._pending: list[Refused] = []
        self.probing = len(kept) >= MOST_REFUSED

    def add(self, refused: Refused) -> None:
        """An event was refused."""
        self._pending.append(refused)
        self._row[refused.event.log_id] = None

    def accepted(self, number: int) -> list[Refused]:
        """The POST ``number``, counted as they began, was accepted: those that were refused before are the events' own fault.

        :returns: those that may be set aside now.
        """
        own = [refused for refused in self._pending if refused.after < number]
        self._pending = [refused for refused in self._pending if refused.after >= number]
        self._row = dict.fromkeys(refused.event.log_id for refused in self._pending)
        self.probing = False
        return own

    def take_all(self) -> list[Refused]:
        """Those that may be set aside at the end of a batch."""
        taken, self._pending = self._pending, []
        return taken

    def forget_pending(self) -> None:
        """They belong to a pass over the events that is over."""
        self._pending.clear()

    @property
    def pending(self) -> int:
        """How many events are refused and not set aside."""
        return len(self._pending)

    @property
    def is_the_endpoint(self) -> bool:
        """Whether the webhook refuses everything, as far as this run has tried."""
        return (self.pending if self.probing else len(self._row)) >= MOST_REFUSED

    @property
    def log_ids(self) -> tuple[str, ...]:
        """What is to be kept: no more than it takes to know."""
        return tuple(self._row)[:MOST_REFUSED]
