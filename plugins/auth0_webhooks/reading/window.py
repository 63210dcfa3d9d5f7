"""Windows: a period that is read again, independently of the checkpoint.

A backfill's window is its data interval; a replay's is set by ``since`` and ``until``. It is read with Auth0's search, which
is documented for at most 1,000 results a query ("Retrieve log events using the Management API").
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from auth0_webhooks.errors import SettingError, TenantAnswerError, WindowTooLargeError
from auth0_webhooks.model.checkpoint import time_order
from auth0_webhooks.model.events import LogEvent, Position
from auth0_webhooks.reading.rate_limit import Seen
from auth0_webhooks.times import iso, parse_time
from auth0_webhooks.waits import WAITS

log = logging.getLogger(__name__)

MAX_WINDOW_EVENTS = 100_000
"""A window with more events fails before anything is sent: a run's batches are stored in Airflow's database until it ends."""
SETTLE = timedelta(seconds=WAITS.late)
"""How long after its end a window may be read: Auth0 shows events with some delay."""
SEARCH_PAGE, SEARCH_PAGES = 100, 10
OVERLAPS = 5
"""How often the pages of one search may overlap before the run fails."""
SAMPLES = 4
"""How many searches estimate the number of events in a replay, and so its duration."""
LONG_SECONDS = 60.0
"""If a replay is expected to take longer, its report repeats the estimate."""
LONGEST_RETENTION_DAYS = 30
"""No Auth0 plan keeps its log longer."""


class Window(NamedTuple):
    """The events whose ``date`` is in [since, until). Times in UTC, to the millisecond, as Auth0 writes them."""

    since: datetime
    until: datetime

    def __str__(self) -> str:
        return f"{iso(self.since)} .. {iso(self.until)}"

    def seconds_to_settle(self, now: datetime, late: float = WAITS.late) -> float:
        """How long to wait until late events of this window, by so many seconds, can be assumed to have arrived."""
        return max(0.0, (self.until - now).total_seconds() + late)

    def warning(self, now: datetime, retention_days: int | None) -> str | None:
        """The warning for a window that begins before the oldest event the tenant can still have, or None."""
        days, kept = (now - self.since) / timedelta(days=1), retention_days or LONGEST_RETENTION_DAYS
        if days <= kept:
            return None
        source = "as retention_days says" if retention_days else "on Auth0's largest plan"
        return f"the window begins {days:.1f} days ago; the tenant keeps its log {kept} days ({source}): older events are gone"


def window_of(
    run_type: str,
    params: Mapping[str, Any],
    *,
    interval: tuple[datetime | None, datetime | None],
    expected: tuple[datetime | None, datetime | None],
    triggered: datetime,
    now: datetime,
) -> Window | None:
    """The window of a run, or None for a live one.

    :param run_type: Airflow's; only in a backfill does the data interval define what to read.
    :param interval: the run's data interval; ``expected`` is the interval that the schedule gives its logical date.
    :param triggered: the end of a replay without ``until``: a fixed time, so that each try reads the same.
    :raises SettingError: when ``since`` and ``until`` do not form a window, or do not apply to this run.
    """
    since, until = params.get("since"), params.get("until")
    if run_type == "backfill":
        if since or until:
            raise SettingError(
                "a backfill reads its data intervals: leave since and until empty, or trigger a single run with them"
            )
        start, end = interval
        if start is None or end is None:
            raise SettingError("this backfill run has no data interval, so it has nothing to read")
        if interval != expected:
            # Airflow makes an existing run part of the backfill, but keeps its old interval.
            raise SettingError(
                f"this run was made before the backfill, by hand or by another schedule: its interval is {Window(start, end)}, "
                f"not that of the schedule. Delete the run and backfill again, or replay with since and until"
            )
        return Window(start, end)
    if not since:
        if until:
            raise SettingError("until needs since: a replay reads from since to until")
        return None
    window = Window(_moment("since", since), _moment("until", until) if until else triggered)
    if window.since >= window.until:
        raise SettingError(f"since ({iso(window.since)}) is not before until ({iso(window.until)})")
    if until and window.until > now:
        raise SettingError(f"until ({iso(window.until)}) is in the future: live runs deliver the events that are still to come")
    return window


def _moment(name: str, value: Any) -> datetime:
    try:
        return parse_time(value, zone_required=True)
    except ValueError as error:
        raise SettingError(f"{name} is {error}, got {value!r}") from None


class Searching(Protocol):
    """The part of :class:`auth0_webhooks.hooks.auth0.TenantHook` that reading a window needs."""

    @property
    def rate_limit(self) -> Seen:
        """What is known of the tenant's rate limit."""

    def search(self, since: str, until: str | None = None, page: int = 0) -> list[LogEvent]:
        """One page of 100 of the events with a ``date`` in [since, until), sorted by date; page 9 is the last."""


