"""When a person is told about a route. Variables in memory; Airflow's own are in test_runs.py."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from auth0_webhooks import health as health_module
from auth0_webhooks.errors import AirflowUnavailableError
from auth0_webhooks.health import Health

NOW = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)


@pytest.fixture
def health(monkeypatch):
    values = {}
    monkeypatch.setattr(health_module, "read_variable", values.get)
    monkeypatch.setattr(health_module.Variable, "set", lambda key, text, **_: values.update({key: text}))
    monkeypatch.setattr(health_module.Variable, "delete", values.pop)
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
    assert len(health.load().untold) == health_module.MOST_UNTOLD


@pytest.mark.parametrize(
    ("problem", "left"),
    [("failed: x", True), ("held until x", True), ("events have been waiting for 901 s", False), (None, False)],
)
def test_only_a_route_that_failed_or_is_held_is_left_to_the_clock(health, problem, left):
    health.note(problem, "x", "a .. b", NOW)
    assert health.is_left_to_the_clock() is left


def test_a_state_of_a_former_version_is_read(health):
    health_module.Variable.set(
        health.key, '{"problem": "failed: x", "run_id": "r", "since": "2026-11-22T09:00:00Z", "told": "2026-11-22T09:00:00Z"}'
    )
    assert changes(health, None) == ["well"]


def test_a_state_that_cannot_be_read_keeps_no_run_from_being_woken(health, monkeypatch):
    def unreachable(_key):
        raise AirflowUnavailableError("x")

    monkeypatch.setattr(health_module, "read_variable", unreachable)
    assert health.is_left_to_the_clock() is False
