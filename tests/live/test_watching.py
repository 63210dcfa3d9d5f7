"""The watch under a live triggerer: no run here is triggered by hand or by the schedule."""

from __future__ import annotations

import time

import pytest

from auth0_webhooks.triggers.log_watch import REMIND_SECONDS
from tests.live.support.stack import routes_of


@pytest.fixture(scope="module")
def pair(airflow):
    """Two routes that watch one tenant; the webhook of the second refuses all."""
    with routes_of(airflow) as make:
        good = make("watched")
        bad = make("failing", good.tenant)
        bad.receiver.behave = lambda _post: 401
        yield good.enabled(), bad.enabled()


@pytest.fixture
def watched(pair):
    """The good one, what was recorded before forgotten."""
    good, _ = pair
    good.enable()
    good.airflow.wait_until(good.all_ended, "earlier runs end", 120)
    good.receiver.posts.clear()
    return good


def asset_runs(route):
    query = "select run_id from dag_run where dag_id = ? and run_type = 'asset_triggered'"
    return route.airflow.rows(query, route.name)


def arrives(route, log_id):
    route.airflow.wait_until(lambda: log_id in route.receiver.accepted, "the event arrives", REMIND_SECONDS + 90)


def test_an_event_starts_a_run(watched):
    runs = len(asset_runs(watched))
    arrives(watched, watched.tenant.add("f"))
    assert len(asset_runs(watched)) > runs


def test_a_route_that_fails_is_not_woken_again_and_again_and_holds_no_other_up(watched, pair):
    _, bad = pair
    arrives(watched, watched.tenant.add("f"))
    noted = "select 1 from variable where key = 'failing_health'"
    watched.airflow.wait_until(lambda: watched.airflow.rows(noted) and bad.all_ended(), "the failing route is noted", 120)
    runs = len(bad.runs())
    for _ in range(3):
        arrives(watched, watched.tenant.add("f"))
    assert len(bad.runs()) <= runs + 1


def test_a_backlog_is_drained_run_after_run_without_waiting_for_the_schedule(watched):
    runs, began = len(asset_runs(watched)), time.monotonic()
    backlog = [watched.tenant.add("f") for _ in range(170)]
    watched.airflow.wait_until(lambda: len(watched.receiver.accepted) >= len(backlog), "the backlog is drained", 120)
    assert sorted(watched.receiver.accepted) == backlog
    # Four runs of at most 50 events, and not one for each look that saw some of them.
    # The watch wakes a route again each REMIND_SECONDS while it lies behind.
    reminders = (time.monotonic() - began) // REMIND_SECONDS
    assert runs + 3 <= len(asset_runs(watched)) <= runs + 8 + reminders


def test_pausing_the_dag_stops_a_drain_and_enabling_it_goes_on(watched):
    airflow = watched.airflow
    backlog = [watched.tenant.add("f") for _ in range(200)]
    watched.wait_for_posts(50)
    watched.enable(on=False)
    running = "select 1 from task_instance where dag_id = 'watched' and state = 'running'"
    airflow.wait_until(lambda: not airflow.rows(running), "tasks end", 60)
    assert len(watched.receiver.accepted) < len(backlog)
    watched.enable()
    airflow.wait_until(lambda: len(watched.receiver.accepted) >= len(backlog), "the rest is drained", 120)
    assert sorted(watched.receiver.accepted) == backlog


def wake_ups(route):
    """How often a route was woken so far, and asked for its next run."""
    query = "select count(*) from asset_event e join asset a on a.id = e.asset_id where a.name = ?"
    return route.airflow.rows(query, f"{route.name}_new_events")[0][0]


def add_one_a_look(route, count):
    """Add events that the route wants, each when the one before was looked at; returns their ids."""
    added = []
    for _ in range(count):
        looks = route.tenant.requests["GET /api/v2/logs"]
        added.append(route.tenant.add("f"))
        route.airflow.wait_until(lambda looks=looks: route.tenant.requests["GET /api/v2/logs"] > looks + 1, "a look", 60)
    return added


def test_while_a_run_is_under_way_the_next_is_asked_for_once_and_reads_all_that_came(watched):
    # A run at the log's end, so that no reminder of earlier tests is due.
    arrives(watched, watched.tenant.add("f"))
    watched.airflow.wait_until(watched.all_ended, "the run ends", 120)
    released = []
    watched.receiver.behave = lambda _post: ("after", lambda: released, 200)
    before, began = wake_ups(watched), time.monotonic()
    added = [watched.tenant.add("f")]
    posts = len(watched.receiver.posts)
    watched.airflow.wait_until(lambda: len(watched.receiver.posts) > posts, "delivery is under way", 60)
    added += add_one_a_look(watched, 15)
    # The one that started the run, one for the next, one that was sent before Airflow had made the run.
    reminders = (time.monotonic() - began) // REMIND_SECONDS
    woken = wake_ups(watched) - before
    released.append(True)
    for log_id in added:
        arrives(watched, log_id)
    assert 1 <= woken <= 3 + reminders
    watched.receiver.behave = lambda _post: 200


def test_a_paused_route_is_not_woken_for_each_look(watched):
    watched.enable(on=False)
    before, began = wake_ups(watched), time.monotonic()
    added = add_one_a_look(watched, 15)
    assert wake_ups(watched) - before <= 2 + (time.monotonic() - began) // REMIND_SECONDS
    watched.enable()
    for log_id in added:
        arrives(watched, log_id)
