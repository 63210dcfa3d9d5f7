"""Windows: which run has one, and that reading them cuts a log into pieces without losing or doubling an event."""

from __future__ import annotations

import itertools
import logging
import random
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth0_webhooks.errors import SettingError, TenantAnswerError, WindowLimitedError, WindowTooLargeError
from auth0_webhooks.hooks.auth0 import TenantHook
from auth0_webhooks.model.checkpoint import time_order
from auth0_webhooks.model.events import LogEvent, Position
from auth0_webhooks.reading.rate_limit import RateLimit, Seen
from auth0_webhooks.reading.window import Window, WindowReading, window_of
from auth0_webhooks.times import iso
from simulation.tenant_limits import Bucket
from tests.support.factory import QUICK

START = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
NOW = START + timedelta(days=1)


def at(milliseconds):
    return START + timedelta(milliseconds=milliseconds)


def window(run_type="manual", *, interval=(None, None), expected=None, triggered=NOW, **params):
    return window_of(run_type, params, interval=interval, expected=expected or interval, triggered=triggered, now=NOW)


def test_a_live_run_has_no_window_whatever_its_data_interval():
    for run_type in ("scheduled", "manual", "asset_triggered"):
        assert window(run_type, interval=(START, NOW), since=None, until=None) is None


def test_a_backfill_reads_its_data_interval():
    assert window("backfill", interval=(START, NOW)) == Window(START, NOW)


@pytest.mark.parametrize("params", [{"since": "2026-11-22T10:00:00Z"}, {"until": "2026-11-22T10:00:00Z"}])
def test_since_and_until_are_refused_in_a_backfill(params):
    with pytest.raises(SettingError, match="leave since and until empty"):
        window("backfill", interval=(START, NOW), **params)


def test_a_backfill_without_a_data_interval_is_refused():
    with pytest.raises(SettingError, match="no data interval"):
        window("backfill")


@pytest.mark.parametrize("expected", [(START, NOW + timedelta(hours=1)), (START - timedelta(minutes=5), NOW), (None, None)])
def test_a_backfill_of_a_run_with_another_interval_is_refused(expected):
    with pytest.raises(SettingError, match="by hand or by another schedule: its interval is 2026-11-22T10:00:00.000Z .. "):
        window("backfill", interval=(START, NOW), expected=expected)


def test_a_replay_reads_from_since_to_until_in_any_zone():
    assert window(since="2026-11-22T11:00:00+01:00", until="2026-11-22T10:00:01.500Z") == Window(START, at(1500))


def test_a_replay_without_until_ends_when_it_was_triggered_whatever_the_workers_clock_says():
    assert window(since=iso(START), triggered=at(5000)) == Window(START, at(5000))
    assert window(since=iso(START), triggered=NOW + timedelta(seconds=3)).until == NOW + timedelta(seconds=3)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"until": "2026-11-22T10:00:00Z"}, "until needs since"),
        ({"since": "2026-11-22T10:00:00"}, "since is without a time zone: write 2026-11-22T10:00:00Z"),
        ({"since": "yesterday"}, "since is not a date-time such as 2026-11-22T10:00:00Z, got 'yesterday'"),
        ({"since": "2026-11-22T10:00:00Z", "until": "12"}, "until is not a date-time"),
        ({"since": "2026-11-22T10:00:00Z", "until": "2026-11-22T10:00:00Z"}, "is not before until"),
        ({"since": "2026-11-22T10:00:00Z", "until": "2026-11-21T10:00:00Z"}, "is not before until"),
        ({"since": "2026-11-22T10:00:00Z", "until": "2026-11-24T10:00:00Z"}, "is in the future"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused_with_what_is_wrong(params, message):
    with pytest.raises(SettingError, match=message):
        window(**params)


def test_a_window_that_ended_just_now_waits_for_late_events():
    assert Window(START, NOW).seconds_to_settle(NOW) == 120
    assert Window(START, NOW - timedelta(seconds=50)).seconds_to_settle(NOW) == 70
    assert Window(START, NOW - timedelta(minutes=2)).seconds_to_settle(NOW) == 0


def test_a_window_older_than_the_retention_warns():
    assert Window(START, NOW).warning(NOW, 1) is None
    assert "the tenant keeps its log 1 days (as retention_days says)" in Window(at(-5), NOW).warning(NOW, 1)
    assert Window(NOW - timedelta(days=30), NOW).warning(NOW, None) is None
    assert "30 days (on Auth0's largest plan)" in Window(NOW - timedelta(days=31), NOW).warning(NOW, None)


class Search:
    """Auth0's search as documented: by date, 100 a page, 1,000 at most; equal dates in any order."""

    def __init__(self, log, chance=None):
        self.log, self.chance, self.requests = log, chance, 0

    def search(self, since, until=None, page=0):
        assert 0 <= page < 10
        self.requests += 1
        found = [event for event in self.log if event.date >= since and (until is None or event.date < until)]
        if self.chance:
            self.chance.shuffle(found)
        found.sort(key=lambda event: event.date)
        return found[page * 100 : page * 100 + 100]


def make_log(milliseconds):
    """Events in the order of their ids at these times; a time earlier than the one before it is a late event's."""
    return [LogEvent(f"{n:056d}", iso(at(ms)), "s", "{}", Position(None, None)) for n, ms in enumerate(milliseconds)]


def read(search, since, until, **settings):
    return list(WindowReading(search, Window(at(since), at(until)), **settings).events())


# At most 100 events share a millisecond here: so many can be told apart even when their order changes between requests.
times = st.lists(st.integers(0, 3000), max_size=400).filter(lambda found: all(found.count(ms) <= 100 for ms in set(found)))


@settings(deadline=None, max_examples=150)
@given(times, st.lists(st.integers(-10, 3010), max_size=6), st.randoms(use_true_random=False))
def test_windows_cut_anywhere_hold_every_event_once(milliseconds, cuts, chance):
    search = Search(make_log(milliseconds), chance)
    edges = sorted({-1, *cuts, 3001})
    got = [event for since, until in itertools.pairwise(edges) for event in read(search, since, until)]
    inside = [
        event for event in search.log if at(edges[0]) <= datetime.fromisoformat(event.date.replace("Z", "+00:00")) < at(edges[-1])
    ]
    assert sorted(event.log_id for event in got) == [event.log_id for event in inside]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 450)), max_size=6), st.integers(1, 5))
