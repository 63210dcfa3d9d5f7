"""Consecutive refusals: they tell a webhook that refuses single events from one that refuses everything.

The count is of events that the webhook refused and has accepted nothing since, across the runs of a route; an event that a
later try gets refused again counts once. With several POSTs in flight, an acceptance counts as later than a refusal only if
its POST started after the refusal arrived: POSTs that started earlier may have been answered before the webhook changed.
So a refused event is set aside only once a later POST was accepted, or at the end of a batch if fewer than ``MOST_REFUSED``
events in a row were refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from auth0_webhooks.model.events import LogEvent
from auth0_webhooks.webhook.answers import Answer

MOST_REFUSED = 20
"""After this many refusals in a row the fault is in the endpoint, not in the events. A probe sends as many events."""


class RefusalKeeper(Protocol):
    """Stores the log ids of consecutively refused events between runs. Both calls block."""

    def load(self) -> Sequence[str]:
        """Read the log ids."""

    def save(self, log_ids: Sequence[str]) -> None:
        """Store the log ids."""


class NotKept:
    """Stores nothing: for a replay or a backfill, whose refusals do not count for the route."""

    def load(self) -> Sequence[str]:
        """Return none."""
        return ()

    def save(self, log_ids: Sequence[str]) -> None:
        """Do nothing."""


class Refused(NamedTuple):
    """A refused event of the open batch, not set aside yet. ``after`` POSTs had started when the answer arrived."""

    place: int
    event: LogEvent
    answer: Answer
    after: int


class Refusals:
    """The consecutively refused events.

    ``probing`` means that the webhook is known to refuse everything, and has accepted nothing since.

    :param kept: the log ids that were refused in a row in earlier runs.
    """

    def __init__(self, kept: Sequence[str] = ()) -> None:
        self._row = dict.fromkeys(kept)
        self._pending: list[Refused] = []
        self.probing = len(kept) >= MOST_REFUSED

    def add(self, refused: Refused) -> None:
        """Record a refused event."""
        self._pending.append(refused)
        self._row[refused.event.log_id] = None

    def accepted(self, number: int) -> list[Refused]:
        """Record that POST ``number`` (in starting order) was accepted, so earlier refusals are about single events.

        :returns: the refused events that may be set aside now.
        """
        self.probing = False
        if not self._row:
            return []
        own = [refused for refused in self._pending if refused.after < number]
        self._pending = [refused for refused in self._pending if refused.after >= number]
        self._row = dict.fromkeys(refused.event.log_id for refused in self._pending)
        return own

    def take_all(self) -> list[Refused]:
        """The refused events that may be set aside at the end of a batch."""
        taken, self._pending = self._pending, []
        return taken

    def forget_pending(self) -> None:
        """Forget the pending refusals: they belong to an earlier pass over the events."""
        self._pending.clear()

    @property
    def pending(self) -> int:
        """How many events are refused and not set aside yet."""
        return len(self._pending)

    @property
    def is_the_endpoint(self) -> bool:
        """Whether the webhook refuses everything, as far as this run has tried."""
        return (self.pending if self.probing else len(self._row)) >= MOST_REFUSED

    @property
    def log_ids(self) -> tuple[str, ...]:
        """The log ids to store: no more than are needed to recognize an endpoint that refuses everything."""
        return tuple(self._row)[:MOST_REFUSED]
