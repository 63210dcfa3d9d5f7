"""Live runs on a modelled log, in a time of its own: events late, out of order, a start anywhere; each is read once."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth0_webhooks.errors import TenantRefusedError
from auth0_webhooks.model.events import LogEvent, Position, log_id_order
from auth0_webhooks.reading.answers import check_order
from auth0_webhooks.reading.live import CLOCKS_DIFFER, OLDEST, Reading
from auth0_webhooks.reading.rate_limit import Seen
from auth0_webhooks.reading.window import SETTLE
from auth0_webhooks.times import iso, parse_time
from auth0_webhooks.waits import WAITS

BEGAN = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
NOWHERE = Position(None, None)


def after(seconds):
    return BEGAN + timedelta(seconds=seconds)


@dataclass
class Shown:
    """An event, and when which mode shows it."""

    event: LogEvent
    taken_in: datetime
    by_id: datetime
    by_search: datetime


class Log:
    """A tenant's log with a time of its own; ``unknown`` is what it makes of the id of no event."""

    rate_limit = Seen()

    def __init__(self, chance, unknown, *, count, seconds):
        self.chance, self.unknown = chance, unknown
        self.now = self.as_of = BEGAN
        self.requests = 0
        self.shown = []
        for number, when in enumerate(sorted(chance.uniform(0, seconds) for _ in range(count))):
            taken_in = after(int(when * 1000) / 1000)
            log_id = f"900{taken_in:%Y%m%d%H%M%S}{taken_in.microsecond // 1000:03d}{number:036d}"
            # Mostly at once, some hours late, some by a clock that is ahead.
            happened = taken_in - timedelta(seconds=chance.choice([0, 0, 0, 0.5, 4, 3000, 0 if unknown == "newest" else -20]))
            event = LogEvent(log_id, iso(happened), "s", "{}", NOWHERE)
            by_id = taken_in + timedelta(seconds=chance.random() * WAITS.settle)
            # A newest page in place of the asked one is found out by the first page of a search, so that must tell.
            by_search = taken_in if unknown == "newest" else taken_in + chance.random() ** 3 * SETTLE
            self.shown.append(Shown(event, taken_in, by_id, by_search))

    def pages(self, start):
        last = start
        while page := self._page(str(last.log_id)):
            check_order(page, last)  # as the hook does
            yield page
            last = page[-1].position

    def _page(self, cursor):
        self._asked()
        known = any(cursor == one.event.log_id for one in self.shown)
        visible = [one.event for one in self.shown if one.by_id <= self.now]
        if not known and self.unknown == "400":
            raise TenantRefusedError("400", status=400)
        if not known and self.unknown in {"newest", "empty", "oldest"}:
            return {"newest": visible[-100:], "empty": [], "oldest": visible[:100]}[self.unknown]
        return [event for event in visible if log_id_order(event.log_id) > log_id_order(cursor)][:100]

    def search(self, since, until=None, page=0):
        self._asked()
        found = [one.event for one in self.shown if one.by_search <= self.now and since <= one.event.date < (until or "9")]
        self.chance.shuffle(found)
        return sorted(found, key=lambda event: event.date)[page * 100 : page * 100 + 100]

    def has(self, log_id):
        self._asked()
        return any(log_id == one.event.log_id for one in self.shown)

    def hurry(self):
        """It has no rate limit."""

    def sleep(self, seconds):
        self.now += timedelta(seconds=seconds)

    def _asked(self):
        """A request reaches the tenant some time after it was sent."""
        self.requests += 1
        self.as_of = self.now
        self.sleep(self.chance.choice([0.05, 0.3, 2.0]))


@settings(deadline=None, max_examples=80)
@given(
    st.integers(0, 1_000_000),
    st.sampled_from(["position", "position", "400", "empty", "oldest", "newest"]),
    st.integers(0, 300),
    st.sampled_from([5, 60, 900]),
    st.sampled_from([20, 130, 10_000]),
    st.sampled_from([None, -3600.0, 0.0, 0.3, 0.7, 1.0]),
)
def test_runs_from_any_start_read_each_event_once_however_late_it_is_shown(seed, unknown, count, seconds, limit, start):
    chance = random.Random(seed)
    log = Log(chance, unknown, count=count, seconds=seconds)
    since = OLDEST if start is None else iso(after(start * seconds))
    log.now = parse_time(since) if start is not None and 0 <= start < 1 else after(chance.uniform(0, seconds))
    place, got = Position(None, since), []
    while True:
        over = log.now > after(seconds) + SETTLE + timedelta(seconds=5)
        reading = Reading(log, place, limit, sleep=log.sleep)
        events = list(reading.events())
        assert [event.previous for event in events] == [place, *(event.position for event in events)][:-1] or not events
        got += [event.log_id for event in events]
        place = reading.end
        if over and not events and reading.stopped is None:
            break
        log.sleep(chance.choice([0.5, 10.0, 300.0]))
    wanted = [one.event.log_id for one in log.shown if one.event.date >= since]
    late = {one.event.log_id for one in log.shown if iso(one.taken_in + CLOCKS_DIFFER) >= since}
    assert got == sorted(set(got))
    assert set(wanted) <= set(got)
    # Beyond those only what came in since, or, once a run has gone past the start, shortly before it.
    assert set(got) - set(wanted) <= late


@pytest.mark.parametrize("settle", [0.0, WAITS.settle])
def test_the_model_loses_events_of_a_log_in_any_order_unless_runs_wait(settle):
    log = Log(random.Random(3), "position", count=200, seconds=60)
    place, got = Position(None, iso(BEGAN)), []
    while log.now < after(100):
        reading = Reading(log, place, 1000, settle=settle, sleep=log.sleep)
        got += [event.log_id for event in reading.events()]
        place = reading.end
    assert (len(got) == 200) is bool(settle)