@dataclass
class WindowReading:
    """Reads a window, ascending by date and log id.

    Each page is a separate search that starts at the last date seen, so no event is missed through the limit of a search, or
    because the order of equal dates changes from page to page. Further pages of one search are requested only if 100 or
    more events share a millisecond.

    :param announce: after the first page, log how long the reading will take, and add it to ``notes`` if it is long; costs
        ``SAMPLES`` requests if the window has more than a page.
    """

    tenant: Searching
    window: Window
    limit: int = MAX_WINDOW_EVENTS
    announce: bool = False
    notes: list[str] = field(default_factory=list)
    read: int = 0
    stopped: None = None
    gap: None = None

    def __post_init__(self) -> None:
        self.start = self.end = self._last = Position(None, iso(self.window.since))

    def events(self) -> Iterator[LogEvent]:
        """Read all of the window.

        :raises WindowTooLargeError: when the window has more than ``limit`` events, or a millisecond more than search can show.
        :raises WebhookRouteError: one of the Tenant errors.
        """
        since, until = _floor(self.window.since), _floor(self.window.until)
        cursor, page = since, 0
        waiting: dict[str, tuple[datetime, LogEvent]] = {}
        this_search: set[str] = set()
        overlaps = 0
        while True:
            found = self.tenant.search(iso(cursor), iso(until), page)
            if self.announce and len(found) == SEARCH_PAGE:
                self._announce(_floor(max(map(_date, found))), until)
            self.announce = False
            if not this_search.isdisjoint(event.log_id for event in found):
                # The order changed between pages, so an event may be missing: repeat this search from its first page.
                overlaps += 1
                if overlaps == OVERLAPS:
                    raise self._cannot_tell_apart(cursor, "in an order that changes from page to page")
                page, this_search = 0, set()
                continue
            dated = [(_date(event), event) for event in found]
            waiting |= {event.log_id: (date, event) for date, event in dated if cursor <= date < until}
            last = _floor(max((date for date, _ in dated), default=cursor))
            complete = len(found) < SEARCH_PAGE
            # Events of the last millisecond wait: the next page may have more of that millisecond.
            ready = [entry for entry in waiting.values() if complete or entry[0] < last]
            yield from self._in_order(ready)
            if complete:
                self.end = Position(None, iso(until))
                return
            waiting = {log_id: entry for log_id, entry in waiting.items() if entry[0] >= last}
            if last > cursor:
                cursor, page, this_search = last, 0, set()
            else:
                page += 1
                this_search |= {event.log_id for event in found}
            if page == SEARCH_PAGES:
                raise self._cannot_tell_apart(cursor, f"{SEARCH_PAGE * SEARCH_PAGES} or more, and it shows no more of them")

    def _announce(self, since: datetime, until: datetime) -> None:
        """Estimate the number of events from short samples after the first page, and log how long the reading takes."""
        millisecond = timedelta(milliseconds=1)
        part, events, a_request = (until - since) / SAMPLES, float(SEARCH_PAGE), math.inf
        for number in range(SAMPLES):
            start = _floor(since + part * number + part / 2)
            began = time.monotonic()
            found = self.tenant.search(iso(start), iso(until))
            a_request = min(a_request, time.monotonic() - began)  # others may have waited for the rate limit
            full = len(found) == SEARCH_PAGE
            span = (_date(found[-1]) if full else until) - start
            events += len(found) * (part / max(span, millisecond))
        requests = math.ceil(events / (SEARCH_PAGE - 1)) + 1
        seen = self.tenant.rate_limit
        limit, rate = seen.limit, seen.for_us()
        seconds = requests * a_request
        pace = "the tenant states no rate limit"
        if limit.left is not None:
            pace = f"{limit.left} of {limit.most or 'its'} requests of the tenant's rate limit are left now"
        if limit.left is not None and rate:
            seconds = max(seconds, (requests - limit.left) / rate)
        said = (
            f"the window {self.window} holds about {round(events):,} events: about {requests:,} requests to Auth0 and "
            f"{_duration(seconds)} of reading before the first is sent ({pace})"
        )
        log.info("%s; live runs wait until this run ends", said)
        if seconds > LONG_SECONDS:
            self.notes.append(said)

    def _cannot_tell_apart(self, moment: datetime, why: str) -> WindowTooLargeError:
        at, after = iso(moment), iso(moment + timedelta(milliseconds=1))
        return WindowTooLargeError(
            f"Auth0's search cannot tell the events of {at} apart: {why}. Nothing was sent. Replay up to {at} and from {after} "
            "on, and rewind the live checkpoint for the events in between: reading by log id has no such limit"
        )

    def _in_order(self, entries: list[tuple[datetime, LogEvent]]) -> Iterator[LogEvent]:
        for event in sorted((event for _, event in entries), key=lambda event: time_order(event.position)):
            if self.read == self.limit:
                since, cut, until = iso(self.window.since), iso(_floor(_date(event))), iso(self.window.until)
                raise WindowTooLargeError(
                    f"the window {self.window} holds more than {self.limit:,} events, too many for one run; nothing was sent. "
                    f"Split it at {cut}: since {since} until {cut}, then since {cut} until {until}"
                )
            self.read += 1
            placed = event._replace(previous=self._last)
            self._last = placed.position
            yield placed


def _date(event: LogEvent) -> datetime:
    try:
        return parse_time(event.date)
    except ValueError:
        raise TenantAnswerError(f"event {event.log_id} has no date, so it belongs to no window") from None


def _duration(seconds: float) -> str:
    return f"{max(seconds, 1):.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _floor(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
