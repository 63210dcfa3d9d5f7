"""Where runs begin: the first one, and one whose checkpoint has left the tenant's log."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from auth0_webhooks.model.checkpoint import parse_checkpoint
from auth0_webhooks.times import iso
from tests.support.runner import hours_ago, in_window, spread, unpacked

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_home", "connections")]


def test_the_first_run_says_where_it_starts_and_a_changed_start_says_how_to_rewind(route, tenant, receiver):
    spread(tenant, 20)
    route.settings = {"start_from": hours_ago(3)}
    assert route.run() == "success"
    assert route.report["notes"] == [
        f"first run: no checkpoint yet, reading starts at start_from: {route.settings['start_from']}"
    ]
    delivered = len(receiver.posts)
    assert delivered == len(in_window(tenant, route.settings["start_from"], hours_ago(0)))
    route.settings = {"start_from": "oldest"}
    tenant.add("s")
    assert route.run() == "success"
    (note,) = route.report["notes"]
    assert "is now oldest: it counts for the first run only" in note
    assert f"set Variable '{route.name}_checkpoint' to a date-time" in note
    assert len(receiver.posts) == delivered + 1
    route.run()
    assert route.report["notes"] == []


@pytest.mark.parametrize("refused", [True, False], ids=["400", "read like any position"])
def test_an_expired_checkpoint_is_reported_as_a_gap_once_and_delivery_goes_on(route, tenant, receiver, logged, refused):
    tenant.log_token_requests = False
    old = datetime.now(timezone.utc) - timedelta(days=3)
    tenant.add("s", when=old)
    route.run()
    tenant.add("f", when=old + timedelta(hours=1))
    tenant.expire(2)
    tenant.refuses_expired = refused
    new = tenant.add("s", when=old + timedelta(hours=2))
    assert route.run() == "success"
    assert receiver.accepted[-1] == new
    assert route.report["gap"] == f"{iso(old)} .. {iso(old + timedelta(hours=2))}"
    assert "no longer in the tenant's log" in logged()
    assert route.run() == "success"
    assert route.report["gap"] is None


def test_an_expired_checkpoint_that_auth0_answers_by_no_events_stalls_nothing(route, tenant, receiver):
    route.settings = {"retention_days": 5}
    tenant.log_token_requests, tenant.refuses_expired, tenant.empty_when_expired = False, False, True
    old = datetime.now(timezone.utc) - timedelta(days=3)
    tenant.add("s", when=old)
    route.run()
    tenant.expire(1)
    new = tenant.add("s", when=old + timedelta(hours=2))
    assert route.run() == "success"
    assert receiver.accepted[-1] == new
    assert route.report["gap"] == f"{iso(old)} .. {iso(old + timedelta(hours=2))}"
    assert route.run() == "success"
    assert route.report["gap"] is None


@pytest.mark.parametrize("started", [False, True], ids=["first run", "later run"])
def test_an_event_that_is_shown_after_one_of_a_larger_id_is_delivered(route, tenant, receiver, monkeypatch, started):
    route.waits["settle"] = 0.2
    tenant.log_token_requests = False
    if started:
        tenant.add("s", when=datetime.now(timezone.utc) - timedelta(hours=1))
        route.run()
    came_in = datetime.now(timezone.utc) + timedelta(hours=1)  # just now, for as long as this test runs
    late, early = tenant.add("s", when=came_in), tenant.add("s", when=came_in)
    looks = tenant.requests["GET /api/v2/logs"] + (2 if not started else 1)
    monkeypatch.setattr(
        tenant, "_is_shown", lambda index: tenant._ids[index] != late or tenant.requests["GET /api/v2/logs"] > looks
    )
    for _ in range(2):
        assert route.run() == "success"
    assert receiver.accepted[-2:] == [late, early]


def test_a_route_that_starts_now_delivers_what_happens_from_its_first_run_on_and_nothing_before(route, tenant, receiver):
    route.settings = {"start_from": "now"}
    tenant.log_token_requests = False
    tenant.add_many(20, types={"s": 1}, spread=30)
    assert route.run() == "success"
    assert receiver.posts == []
    new = tenant.add("f")
    assert route.run() == "success"
    assert receiver.accepted == [new]


def test_a_gap_in_a_log_that_is_empty_is_reported_once_and_its_next_event_is_delivered(route, tenant, receiver):
    tenant.log_token_requests = False
    tenant.add("s", when=datetime.now(timezone.utc) - timedelta(days=3))
    route.run()
    tenant.expire(1)
    assert route.run() == "success"
    assert route.report["gap"] is not None
    assert route.run() == "success"
    assert route.report["gap"] is None
    new = tenant.add("s")
    assert route.run() == "success"
    assert receiver.accepted[-1] == new


def test_the_last_event_of_a_quiet_tenant_may_leave_its_log_without_a_gap(route, tenant, receiver):
    route.settings = {"on_gap": "stop"}
    tenant.log_token_requests = False
    tenant.add("s", when=datetime.now(timezone.utc) - timedelta(days=3))
    route.run()
    place = route.checkpoint.position
    route.run()
    assert route.checkpoint.position.log_id == place.log_id
    assert route.checkpoint.position.date > place.date
    stored = route.stored_checkpoint
    route.run()
    assert route.stored_checkpoint == stored
    tenant.expire(1)
    new = tenant.add("s")
    assert route.run() == "success"
    assert route.report["gap"] is None
    assert receiver.accepted[-1] == new


def test_a_route_that_is_to_stop_at_a_gap_stops_and_moves_nothing(route, tenant, receiver, logged):
    route.settings = {"on_gap": "stop"}
    tenant.log_token_requests = False
    tenant.add("s", when=datetime.now(timezone.utc) - timedelta(days=3))
    route.run()
    stored = route.stored_checkpoint
    tenant.expire(1)
    tenant.add("s")
    assert route.run() == "failed"
    assert "delete the checkpoint's Variable or set it to a date-time" in logged()
    report = unpacked(route.xcoms()["fetch", "report"])
    assert report["gap"].startswith(parse_checkpoint(stored, key="k").position.date)
    assert report["outcome"].startswith("failed: the checkpoint's event of")
    assert route.stored_checkpoint == stored
    assert len(receiver.posts) == 1


def test_events_that_are_about_to_expire_undelivered_are_warned_about(route, tenant, receiver, logged):
    route.settings = {"retention_days": 5, "concurrent_calls": 1}
    tenant.log_token_requests = False
    for hours in (73, 72, 71):
        tenant.add("s", when=datetime.now(timezone.utc) - timedelta(hours=hours))
    receiver.behave = lambda _post: 401 if len(receiver.posts) > 1 else 200
    assert route.run() == "failed"
    assert "events will be lost in 2.0 days" in logged()
    assert "events will be lost in 2.0 days" in route.report["notes"][-1]
