"""What a live run reads: from the checkpoint on, or from a start in time."""

from __future__ import annotations

import itertools
import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal, Protocol

from auth0_webhooks.errors import (
    CheckpointExpiredError,
    TenantAnswerError,
    TenantRateLimitedError,
    TenantRefusedError,
    WindowTooLargeError,
)
from auth0_webhooks.model.events import LogEvent, Position, cursor_at, ingested, log_id_order
from auth0_webhooks.reading.window import SEARCH_PAGE, SETTLE, Searching, Window, WindowReading
from auth0_webhooks.times import iso, parse_time
from auth0_webhooks.waits import WAITS

log = logging.getLogger(__name__)

OLDEST = "1970-01-01T00:00:00.000Z"
_EARLIEST = parse_time(OLDEST)

SHORTEST_RETENTION = timedelta(days=1)
"""No plan of Auth0 keeps an event for less: https://auth0.com/docs/deploy-monitor/logs/log-data-retention."""

QUIET = SHORTEST_RETENTION / 4
"""So often the tenant is asked for the checkpoint's event of a quiet log: long before a new event can leave the log."""

CLOCKS_DIFFER = timedelta(minutes=1)
"""An event is taken in after it happened; by the times of its two records it may be so much before."""


class Tenant(Searching, Protocol):
    """The part of :class:`auth0_webhooks.hooks.auth0.TenantHook` that reading needs."""

    @property
    def as_of(self) -> datetime:
        """A time up to which the last answer shows the log, at the least."""

    def pages(self, start: Position) -> Iterator[list[LogEvent]]:
        """The events after a log id, a page at a time."""

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
    :param settle: seconds; an event is handed on when it was taken in so long ago, so that none of a smaller id, which Auth0
        shows a moment later, is passed over.
    """

    tenant: Tenant
    start: Position
    limit: int
    retention: timedelta = SHORTEST_RETENTION
    on_gap: Literal["go_on", "stop"] = "go_on"
    settle: float = WAITS.settle
    sleep: Callable[[float], None] = time.sleep
    read: int = 0
    stopped: Literal["limit", "rate limit", "hold"] | None = None
    gap: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        self.end = self.start
        self._passed: Position | None = None

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
                previous, self.end = self.end, event.position
                yield event if event.previous == previous else event._replace(previous=previous)
            if self.read >= self.limit:
                self.stopped = "limit"
                return
        if not self.read and self._passed:
            self.end = self._passed
        elif self.start.log_id and self.end == self.start and not self.stopped and self._older_than(QUIET):
            # Nothing new by now: should the checkpoint's event leave the log of a quiet tenant, nothing is missing.
            self.end = self.start._replace(date=iso(began))

    def _pages(self) -> Iterator[list[LogEvent]]:
        try:
            if self.start.log_id is None:
                yield from self._pages_since(parse_time(self.start.date))
            elif (old := self._older_than(self.retention)) and self._expired():
                yield from self._pages_after_gap()
            else:
                try:
                    yield from self._pages_after(self.start)
                except TenantRefusedError as error:
                    if error.status != 400 or self.read or not self._expired():
                        hint = "" if self.start.seen else "; the checkpoint was set by hand: a date-time always works there"
                        raise TenantRefusedError(f"{error}{hint}", status=error.status) from None
                    yield from self._pages_after_gap()
                # Auth0 may answer for an event that is gone as for a quiet log: by no events.
                if not old and not self.read and self._older_than(QUIET) and self._expired():
                    yield from self._pages_after_gap()
        except TenantRateLimitedError as error:
            if not self.read and not self._passed:
                raise
            log.warning("%s; %d events read so far are handed on, the next run reads the rest", error, self.read)
            self.stopped = "rate limit"

    def _pages_after(self, place: Position) -> Iterator[list[LogEvent]]:
        """The pages after a log id, to the last event that is there; events that may hide another are waited for.

        Auth0 documents the order of log ids, not that an event is shown before all of larger ids are. This waits once; what
        comes in meanwhile is the next run's.
        """
        newest, more = None, False
        for page in self.tenant.pages(place):
            settled = list(itertools.takewhile(self._is_settled, page))
            if settled:
                yield settled
                place = settled[-1].position
            if len(settled) < len(page):
                newest, more = page[-1], len(page) == SEARCH_PAGE
                break
        if newest is None:
            return
        age = (self.tenant.as_of - _taken_in(newest)).total_seconds()
        # Where more follow the page, until all that are there by now can be read.
        self.sleep(self.settle if more else max(0.0, min(self.settle, self.settle - age)))
        last = log_id_order(newest.log_id)
        for page in self.tenant.pages(place):
            settled = [event for event in page if log_id_order(event.log_id) <= last or self._is_settled(event)]
            if settled:
                yield settled
            if len(settled) < len(page) or (settled[-1].log_id == newest.log_id and not more):
                return

    def _is_settled(self, event: LogEvent) -> bool:
        return not self.settle or self.tenant.as_of - _taken_in(event) >= timedelta(seconds=self.settle)

    def _pages_since(self, since: datetime) -> Iterator[list[LogEvent]]:
        """Whatever happened, or was taken in, from a time on.

        Read on from a log id that is made of the time and belongs to no event. That this is a place to Auth0 is not documented,
        so it is checked by what comes; if it is none, searches find where to start.
        """
        # No event taken in before that minute can have happened since.
        pages = self._pages_after(Position(cursor_at(max(since, _EARLIEST) - CLOCKS_DIFFER), None))
        why = "what comes does not begin there"
        try:
            first = next(pages, [])
            trusted = self._begins_there(first, since)
        except (TenantRefusedError, TenantAnswerError) as error:
            if isinstance(error, TenantRefusedError) and error.status != 400:
                raise
            trusted, why = False, str(error)
        if trusted:
            pages = itertools.chain([first], pages)
        else:
            log.info("a log id made of %s is no place in this tenant's log (%s): searching for where to start", iso(since), why)
            pages = self._pages_found_since(since)
        for page in pages:
            wanted = [event for event in page if _taken_in(event) >= since or _happened(event) >= since]
            if wanted:
                yield wanted
            elif page:
                self._passed = page[-1].position

    def _begins_there(self, first: list[LogEvent], since: datetime) -> bool:
        """Whether ``first`` is the first page after a log id made of a time: no event of that time lies before it by search."""
        if not all(ingested(event.log_id) for event in first):
            return False
        found = [log_id_order(event.log_id) for event in self.tenant.search(iso(since))]
        return not found or (bool(first) and log_id_order(first[0].log_id) <= min(found))

    def _pages_found_since(self, since: datetime) -> Iterator[list[LogEvent]]:
        """From a time on by search: the event of the smallest id among those not before it, and what follows that by id."""
        first = self._smallest_id_since(since)
        if first is None:
            return
        if self.settle and self.tenant.as_of - _taken_in(first) < SETTLE:
            log.info("the first event since %s came in just now: left until search shows all before it", iso(since))
            return
        yield [first]
        yield from self._pages_after(first.position)

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
        pages = self._pages_since(_EARLIEST)
        first = next(pages, [])
        here = log_id_order(str(self.start.log_id))
        if self._older_than(SHORTEST_RETENTION) and (not first or log_id_order(first[0].log_id) > here):
            self._report_gap(first)
        if not first:
            # Nothing is left to start from: the next run begins with whatever there is by then.
            self.end = Position(None, OLDEST)
            return
        # Where older events than the checkpoint's are left, nothing is missing, and they were done with before.
        for page in itertools.chain([first], pages):
            yield [event for event in page if log_id_order(event.log_id) > here]

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


def _taken_in(event: LogEvent) -> datetime:
    """When Auth0 took an event in; where its id does not tell, when it happened."""
    return ingested(event.log_id) or _happened(event)


def _happened(event: LogEvent) -> datetime:
    try:
        return parse_time(event.date)
    except ValueError:
        return _EARLIEST


def first_position(start_from: str | datetime) -> Position:
    """Where a route without a checkpoint begins: ``oldest``, ``now`` or a time."""
    if start_from == "oldest":
        return Position(None, OLDEST)
    moment = datetime.now(timezone.utc) if isinstance(start_from, str) else start_from
    return Position(None, iso(moment))
