"""What runs tell others: assets, alarms, health, metrics."""

from __future__ import annotations

import base64
import json
import time
from datetime import datetime, timedelta, timezone

import pytest

from auth0_webhooks.times import iso
from simulation.receiver import Receiver
from tests.conftest import set_connection
from tests.support.runner import asset_events, hours_ago, spread, wanted

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_home", "connections")]


def test_what_other_dags_start_after_is_there_before_the_first_delivery(route, tenant):
    """Two runs that made it in the same moment would fail one of them."""
    tenant.log_token_requests = False
    assert route.run() == "success"
    assert route.states["deliver"] == "skipped"
    assert route.rows("select count(*) from asset where name = :name", name=f"{route.name}_delivered") == [(1,)]


def test_a_run_at_its_limit_asks_for_the_next_and_the_last_one_does_not(route, tenant, receiver):
    route.settings = {"max_logs_per_run": 120}
    spread(tenant, 300)
    route.run()
    route.run()
    assert len(asset_events(route, f"{route.name}_new_events")) == 2
    route.run()
    route.run()
    assert len(asset_events(route, f"{route.name}_new_events")) == 2
    assert sorted(receiver.accepted) == wanted(tenant)


def test_a_run_that_delivered_something_tells_other_dags_with_its_report(route, tenant, receiver):
    spread(tenant, 30)
    route.run()
    route.run()
    (extra,) = asset_events(route, f"{route.name}_delivered")
    assert extra["delivered_now"] == len(wanted(tenant))
    assert extra["run_id"].startswith("manual__")


def test_what_an_earlier_try_delivered_is_told_to_other_dags_by_the_one_that_ends_well(route, tenant, receiver):
    tenant.log_token_requests = False
    ids = [tenant.add("s") for _ in range(4)]
    stored = {"log_id": ids[0], "date": iso(datetime.now(timezone.utc)), "saved_as": ids[0], "acknowledged": ids[1:]}
    route.set_checkpoint(json.dumps(stored))
    assert route.run() == "success"
    assert receiver.posts == []
    ((extra),) = asset_events(route, f"{route.name}_delivered")
    assert (extra["delivered_now"], extra["delivered_before"]) == (0, 3)


@pytest.fixture
def pager(receiver, monkeypatch):
    """A webhook for alarms; gives what was told so far."""
    with Receiver().running() as running:
        set_connection(monkeypatch, "pager", host=f"{running.url}/alarm")
        yield lambda: [(post.event["state"], post.event["text"]) for post in running.posts]


def health(route):
    from airflow.models import Variable

    return Variable.get(f"{route.name}_health", default_var=None)


def test_a_route_that_goes_bad_is_told_once_and_when_it_is_well_again(route, tenant, receiver, pager):
    route.settings = {"alarm_conn_id": "pager"}
    spread(tenant, 10)
    receiver.behave = lambda _post: 401
    for _ in range(3):
        assert route.run() == "failed"
    ((state, text),) = pager()
    assert state == "bad"
    assert text.startswith(f"{route.name} is bad: failed: the webhook at http://127.0.0.1:")
    assert "401" in health(route)
    receiver.behave = lambda _post: 200
    route.run()
    route.run()
    assert [state for state, _ in pager()] == ["bad", "well"]
    assert health(route) is None


def test_the_health_names_the_class_of_the_error(route, tenant, receiver):
    spread(tenant, 10)
    for answer, error in ((401, "EndpointWrongError"), (422, "EventRefusedError")):
        receiver.behave = lambda _post, answer=answer: answer
        assert route.run() == "failed"
        assert json.loads(health(route))["error"] == error


def test_a_hold_and_a_gap_and_a_long_wait_are_told(route, tenant, receiver, pager):
    route.settings = {"alarm_conn_id": "pager", "max_logs_per_run": 10, "alarm_lag_seconds": 3600}
    tenant.log_token_requests = False
    old = datetime.now(timezone.utc) - timedelta(days=3)
    tenant.add("s", when=old)
    route.run()
    tenant.expire(1)
    for n in range(15):
        tenant.add("s", when=old + timedelta(hours=1, seconds=n))
    route.run()
    assert [state for state, _ in pager()] == ["gap", "bad"]
    assert "events have been waiting for" in pager()[1][1]
    receiver.behave = lambda _post: 410
    route.run()
    route.run()
    assert "held until" in json.loads(health(route))["problem"]
    assert len(pager()) == 2