def test_hundreds_of_events_in_one_millisecond_are_all_read_in_a_fixed_order(bursts, cut):
    search = Search(make_log([ms for ms, count in bursts for _ in range(count)]))
    if max((sum(count for ms, count in bursts if ms == one) for one, _ in bursts), default=0) >= 1000:
        return
    got = read(search, 0, cut) + read(search, cut, 6)
    assert [event.log_id for event in got] == [
        event.log_id for event in sorted(search.log, key=lambda event: time_order(event.position))
    ]


def test_each_event_names_the_place_before_it_and_the_window_ends_at_its_end():
    search = Search(make_log([5, 3, 9, 3]))
    reading = WindowReading(search, Window(at(0), at(100)))
    got = list(reading.events())
    assert [event.previous for event in got] == [reading.start, *(event.position for event in got[:-1])]
    assert reading.start == Position(None, iso(at(0)))
    assert reading.end == Position(None, iso(at(100)))


def test_more_than_search_can_tell_apart_is_an_error_that_names_the_millisecond():
    search = Search(make_log([7] * 1001))
    with pytest.raises(WindowTooLargeError, match=r"events of 2026-11-22T10:00:00\.007Z apart.*up to .*007Z and from .*008Z on"):
        read(search, 0, 100)
    assert len(read(Search(make_log([7] * 999)), 0, 100)) == 999


def test_pages_that_always_overlap_are_an_error_and_not_a_loss():
    search = Search(make_log([7] * 300), random.Random(1))
    with pytest.raises(WindowTooLargeError, match="an order that changes from page to page"):
        read(search, 0, 100)


def test_pages_that_overlap_for_a_while_are_read_again():
    search = Search(make_log([7] * 300 + [8] * 50), random.Random(1))
    exact, calls = search.search, []

    def settling(*asked):
        calls.append(asked)
        search.chance = random.Random(1) if len(calls) < 6 else None
        return exact(*asked)

    search.search = settling
    assert len(read(search, 0, 100)) == 350


def test_a_window_with_too_many_events_says_where_to_split_it():
    search = Search(make_log(range(500)))
    with pytest.raises(WindowTooLargeError, match=r"more than 300 events.*Split it at 2026-11-22T10:00:00\.300Z"):
        read(search, 0, 1000, limit=300)
    assert len(read(search, 0, 300, limit=300)) == 300


def test_an_event_without_a_date_is_an_error():
    search = Search([])
    search.search = lambda *_: [LogEvent("1", "", "s", "{}", Position(None, None))]
    with pytest.raises(TenantAnswerError, match="event 1 has no date"):
        read(search, 0, 100)


