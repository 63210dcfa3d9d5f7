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


def test_a_route_that_stays_bad_is_told_once_a_day(health):
    told = [health.note("failed", "x", NOW + timedelta(hours=hours)) for hours in range(50)]
    assert [(hours, change) for hours, change in enumerate(told) if change] == [(0, "bad"), (24, "still bad"), (48, "still bad")]
    assert health.note(None, "x", NOW + timedelta(hours=51)) == "well"
    assert health.note(None, "x", NOW + timedelta(hours=52)) is None


def test_the_state_names_the_latest_problem_and_the_first_time(health):
    health.note("one", "x", NOW)
    health.note("two", "y", NOW + timedelta(minutes=5))
    state = health.load()
    assert (state.problem, state.run_id, state.since) == ("two", "y", "2026-11-22T10:00:00.000Z")


def test_what_could_not_be_told_is_told_by_the_next_run(health):
    health.note("one", "x", NOW)
    health.forget_telling()
    assert health.note("one", "x", NOW) == "still bad"


def test_a_state_that_cannot_be_read_keeps_no_run_from_being_woken(health, monkeypatch):
    def unreachable(_key):
        raise AirflowUnavailableError("x")

    monkeypatch.setattr(health_module, "read_variable", unreachable)
    assert health.is_bad() is False