def test_a_gap_that_no_run_gets_over_is_told_once(route, tenant, receiver, pager):
    route.settings = {"alarm_conn_id": "pager"}
    tenant.log_token_requests = False
    old = datetime.now(timezone.utc) - timedelta(days=3)
    tenant.add("s", when=old)
    route.run()
    tenant.expire(1)
    tenant.add("s", when=old + timedelta(hours=1))
    receiver.behave = lambda _post: 401
    for _ in range(3):
        assert route.run() == "failed"
    assert [state for state, _ in pager()] == ["gap", "bad"]
    receiver.behave = lambda _post: 200
    assert route.run() == "success"
    assert [state for state, _ in pager()] == ["gap", "bad", "well"]


def test_an_alarm_that_cannot_be_sent_is_sent_by_the_next_run_and_hurts_nobody(route, tenant, receiver, monkeypatch):
    route.settings = {"alarm_conn_id": "pager"}
    spread(tenant, 10)
    receiver.behave = lambda _post: 401
    set_connection(monkeypatch, "pager", host="http://127.0.0.1:9")
    assert route.run() == "failed"
    with Receiver().running() as running:
        set_connection(monkeypatch, "pager", host=running.url)
        receiver.behave = lambda _post: 200
        route.run()
        assert [post.event["state"] for post in running.posts] == ["bad", "well"]


SIGNING = "whsec_" + base64.b64encode(b"only for this test, 32 bytes....").decode()
PSEUDONYMS = "a-long-key-of-another-webhook-for-its-pseudonyms"


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"signing_secrets": [SIGNING], "pseudonym_secret": PSEUDONYMS}, "a pseudonym secret and signing secrets"),
        ({"X-Pseudonym-Secret": PSEUDONYMS}, "a pseudonym secret"),
        ({"headers": {"X-Old": f"{SIGNING}, {SIGNING}"}}, "signing secrets"),
    ],
    ids=["of a webhook", "as a header", "as a header's value"],
)
def test_no_alarm_goes_out_by_a_connection_with_a_webhooks_secrets(route, tenant, receiver, monkeypatch, logged, extra, named):
    with Receiver().running() as other:
        set_connection(monkeypatch, "webhook_of_another_route", host=other.url, extra=json.dumps(extra))
        route.settings = {"alarm_conn_id": "webhook_of_another_route"}
        spread(tenant, 5)
        assert route.run() == "success"
        fault = f"key 'alarm_conn_id': connection 'webhook_of_another_route' holds {named}, which would be sent"
        assert fault in logged(), "a person sees it before there is anything to be told"
        assert any(fault in note for note in route.report["notes"])
        tenant.add("s")
        receiver.behave = lambda _post: 401
        assert route.run() == "failed"
        shown = logged()
        assert f"the alarm could not be sent: route '{route.name}': {fault}" in shown
        assert SIGNING not in shown
        assert PSEUDONYMS not in shown
        assert other.posts == []

        set_connection(monkeypatch, "webhook_of_another_route", host=other.url, extra=json.dumps({"Authorization": "Bearer x"}))
        receiver.behave = lambda _post: 200
        assert route.run() == "success"
        assert [post.event["state"] for post in other.posts] == ["bad", "well"], "what could not be sent is sent once it can be"
        assert not any("alarm_conn_id" in note for note in route.report["notes"])


def test_a_connection_type_webhook_without_secrets_may_tell(route, tenant, receiver, monkeypatch):
    """Its form stores what was left empty."""
    with Receiver().running() as other:
        empty = {"signing_secrets": None, "pseudonym_secret": None}
        set_connection(monkeypatch, "pager", conn_type="webhook", host=other.url, extra=json.dumps(empty))
        route.settings = {"alarm_conn_id": "pager"}
        spread(tenant, 5)
        receiver.behave = lambda _post: 401
        assert route.run() == "failed"
        assert [post.event["state"] for post in other.posts] == ["bad"]


