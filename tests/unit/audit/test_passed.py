"""Which filter was in force where an event is."""

from __future__ import annotations

import random

import pytest

from auth0_webhooks.audit.passed import Passed, order_of
from auth0_webhooks.filtering.selection import Selection
from auth0_webhooks.model.events import LogEvent, Position, cursor_at
from auth0_webhooks.settings.route import Route
from auth0_webhooks.times import parse_time
from tests.support.factory import log_id

TODAY = Selection(log_types=frozenset({"today"}))


def settings(*types):
    return {"log_types": list(types), "log_level": 0, "exclude_types": [], "where": None, "api_endpoints": []}


def place(number):
    return Position(log_id(number), None)


def event(number, kind):
    return LogEvent(log_id(number), "2026-11-22T10:00:00.000Z", kind, "{}", place(number - 1))


def passed(*sections):
    """Runs that read from, to, and by which types."""
    made = Passed(TODAY)
    for start, end, kind in sections:
        made.add(place(start), place(end), settings(kind))
    made.join()
    return made


def test_an_event_is_judged_by_the_run_that_read_past_it():
    runs = passed((10, 20, "a"), (20, 30, "b"))
    assert [runs.wanted(event(20, kind)) for kind in ("a", "b")] == [True, False]
    assert [runs.wanted(event(21, kind)) for kind in ("a", "b")] == [False, True]


def test_an_event_that_was_read_twice_is_wanted_if_one_of_the_runs_wanted_it():
    runs = passed((10, 30, "a"), (20, 40, "b"))
    assert all(runs.wanted(event(25, kind)) for kind in ("a", "b"))
    assert [runs.wanted(event(15, kind)) for kind in ("a", "b")] == [True, False]


def test_an_event_that_no_run_read_is_judged_by_the_runs_before_and_after():
    runs = passed((10, 20, "a"), (40, 50, "b"), (60, 70, "c"))
    assert [runs.wanted(event(30, kind)) for kind in ("a", "b", "c")] == [True, True, False]
    assert [runs.wanted(event(5, kind)) for kind in ("a", "b", "c")] == [True, False, False]
    assert [runs.wanted(event(99, kind)) for kind in ("a", "b", "c")] == [False, False, True]


def test_without_runs_and_with_settings_of_another_version_todays_count():
    assert passed().wanted(event(1, "today"))
    unknown = Passed(TODAY)
    unknown.add(place(1), place(9), {"a_setting_of_tomorrow": 1})
    unknown.join()
    assert unknown.wanted(event(5, "today"))


def test_a_time_is_a_place_before_all_that_comes_from_then_on():
    moment = "2026-11-22T10:00:00.000Z"
    assert order_of(Position(None, moment)) == order_of(Position(cursor_at(parse_time(moment)), None))
    assert order_of(Position(None, moment)) < order_of(Position(log_id(1), None)) or log_id(1) < cursor_at(parse_time(moment))


def test_the_beginning_is_where_the_first_run_began_to_read():
    assert passed((30, 40, "a"), (10, 20, "a")).began == order_of(place(10))
    assert passed().began is None


@pytest.mark.parametrize("seed", range(20))
def test_joined_sections_say_the_same_as_each_section(seed):
    chance = random.Random(seed)
    sections = []
    for _ in range(30):
        start = chance.randrange(100)
        sections.append((start, start + chance.randrange(1, 8), chance.choice("abc")))
    runs = passed(*sections)
    for number in range(1, 110):
        inside = {kind for start, end, kind in sections if start < number <= end}
        if inside:
            assert {kind for kind in "abc" if runs.wanted(event(number, kind))} == inside


def test_the_settings_of_a_route_are_read_as_they_are_kept():
    route = Route(name="r", log_types=["s"], include_types=["auth.login.fail"], where="connection == 'Users'")
    kept = {**route.model_dump(mode="json", include={"log_level", "exclude_types", "where", "api_endpoints"})}
    made = Passed(TODAY)
    made.add(place(1), place(9), {**kept, "log_types": route.wanted_types})
    made.join()
    wanted = event(5, "fp")._replace(body='{"connection": "Users"}')
    assert made.wanted(wanted)
    assert not made.wanted(wanted._replace(body='{"connection": "Others"}'))
    assert not made.wanted(wanted._replace(type="ss"))
