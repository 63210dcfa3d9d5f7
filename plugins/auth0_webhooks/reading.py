"""What a live run reads: from the checkpoint on, or from a start in time."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal, Protocol

from auth0_webhooks.checkpoint import iso, parse_time
from auth0_webhooks.errors import (
    CheckpointExpiredError,
    TenantRateLimitedError,
    TenantRefusedError,
    WindowTooLargeError,
)
from auth0_webhooks.events import LogEvent, Position, ingested, log_id_order
from auth0_webhooks.window import Window, WindowReading

log = logging.getLogger(__name__)

OLDEST = "1970-01-01T00:00:00.000Z"

SHORTEST_RETENTION = timedelta(days=1)
"""No plan of Auth0 keeps an event for less: https://auth0.com/docs/deploy-monitor/logs/log-data-retention."""


class Tenant(Protocol):
    """The part of :class:`auth0_webhooks.tenant.TenantHook` that reading needs."""

    def pages(self, start: Position) -> Iterator[list[LogEvent]]:
        """The events after a log id, a page at a time."""

    def search(self, since: str, until: str | None = None, page: int = 0) -> list[LogEvent]:
        """A page of the events since a time, by date."""

    def has(self, log_id: str) -> bool:
        """Whether an event is still in the log."""


@dataclass
class Reading:
    """A live run's way through the log.

    ``end`` is the place after everything read so far. ``stopped`` says why the end of the log was not reached
    ("limit", "rate limit"), or is None; set to "hold" beforehand it keeps anything from being read. ``gap`` is the time
    whose events are gone (from, to), or None.

    :param retention: how long the tenant keeps an event; a checkpoint that is older is asked for before it is relied on.
    :param on_gap: "stop" raises instead of going on after a gap.
    """

    tenant: Tenant
    start: Position
    limit: int
    retention: timedelta = SHORTEST_RETENTION
    on_gap: Literal["go_on", "stop"] = "go_on"
    read: int = 0
    stopped: Literal["limit", "rate limit", "hold"] | None = None
    gap: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        self.end = self.start

    def events(self) -> Iterator[LogEvent]:
        """Read up to ``limit`` events, ascending by log id.

        A rate limit that comes after the first page ends the reading early instead of sleeping: what was read is
        handed on, and the next run goes on from there.

        :raises CheckpointExpiredError: when the checkpoint's event is gone and ``on_gap`` is "stop".
        :raises WebhookRouteError: one of the Tenant errors.
        """
        began = datetime.now(timezone.utc)
        for page in () if self.stopped else self._pages():
            for event in page[: self.limit - self.read]:
                self.read += 1
                self.end = event.position
                yield event
            if self.read >= self.limit:
                self.stopped = "limit"
                return
        if self.start.log_id and self.end == self.start and not self.stopped and self._older_than(SHORTEST_RETENTION / 4):
            # Nothing new by now: should the checkpoint's event leave the log of a quiet tenant, nothing is missing.
            self.end = self.start._replace(date=iso(began))

    def _pages(self) -> Iterator[list[LogEvent]]:
        try:
            if self.start.log_id is None:
                yield from self._pages_since(str(self.start.date))
            elif self._older_than(self.retention) and self._expired():
                yield from self._pages_after_gap()
            else:
                try:
                    yield from self.tenant.pages(self.start)
                except TenantRefusedError as error:
                    if error.status != 400 or self.read or not self._expired():
                        hint = "" if self.start.seen else "; the checkpoint was set by hand: a date-time always works there"
                        raise TenantRefusedError(f"{error}{hint}", status=error.status) from None
                    yield from self._pages_after_gap()
        except TenantRateLimitedError as error:
            if not self.read:
                raise
            log.warning("%s; %d events read so far are handed on, the next run reads the rest", error, self.read)
            self.stopped = "rate limit"

    def _pages_since(self, since: str) -> Iterator[list[LogEvent]]:
        """From a time on: the event of the smallest id among those not before it, and what follows that by id."""
        first = self._smallest_id_since(parse_time(since))
        if first:
            yield [first._replace(previous=self.start)]
            yield from self.tenant.pages(first.position)

    def _smallest_id_since(self, since: datetime) -> LogEvent | None:
        """Late events carry early dates, so the first by date need not be the first by id.

        An id carries the time at which Auth0 took the event in, and nothing is taken in before it happens: from that time
        of the smallest id on (and a minute, for clocks that differ) no event can have a smaller one. Where an id tells no
        time, its event is taken to have come in within an hour.
        """
        smallest: LogEvent | None = None
        until = datetime.now(timezone.utc) + timedelta(days=1)
        try:
            for event in WindowReading(self.tenant, Window(since, until), limit=sys.maxsize).events():
                if smallest is None or log_id_order(event.log_id) < log_id_order(smallest.log_id):
                    smallest = event
                taken_in = ingested(smallest.log_id) or parse_time(smallest.date) + timedelta(hours=1)
                if parse_time(event.date) > taken_in + timedelta(minutes=1):
                    break
        except WindowTooLargeError as error:
            if smallest is None:
                raise  # nothing to start at, and a log that is not empty
            log.warning("%s: starting at the smallest log id before that", error)
        return smallest

    def _older_than(self, span: timedelta) -> bool:
        try:
            return datetime.now(timezone.utc) - parse_time(self.start.date) > span
        except ValueError:
            return False  # a position without a date

    def _expired(self) -> bool:
        """Whether the checkpoint's own event is gone: asked of the tenant, never guessed. Nobody knows it of a position."""
        return self.start.seen and not self.tenant.has(str(self.start.log_id))

    def _pages_after_gap(self) -> Iterator[list[LogEvent]]:
        """What is left after the checkpoint, whose own event is gone."""
        pages = self._pages_since(OLDEST)
        first = next(pages, [])
        here = log_id_order(str(self.start.log_id))
        if self._older_than(SHORTEST_RETENTION) and (not first or log_id_order(first[0].log_id) > here):
            self._report_gap(first)
        if not first:
            # Nothing is left to start from: the next run begins with whatever there is by then.
            self.end = Position(None, OLDEST)
            return
        # Where older events than the checkpoint's are left, nothing is missing, and they were done with before.
        previous = self.start
        for page in itertools.chain([first], pages):
            new = [event for event in page if log_id_order(event.log_id) > here]
            if new:
                yield [new[0]._replace(previous=previous), *new[1:]]
                previous = new[-1].position

    def _report_gap(self, first: list[LogEvent]) -> None:
        lost_from, lost_to = str(self.start.date), iso(datetime.now(timezone.utc))
        if first:
            # A late event's date can lie before the gap; then the time at which it was taken in ends it.
            ends = (parse_time(first[0].date), ingested(first[0].log_id))
            lost_to = next((iso(end) for end in ends if end and end > parse_time(lost_from)), lost_to)
        self.gap = (lost_from, lost_to)
        gone = (
            f"the checkpoint's event of {lost_from} is no longer in the tenant's log: what happened from then to {lost_to} can "
        )
        if self.on_gap == "stop":
            raise CheckpointExpiredError(
                f"{gone}no longer be read. The route is to stop at a gap (on_gap: stop): to go on from the oldest event left "
                "delete the checkpoint's Variable, or set it to a date-time; see the DAG's docs"
            )
        log.warning("%sno longer be read; going on from the oldest event left", gone)


def first_position(start_from: str | datetime) -> Position:
    """Where a route without a checkpoint begins: ``oldest``, ``now`` or a time."""
    if start_from == "oldest":
        return Position(None, OLDEST)
    moment = datetime.now(timezone.utc) if isinstance(start_from, str) else start_from
    return Position(None, iso(moment))