def test_a_search_that_knows_only_whole_seconds_still_gives_exact_windows():
    search = Search(make_log(range(0, 3000, 7)))
    exact = search.search
    search.search = lambda since, _until, page: exact(since[:-4] + "000Z", iso(at(10_000)), page)
    got = read(search, 500, 1500) + read(search, 1500, 2500)
    assert [event.log_id for event in got] == [event.log_id for event in search.log if iso(at(500)) <= event.date < iso(at(2500))]


@pytest.fixture
def hook(tenant, connections):
    tenant.log_token_requests = False
    return TenantHook(wait_for_limits=True, waits=replace(QUICK, window_limits=10.0))


def test_10_000_events_of_a_window_cost_102_requests_over_http(tenant, hook):
    tenant.add_many(10_000)
    reading = WindowReading(hook, Window(datetime.now(timezone.utc) - timedelta(hours=2), datetime.now(timezone.utc)))
    got = [event.log_id for event in reading.events()]
    assert got == [log_id for log_id, _, _ in tenant.log()]
    assert hook.api_requests == 102


def test_events_that_come_in_late_are_in_the_window_of_their_date(tenant, hook):
    ids = [tenant.add("s", when=NOW + timedelta(seconds=n), happened=START + timedelta(seconds=n % 7)) for n in range(300)]
    tenant.mix_ties = True
    got = [event.log_id for n in range(7) for event in WindowReading(hook, Window(at(1000 * n), at(1000 * n + 1000))).events()]
    assert sorted(got) == ids


def test_a_window_waits_for_the_rate_limit_longer_than_a_live_run(tenant, connections):
    tenant.log_token_requests = False
    tenant.add_many(900)
    tenant.bucket = Bucket(10, 10, 1.0, "window", left=0)
    hook = TenantHook(wait_for_limits=True, waits=replace(QUICK, live_limits=0.0, tenant_limit=0.0))
    assert len(list(WindowReading(hook, last_hours(2)).events())) == 900
    assert tenant.bucket.limited <= 1
    assert hook.figures()["api_waited"] > 0


def last_hours(hours):
    now = datetime.now(timezone.utc)
    return Window(now - timedelta(hours=hours), now)


def test_a_window_waits_no_longer_than_a_run_may_for_all_its_requests_together(tenant, hook):
    tenant.add_many(3000)
    tenant.bucket = Bucket(10, 10, 1e9, "window")
    with pytest.raises(WindowLimitedError, match=r"3 stay for others.*waited 0 s.*than 10 s in all.*Start it again after 2") as e:
        list(WindowReading(hook, last_hours(2)).events())
    assert not e.value.retry
    assert (tenant.bucket.limited, tenant.bucket.warned) == (0, 0)


def test_a_replay_says_before_its_first_event_how_long_it_will_take(tenant, hook, caplog):
    caplog.set_level(logging.INFO)
    tenant.add_many(10_000)
    tenant.bucket = Bucket(50, 5000, 1.0)
    reading = WindowReading(hook, last_hours(2), announce=True)
    events = reading.events()
    next(events)
    about = re.search(r"holds about ([\d,]+) events: about ([\d,]+) requests to Auth0 and .* of reading .*\((.*)\)", caplog.text)
    assert abs(int(about[1].replace(",", "")) - 10_000) < 1000
    assert abs(int(about[2]) - 102) <= 10
    assert about[3] in {f"{left} of 50 requests of the tenant's rate limit are left now" for left in (49, 50)}
    assert len(list(events)) == 9_999
    assert hook.api_requests == 106


def test_a_window_of_less_than_a_page_announces_nothing_and_costs_no_more(tenant, hook, caplog):
    caplog.set_level(logging.INFO)
    tenant.add_many(99)
    assert len(list(WindowReading(hook, last_hours(2), announce=True).events())) == 99
    assert hook.api_requests == 1
    assert "holds about" not in caplog.text


def test_a_long_replay_repeats_in_its_notes_how_long_it_was_to_take():
    search, notes = Search(make_log(range(20_000))), []
    search.rate_limit = Seen(RateLimit(10, 4, 0.0))
    reading = WindowReading(search, Window(at(0), at(40_000)), announce=True, notes=notes)
    assert len(list(reading.events())) == 20_000
    (note,) = notes
    assert re.search(r"holds about 2\d,\d{3} events: about 2\d\d requests to Auth0 and 3 minutes of .*4 of 10 requests", note)


@pytest.mark.parametrize(("most", "a_second"), [(None, None), (2, 2.0), (10, 100 / 60), (50, 16.0), (750, 16.0)])
def test_the_pace_of_a_rate_limit_is_the_slowest_that_auth0_documents_for_its_size(most, a_second):
    assert RateLimit(most).a_second == a_second
