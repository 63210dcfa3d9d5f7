"""When a person is told about a route. Variables in memory; Airflow's own are in test_runs.py."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from auth0_webhooks.errors import AirflowUnavailableError
from auth0_webhooks.state import health as health_module
from auth0_webhooks.state.health import Health
from tests.support.variables import health_in_memory

NOW = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)


@pytest.fixture
def health(monkeypatch):
    health_in_memory(monkeypatch)
    return Health("r")


def changes(health, problem, gap=None, now=NOW, told=True):
    """What a person is told after a run, and whether that can be done."""
    messages = health.note(problem, "x", gap, now)
    health.told(len(messages) if told else 0)
    return [change for change, _ in messages]


def test_a_route_that_stays_bad_is_told_once_a_day(health):
    told = [changes(health, "failed", now=NOW + timedelta(hours=hours)) for hours in range(50)]
    assert {hours: change for hours, change in enumerate(told) if change} == {0: ["bad"], 24: ["still bad"], 48: ["still bad"]}
    assert changes(health, None, now=NOW + timedelta(hours=51)) == ["well"]
    assert health.load() is None
    assert changes(health, None, now=NOW + timedelta(hours=52)) == []


def test_the_state_names_the_latest_problem_and_the_first_time(health):
    health.note("one", "x", now=NOW)
    health.note("two", "y", now=NOW + timedelta(minutes=5))
    state = health.load()
    assert (state.problem, state.run_id, state.since) == ("two", "y", "2026-11-22T10:00:00.000Z")


def test_what_could_not_be_told_is_told_by_later_runs_in_its_order(health):
    assert changes(health, "failed", "a .. b", told=False) == ["gap", "bad"]
    assert changes(health, None, told=False) == ["gap", "bad", "well"]
    assert health.load().problem == ""
    assert changes(health, None) == ["gap", "bad", "well"]
    assert health.load() is None


def test_a_gap_that_is_found_anew_by_each_failing_run_is_told_once(health):
    assert changes(health, "failed", "a .. b") == ["gap", "bad"]
    assert changes(health, "failed", "a .. c") == []
    assert changes(health, "failed: before it was found") == []
    assert changes(health, "failed", "a .. c") == []
    assert changes(health, None, "a .. c") == ["well"]
    assert changes(health, None, "d .. e") == ["gap"]
    assert health.load() is None


def test_what_nobody_can_be_told_for_weeks_is_kept_within_bounds(health):
    for hours in range(0, 24 * 60, 24):
        changes(health, "failed", now=NOW + timedelta(hours=hours), told=False)
    assert len(health.load().untold) == health_module.MOST_PENDING


@pytest.mark.parametrize(
    ("problem", "left"),
    [("failed: x", True), ("held until x", True), ("events have been waiting for 901 s", False), (None, False)],
)
def test_only_a_route_that_failed_or_is_held_waits_for_its_schedule(health, problem, left):
    health.note(problem, "x", "a .. b", NOW)
    assert health.waits_for_its_schedule() is left


def test_a_state_of_a_former_version_is_read(health):
    health_module.Variable.set(
        health.key, '{"problem": "failed: x", "run_id": "r", "since": "2026-11-22T09:00:00Z", "told": "2026-11-22T09:00:00Z"}'
    )
    assert changes(health, None) == ["well"]


def test_a_state_that_cannot_be_read_keeps_no_run_from_being_woken(health, monkeypatch):
    def unreachable(_key):
        raise AirflowUnavailableError("x")

    monkeypatch.setattr(health_module, "read_rare_variable", unreachable)
    assert health.waits_for_its_schedule() is False


FORMER = """{
 "problem": "failed: the webhook at https://hooks.example.com: 401 Unauthorized (event 900, try 1)",
 "run_id": "scheduled__2026-11-22T09:00:00+00:00",
 "since": "2026-11-22T09:00:00.000Z",
 "told": "2026-11-22T09:00:00.000Z",
 "gap": "2026-11-20T00:00:00.000Z",
 "untold": [["gap", "2026-11-20T00:00:00.000Z .. 2026-11-21T00:00:00.000Z"]]
}"""


def test_what_the_version_before_stored_is_read_and_gone_on_from(health):
    health_module.Variable.set(health.key, FORMER)
    state = health.load()
    assert (state.refused, state.stuck, state.aside) == ([], None, 0)
    assert state.gap == "2026-11-20T00:00:00.000Z"
    assert changes(health, None) == ["gap", "well"]
    assert health.load() is None


REFUSED = [f"900{number}" for number in range(20)]


def test_a_webhook_that_refuses_everything_stays_bad_though_a_run_finds_nothing_to_send(health):
    health.keep_refused(REFUSED[:19])
    assert not health.waits_for_its_schedule()
    health.keep_refused(REFUSED)
    assert health.waits_for_its_schedule()
    assert changes(health, "failed: refuses event x, like the 19 before it", now=NOW) == ["bad"]
    assert changes(health, None, now=NOW) == []
    assert health.load().problem.startswith("failed: refuses")
    health.keep_refused([])
    assert changes(health, None, now=NOW) == ["well"]
    assert health.load() is None


def fails(health, log_id, hours, **more):
    return changes_of(health, "failed: 503", hours, first=(log_id, "fp"), **more)


def changes_of(health, problem, hours, **more):
    messages = health.note(problem, "x", now=NOW + timedelta(hours=hours), **more)
    health.told(len(messages))
    return messages


def test_an_event_is_suspected_after_ten_failed_runs_and_six_hours(health):
    for _ in range(12):
        fails(health, "9001", 0, sets_aside=True)
    assert health.suspect(NOW + timedelta(hours=5.9)) is None
    assert health.suspect(NOW + timedelta(hours=6)) == "9001"
    fails(health, "9002", 7, sets_aside=True)
    assert health.suspect(NOW + timedelta(hours=20)) is None
    for _ in range(8):
        fails(health, "9002", 8, sets_aside=True)
    assert health.suspect(NOW + timedelta(hours=20)) is None, "nine runs"
    fails(health, "9002", 9, sets_aside=True)
    assert health.suspect(NOW + timedelta(hours=20)) == "9002"
    changes_of(health, None, 20)
    assert health.suspect(NOW + timedelta(hours=30)) is None


def test_a_failure_that_says_nothing_of_the_event_neither_counts_nor_resets(health):
    for hours in range(9):
        fails(health, "9001", hours, sets_aside=True)
        changes_of(health, "failed: 401", hours)
        changes_of(health, "held: 410", hours)
    assert health.load().stuck.runs == 9


def test_a_route_that_does_not_set_aside_names_the_event_at_once_and_once(health):
    told = [fails(health, "9001", hours) for hours in range(11)]
    ((change, words),) = told[9]
    assert change == "still bad"
    assert words == "failed: 503; since 2026-11-22T10:00:00.000Z no run got further than event 9001 (type 'fp')"
    assert [change for change, _ in told[0]] == ["bad"]
    assert told[1:9] + told[10:] == [[]] * 9
    assert "9001" in health.load().problem


def test_a_route_that_sets_aside_by_itself_names_no_event(health):
    told = [fails(health, "9001", hours, sets_aside=True) for hours in range(12)]
    assert told == [[["bad", "failed: 503"]]] + [[]] * 11
    assert "9001" not in health.load().problem


def test_events_that_were_set_aside_are_told_once_a_day_and_all_counted(health):
    told = []
    for hours in range(30):
        health.note_aside(2, f"900{hours} (type 'fp'): 422")
        told += [(hours, *message) for message in changes_of(health, None, hours)]
    assert [(hours, change) for hours, change, _ in told] == [(0, "bad"), (1, "well"), (24, "bad"), (25, "well")]
    assert told[0][2].startswith("set aside: 2 events, the first 9000 (type 'fp'): 422; the DAG auth0_webhook_dead_letters")
    assert told[2][2].startswith("set aside: 48 events, the first 9001 ")


def test_one_event_that_was_set_aside_is_one_event(health):
    health.note_aside(1, "9001 (type 'fp'): 422")
    ((_, words),) = changes_of(health, None, 0)
    assert words.startswith("set aside: 1 event, the first 9001 ")


def test_a_run_that_sets_aside_and_fails_tells_both_and_a_failure_after_it_is_news(health):
    health.note_aside(1, "9001")
    assert [change for change, _ in changes_of(health, "failed: 401", 0)] == ["bad", "bad"]
    assert [change for change, _ in changes_of(health, None, 1)] == ["well"]
    health.note_aside(1, "9002")
    assert changes_of(health, None, 2) == []
    assert [change for change, _ in changes_of(health, None, 25)] == ["bad"]
    assert [change for change, _ in changes_of(health, "failed: 401", 26)] == ["bad"]


def test_what_was_set_aside_is_forgotten_a_day_after_it_was_told(health):
    health.note_aside(1, "9001")
    changes_of(health, None, 0)
    changes_of(health, None, 1)
    assert health.load().problem == ""
    changes_of(health, None, 25)
    assert health.load() is None
