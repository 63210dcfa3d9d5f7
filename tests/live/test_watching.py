"""The watch under a live triggerer: no run here is triggered by hand or by the clock."""

from __future__ import annotations

import time

import pytest

from auth0_webhooks.watch import REMIND_SECONDS
from tests.live.stack import FAILING, WATCHED, all_ended

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def _switched_on(airflow):
    for dag_id in (WATCHED, FAILING):
        airflow.cli("dags", "unpause", dag_id)
    airflow.wait_until(lambda: airflow.runs(WATCHED) and airflow.runs(FAILING), "the clock's first runs", 120)
    yield
    for dag_id in (WATCHED, FAILING):
        airflow.cli("dags", "pause", dag_id)


@pytest.fixture
def watched(airflow, services, _switched_on):
    """The two routes that watch one tenant; what was recorded before is forgotten."""
    (*_, tenant), (*_, receiver) = services
    receiver.posts.clear()
    receiver.behave = lambda post: 401 if post.path == "/failing" else 200
    return airflow, tenant, receiver


def accepted(receiver):
    return sorted(post.log_id for post in receiver.posts if post.path == "/good")


def asset_runs(airflow, dag_id):
    return airflow.rows("select run_id from dag_run where dag_id = ? and run_type = 'asset_triggered'", dag_id)


def test_an_event_starts_a_run_and_a_failing_webhook_of_the_same_tenant_holds_it_up_in_nothing(watched):
    airflow, tenant, receiver = watched
    for _ in range(3):
        log_id = tenant.add("f")
        airflow.wait_until(lambda log_id=log_id: log_id in accepted(receiver), "the event arrives", 60)
    airflow.wait_until(
        lambda: airflow.rows("select 1 from variable where key = ?", f"{FAILING}_health"), "the failing route is noted", 60
    )
    assert asset_runs(airflow, WATCHED)


def test_a_route_that_fails_is_not_woken_again_and_again(watched):
    airflow, tenant, receiver = watched
    airflow.wait_until(lambda: all_ended(airflow, FAILING), "its runs so far end", 120)
    runs = len(airflow.runs(FAILING))
    for _ in range(3):
        log_id = tenant.add("f")
        airflow.wait_until(lambda log_id=log_id: log_id in accepted(receiver), "the good route delivers", 60)
    assert len(airflow.runs(FAILING)) <= runs + 1


def test_a_backlog_is_drained_run_after_run_without_waiting_for_the_clock(watched):
    airflow, tenant, receiver = watched
    runs, began = len(asset_runs(airflow, WATCHED)), time.monotonic()
    backlog = [tenant.add("f") for _ in range(220)]
    airflow.wait_until(lambda: len(accepted(receiver)) >= len(backlog), "the backlog is drained", 120)
    assert accepted(receiver) == backlog
    # Five runs of at most 50 events, and not one for each look that saw some of them.
    # The watch wakes a route again each REMIND_SECONDS while it lies behind.
    reminders = (time.monotonic() - began) // REMIND_SECONDS
    assert runs + 4 <= len(asset_runs(airflow, WATCHED)) <= runs + 10 + reminders


def test_pausing_the_dag_stops_a_drain_and_switching_it_on_again_goes_on(watched):
    airflow, tenant, receiver = watched
    backlog = [tenant.add("f") for _ in range(300)]
    airflow.wait_until(lambda: len(accepted(receiver)) >= 50, "the first run delivers", 60)
    airflow.rest("PATCH", f"/dags/{WATCHED}", is_paused=True)
    airflow.wait_until(
        lambda: not airflow.rows("select 1 from task_instance where dag_id = ? and state = 'running'", WATCHED), "tasks end", 60
    )
    assert len(accepted(receiver)) < len(backlog)
    airflow.rest("PATCH", f"/dags/{WATCHED}", is_paused=False)
    airflow.wait_until(lambda: len(accepted(receiver)) >= len(backlog), "the rest is drained", 120)
    assert accepted(receiver) == backlog


def test_the_watch_goes_on_after_the_triggerer_was_killed(watched):
    airflow, tenant, receiver = watched
    airflow.kill_component("triggerer")
    log_id = tenant.add("f")
    airflow.start_component("triggerer")
    airflow.wait_until(lambda: log_id in accepted(receiver), "the event arrives", 180)