def test_a_missing_connection_of_alarms_is_said_by_each_run_and_fails_none(route, tenant, receiver, logged):
    route.settings = {"alarm_conn_id": "no_such_pager"}
    spread(tenant, 5)
    assert route.run() == "success"
    assert "connection 'no_such_pager' is missing" in logged()
    assert any("no_such_pager" in note for note in route.report["notes"])


def test_a_replay_or_a_dry_run_that_fails_says_nothing_about_the_route(route, tenant, receiver):
    spread(tenant, 10)
    receiver.behave = lambda _post: 401
    assert route.run(since=hours_ago(7), until=hours_ago(0.1)) == "failed"
    assert "401" in route.report["outcome"]
    assert route.run(since="the day before") == "failed"
    assert health(route) is None


@pytest.fixture
def sent(monkeypatch):
    """The metrics that runs send, in Airflow's own API: (name, value, tags)."""
    from airflow.sdk.observability import stats

    found = []
    monkeypatch.setattr(stats, "incr", lambda name, count=1, **more: found.append((name, count, more["tags"])))
    monkeypatch.setattr(stats, "gauge", lambda name, value, **more: found.append((name, value, more["tags"])))
    return found


def values(sent):
    """The metrics of one run by name, those of the histogram's buckets by their bound."""
    return {tags.get("le", name.removeprefix("auth0_webhooks.")): value for name, value, tags in sent}


def test_the_metrics_of_a_run_say_what_its_report_says(route, tenant, sent):
    route.settings = {"retention_days": 5}
    spread(tenant, 10)
    began = time.time()
    route.run()
    found, delivered = values(sent), len(wanted(tenant))
    assert {tags["route"] for _, _, tags in sent} == {route.name}
    assert {key for _, _, tags in sent for key in tags} == {"route", "le"}
    assert found["delivered"] == found["delivery_seconds_count"] == found["Inf"] == found["86400"] == delivered
    assert found["1"] == 0
    assert 0 < found["delivery_seconds_sum"] < delivered * 7 * 3600
    assert (found["dead_lettered"], found["failed_runs"], found["lag_seconds"]) == (0, 0, 0.0)
    assert found["seconds_to_retention_loss"] == 5 * 86_400.0
    assert began - 1 <= found["last_run_timestamp_seconds"] <= time.time() + 1
    assert found["api_requests"] == route.report["api_requests"] > 0
    budget = {key: value for key, value in found.items() if key in {"api_limit", "api_remaining", "api_rate"}}
    assert budget == {key: route.report[key] for key in budget}
    assert len(sent) == len(found)


def test_the_metrics_of_failed_and_refused(route, tenant, receiver, sent):
    route.settings = {"on_reject": "dead_letter"}
    route.run()
    sent.clear()
    tenant.add("s")
    refused = tenant.add("s")
    receiver.behave = lambda post: 400 if post.event["log_id"] == refused else 200
    route.run()
    assert (values(sent)["delivered"], values(sent)["dead_lettered"]) == (1, 1)
    assert values(sent)["delivery_seconds_count"] == 1
    sent.clear()
    tenant.add("s")
    receiver.behave = lambda _post: 401
    route.run()
    assert ("auth0_webhooks.failed_runs", 1, {"route": route.name}) in sent
    assert values(sent)["lag_seconds"] > 0
    sent.clear()
    route.set_checkpoint("nonsense")
    assert route.run() == "failed"
    assert values(sent)["failed_runs"] == 1
    assert "lag_seconds" not in values(sent)


def test_a_replay_says_nothing_of_how_far_the_route_is(route, tenant, sent):
    spread(tenant, 10)
    assert route.run(since=hours_ago(7), until=hours_ago(0.1)) == "success"
    assert set(values(sent)) == {"delivered", "dead_lettered", "api_requests", "api_limit", "api_remaining", "api_rate"}
    sent.clear()
    assert route.run(dry_run=True) == "success"
    assert set(values(sent)) == {"api_requests", "api_limit", "api_remaining", "api_rate"}


def test_a_run_that_only_finds_events_waiting_for_long_is_no_failed_run(route, tenant, receiver, sent):
    route.settings = {"max_logs_per_run": 10, "alarm_lag_seconds": 60}
    spread(tenant, 30)
    assert route.run() == "success"
    assert "events have been waiting for" in health(route)
    assert values(sent)["failed_runs"] == 0
