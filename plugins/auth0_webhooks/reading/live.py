"""Reads for a live run: from the checkpoint on, or from a start time."""

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
"""No Auth0 plan keeps an event for less: https://auth0.com/docs/deploy-monitor/logs/log-data-retention."""

QUIET = SHORTEST_RETENTION / 4
"""How often the checkpoint of a quiet log is confirmed: long before a new event can leave the log."""

CLOCKS_DIFFER = timedelta(minutes=1)
"""Auth0 ingests an event after it happened, but by their clocks its ingestion may appear to be this much earlier."""


class Tenant(Searching, Protocol):
    """The part of :class:`auth0_webhooks.hooks.auth0.TenantHook` that reading needs."""

    @property
    def as_of(self) -> datetime:
        """A time up to which the last answer certainly shows the log."""

    def pages(self, start: Position) -> Iterator[list[LogEvent]]:
        """The events after a log id, a page at a time."""

    def has(self, log_id: str) -> bool:
        """Whether an event is still in the log."""

    def hurry(self) -> None:
        """Events are in hand: from now on do not wait long for the rate limit."""


@dataclass
class Reading:
    """A live run's reading of the log.

    ``end`` is the position after everything read so far. ``stopped`` says why the reading ended before the end of the log
    ("limit", "rate limit"), or is None; if it is set to "hold" first, nothing is read. ``gap`` is the period whose events
    are gone (from, to), or None.

    :param retention: how long the tenant keeps an event; before an older checkpoint is used, the tenant is asked for its event.
    :param on_gap: "stop" raises an error at a gap instead of continuing after it.
    :param settle: seconds; an event is delivered only if Auth0 ingested it at least this long ago, so that an event with a
        smaller id, which Auth0 may show a moment later, is not skipped.
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

        If the rate limit would have it wait for long, the reading ends early: the events read so far are delivered, and the
        next run continues from there.

        :raises CheckpointExpiredError: when the checkpoint's event is gone and ``on_gap`` is "stop".
        :raises WebhookRouteError: one of the Tenant errors.
        """
        began = datetime.now(timezone.utc)
        for page in () if self.stopped else self._pages():
            self.tenant.hurry()
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
            # Nothing new up to now: if the checkpoint's event later leaves the log of a quiet tenant, nothing is missing.
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
            log.info("%s; %d events read so far are handed on, the next run reads the rest", error, self.read)
            self.stopped = "rate limit"

    def _pages_after(self, place: Position) -> Iterator[list[LogEvent]]:
        """The pages after a log id, up to the newest event; waits where an event with a smaller id may still appear.

        Auth0 documents the order of log ids, but not that an event appears before all events with larger ids. This waits
        once; events that arrive during the wait are left to the next run.
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
        age = (self.tenant.as_of - _ingested_at(newest)).total_seconds()
        # If more pages follow, wait the full time, so that everything in the log by now can be read.
        self.sleep(self.settle if more else max(0.0, min(self.settle, self.settle - age)))
        last = log_id_order(newest.log_id)
        for page in self.tenant.pages(place):
            settled = [event for event in page if log_id_order(event.log_id) <= last or self._is_settled(event)]
            if settled:
                yield settled
            if len(settled) < len(page) or (settled[-1].log_id == newest.log_id and not more):
                return

    def _is_settled(self, event: LogEvent) -> bool:
        return not self.settle or self.tenant.as_of - _ingested_at(event) >= timedelta(seconds=self.settle)

    def _pages_since(self, since: datetime) -> Iterator[list[LogEvent]]:
        """Every event that happened, or was ingested, at or after ``since``.

        Reads from a synthetic log id, built from the time, which belongs to no event. Auth0 does not document that such an id
        works, so the first page is checked; if it does not work, searches find where to start.
        """
        # No event ingested before that minute can have happened at or after ``since``.
        pages = self._pages_after(Position(cursor_at(max(since, _EARLIEST) - CLOCKS_DIFFER), None))
        why = "the first page does not begin there"
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
            log.info("a log id built from %s does not work in this tenant (%s): searching for where to start", iso(since), why)
            pages = self._pages_found_since(since)
        for page in pages:
            wanted = [event for event in page if _ingested_at(event) >= since or _happened(event) >= since]
            if wanted:
                yield wanted
            elif page:
                self._passed = page[-1].position

    def _begins_there(self, first: list[LogEvent], since: datetime) -> bool:
        """Whether ``first`` is the first page after a synthetic log id: search finds no event of that time before it."""
        if not all(ingested(event.log_id) for event in first):
            return False
        found = [log_id_order(event.log_id) for event in self.tenant.search(iso(since))]
        return not found or (bool(first) and log_id_order(first[0].log_id) <= min(found))

    def _pages_found_since(self, since: datetime) -> Iterator[list[LogEvent]]:
        """Reads from a time on by search: the event with the smallest id among those since then, and all that follow it by id."""
        first = self._smallest_id_since(since)
        if first is None:
            return
        if self.settle and self.tenant.as_of - _ingested_at(first) < SETTLE:
            log.info("the first event since %s has only just arrived: a later run reads it", iso(since))
            return
        yield [first]
        yield from self._pages_after(first.position)

    def _smallest_id_since(self, since: datetime) -> LogEvent | None:
        """Late events carry early dates, so the first by date need not be the first by id.

        An id contains the time at which Auth0 ingested the event, and no event is ingested before it happens: an event that
        happened after the ingestion of the smallest id (plus a minute, since clocks differ) cannot have a smaller id. If an
        id contains no time, its event counts as ingested within an hour.
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
                raise  # no event to start at, although the log is not empty
            log.warning("%s: starting at the smallest log id before that", error)
        return smallest

    def _older_than(self, span: timedelta) -> bool:
        try:
            return datetime.now(timezone.utc) - parse_time(self.start.date) > span
        except ValueError:
            return False  # a position without a date

    def _expired(self) -> bool:
        """Whether the checkpoint's own event is gone, according to the tenant. False for a position chosen by a person."""
        return self.start.seen and not self.tenant.has(str(self.start.log_id))

    def _pages_after_gap(self) -> Iterator[list[LogEvent]]:
        """The events left after a checkpoint whose own event is gone."""
        pages = self._pages_since(_EARLIEST)
        first = next(pages, [])
        here = log_id_order(str(self.start.log_id))
        if self._older_than(SHORTEST_RETENTION) and (not first or log_id_order(first[0].log_id) > here):
            self._report_gap(first)
        if not first:
            # No event is left to start from: the next run begins with the oldest event at that time.
            self.end = Position(None, OLDEST)
            return
        # If older events than the checkpoint's are left, nothing is missing, and they are already done.
        for page in itertools.chain([first], pages):
            yield [event for event in page if log_id_order(event.log_id) > here]

    def _report_gap(self, first: list[LogEvent]) -> None:
        lost_from, lost_to = str(self.start.date), iso(datetime.now(timezone.utc))
        if first:
            # A late event's date can precede the gap; then the gap ends when Auth0 ingested the event.
            ends = (parse_time(first[0].date), ingested(first[0].log_id))
            lost_to = next((iso(end) for end in ends if end and end > parse_time(lost_from)), lost_to)
        self.gap = (lost_from, lost_to)
        gone = (
            f"the checkpoint's event of {lost_from} is no longer in the tenant's log: what happened from then to {lost_to} can "
        )
        if self.on_gap == "stop":
            raise CheckpointExpiredError(
                f"{gone}no longer be read. The route stops at a gap (on_gap: stop). To continue from the oldest event left, "
                "delete the checkpoint's Variable or set it to a date-time; see the DAG's docs"
            )
        log.warning("%sno longer be read; continuing from the oldest event left", gone)


def _ingested_at(event: LogEvent) -> datetime:
    """When Auth0 ingested an event; if its id does not contain that time, when it happened."""
    return ingested(event.log_id) or _happened(event)


def _happened(event: LogEvent) -> datetime:
    try:
        return parse_time(event.date)
    except ValueError:
        return _EARLIEST


def first_position(start_from: str | datetime) -> Position:
    """Where a route without a checkpoint starts: ``oldest``, ``now`` or a time."""
    if start_from == "oldest":
        return Position(None, OLDEST)
    moment = datetime.now(timezone.utc) if isinstance(start_from, str) else start_from
    return Position(None, iso(moment))
