"""The audit, on a real Airflow database, over real HTTP: what no run accounts for is found, named and sent."""

from __future__ import annotations

import json
import random
import shutil
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
import yaml

from auth0_webhooks.audit.notices import notify
from auth0_webhooks.audit.outcome import Outcome
from auth0_webhooks.settings.route import Route
from auth0_webhooks.times import iso
from simulation.receiver import Receiver
from simulation.tenant import CLIENT_ID, CLIENT_SECRET, USUAL_TYPES, Tenant
from tests.conftest import set_connection
from tests.support.runner import hours_ago, in_window, wanted

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_home", "connections")]

COUNTS = ("read", "delivered", "set_aside", "left_out", "waiting", "not_kept", "unaccounted")


@pytest.fixture
def kept(route, tmp_path):
    """The route of the test, which keeps its hashes in a folder of the test."""
    route.settings = {"dead_letter_path": str(tmp_path / "letters")}
    return tmp_path / "letters" / "kept_hashes" / route.name


def past(tenant, count):
    """Events of the last hours but the last half, none of a token request among them."""
    tenant.log_token_requests = False
    begin, step = datetime.now(timezone.utc) - timedelta(hours=6), timedelta(hours=5.5) / max(count, 1)
    kinds = random.Random(1).choices(list(USUAL_TYPES), list(USUAL_TYPES.values()), k=count)
    return [tenant.add(kind, when=begin + number * step) for number, kind in enumerate(kinds)]


def counts(outcome):
    return {key: outcome[key] for key in COUNTS if outcome[key]}


def audit(route, *, since=7, until=0.05, **conf):
    """Audit the hours of the test; returns the state and the route's part of the report."""
    route.load()
    state, report = route.run_audit(since=hours_ago(since), until=hours_ago(until), **conf)
    return state, report[route.name]


def lose(route, tenant, ids, first, last):
    """Move the checkpoint past some events by hand."""
    place = json.loads(route.stored_checkpoint)["log_id"]
    assert place == ids[first - 1], "the run ended just before what is to be lost"
    route.set_checkpoint(ids[last])


def test_a_clean_day_says_so(route, tenant, receiver, kept, logged):
    ids = past(tenant, 300)
    assert route.run() == "success"
    state, found = audit(route)
    delivered = len(wanted(tenant))
    assert state == "success"
    assert counts(found) == {"read": 300, "delivered": delivered, "left_out": 300 - delivered}
    assert found["outcome"] == "everything that was wanted is accounted for"
    assert found["audited_until"] == found["until"]
    assert found["api_requests"] <= 5
    assert f"{route.name}: everything that was wanted is accounted for" in logged()
    assert len(receiver.posts) == delivered
    assert ids


def test_events_lost_by_a_checkpoint_that_was_moved_by_hand_are_found_and_sent_and_then_accounted_for(
    route, tenant, receiver, kept, turns
):
    ids = past(tenant, 300)
    route.settings |= {"max_logs_per_run": 100}
    assert route.run() == "success"
    lose(route, tenant, ids, 100, 149)
    assert route.run() == "success"
    assert route.run() == "success"
    turns.clear()
    lost = [log_id for log_id in ids[100:150] if log_id in wanted(tenant)]
    before = list(receiver.accepted)
    assert set(lost).isdisjoint(before)

    state, found = audit(route)
    assert state == "failed"
    assert found["unaccounted"] == len(lost)
    assert [event["log_id"] for event in found["missing"]] == lost
    assert set(found["missing"][0]) == {"log_id", "type", "date"}
    assert receiver.accepted == before, "an audit that is not to send sends nothing"

    checkpoint = route.stored_checkpoint
    route.settings |= {"max_per_second": 50}
    state, found = audit(route, send=True)
    assert (state, found["unaccounted"], found["sent"]) == ("success", len(lost), len(lost))
    assert turns == [50] * len(lost)
    assert sorted(receiver.accepted) == wanted(tenant)
    assert receiver.problems == []
    assert route.stored_checkpoint == checkpoint

    state, found = audit(route)
    assert (state, found["unaccounted"], found["delivered"]) == ("success", 0, len(wanted(tenant)))


def test_what_was_passed_by_a_time_set_by_hand_is_found_though_no_run_has_followed(route, tenant, receiver, kept):
    past(tenant, 60)
    route.settings |= {"max_logs_per_run": 10}
    route.run()
    route.set_checkpoint(hours_ago(2))
    _, found = audit(route)
    missing = [log_id for log_id in in_window(tenant, hours_ago(7), hours_ago(2)) if log_id not in receiver.accepted]
    assert missing
    assert [event["log_id"] for event in found["missing"]] == missing
    assert found["waiting"] == len(in_window(tenant, hours_ago(2), hours_ago(0)))


def test_an_event_that_the_log_shows_too_late_for_any_run_is_found_and_sent(route, tenant, receiver, kept):
    ids = past(tenant, 60)
    late = [log_id for log_id in ids[20:40] if log_id in wanted(tenant)][:3]
    tenant.shown_after = dict.fromkeys(late, 1e9)
    assert route.run() == "success"
    tenant.shown_after = {}
    assert route.run() == "success"
    assert set(late).isdisjoint(receiver.accepted)
    state, found = audit(route, send=True)
    assert state == "success"
    assert ([event["log_id"] for event in found["missing"]], found["sent"]) == (late, 3)
    assert sorted(receiver.accepted) == wanted(tenant)


def test_events_whose_dates_and_ids_are_in_another_order_are_all_accounted_for(route, tenant, receiver, kept):
    tenant.log_token_requests = False
    begin = datetime.now(timezone.utc) - timedelta(hours=3)
    for number in range(40):
        tenant.add("s", when=begin + timedelta(minutes=number), happened=begin + timedelta(minutes=40 - number))
    assert route.run() == "success"
    state, found = audit(route)
    assert (state, counts(found)) == ("success", {"read": 40, "delivered": 40})


def test_what_was_set_aside_is_accounted_for(route, tenant, receiver, kept):
    ids = past(tenant, 60)
    refused = [log_id for log_id in ids if log_id in wanted(tenant)][10:13]
    route.settings |= {"on_reject": "dead_letter"}
    receiver.behave = lambda post: 422 if post.log_id in refused else 200
    assert route.run() == "success"
    state, found = audit(route)
    assert (state, found["set_aside"], found["delivered"]) == ("success", 3, len(wanted(tenant)) - 3)


def test_an_event_is_judged_by_the_settings_of_the_run_that_passed_it(route, tenant, receiver, kept):
    tenant.log_token_requests = False
    begin = datetime.now(timezone.utc) - timedelta(hours=3)
    ids = [tenant.add(kind, when=begin + timedelta(minutes=number)) for number, kind in enumerate(["s", "f"] * 20)]
    late = [ids[4], ids[5], ids[34], ids[35]]
    tenant.shown_after = dict.fromkeys(late, 1e9)
    route.settings |= {"log_types": ["s"], "max_logs_per_run": 20}
    assert route.run() == "success"
    route.settings |= {"log_types": ["f"]}
    assert route.run() == "success"
    tenant.shown_after = {}
    state, found = audit(route)
    assert [event["log_id"] for event in found["missing"]] == [ids[4], ids[35]]
    assert (state, found["delivered"], found["left_out"]) == ("failed", 18, 20)


def test_what_waits_is_told_apart_from_what_is_lost(route, tenant, receiver, kept):
    past(tenant, 90)
    route.settings |= {"max_logs_per_run": 30}
    assert route.run() == "success"
    state, found = audit(route)
    waiting = len(wanted(tenant)) - len(receiver.accepted)
    assert (state, found["waiting"], found["unaccounted"]) == ("success", waiting, 0)
    assert found["audited_until"] < found["until"]
    assert found["lag_seconds"] > 3600


def test_a_new_route_is_not_asked_for_what_was_before_it(route, tenant, receiver, kept):
    past(tenant, 60)
    route.settings |= {"start_from": hours_ago(2)}
    assert route.run() == "success"
    state, found = audit(route)
    assert state == "success"
    assert found["not_kept"] == len(in_window(tenant, hours_ago(7), route.settings["start_from"], excluded=()))
    assert found["delivered"] == len(receiver.accepted)
    assert found["kept_since"] == iso(datetime.now(timezone.utc))[:10]


def test_a_replay_accounts_for_what_it_sent(route, tenant, receiver, kept):
    ids = past(tenant, 90)
    route.settings |= {"max_logs_per_run": 30}
    route.run()
    lose(route, tenant, ids, 30, 59)
    route.run()
    assert audit(route)[1]["unaccounted"] > 0
    assert route.run(since=hours_ago(7), until=hours_ago(0.1)) == "success"
    state, found = audit(route)
    assert (state, found["unaccounted"]) == ("success", 0)


def test_what_retention_has_removed_is_not_missed(route, tenant, receiver, kept):
    ids = past(tenant, 90)
    route.settings |= {"max_logs_per_run": 30}
    route.run()
    lose(route, tenant, ids, 30, 59)
    route.run()
    tenant.expire(60)
    state, found = audit(route)
    assert (state, found["read"], found["unaccounted"]) == ("success", 30, 0)


def test_hashes_survive_the_cleaning_of_airflows_database(route, tenant, receiver, kept):
    from airflow.utils.db_cleanup import run_cleanup

    past(tenant, 60)
    assert route.run() == "success"
    route.load()
    run_cleanup(clean_before_timestamp=datetime.now(timezone.utc) + timedelta(hours=1), confirm=False, skip_archive=True)
    assert route.rows("select count(*) from xcom where dag_id = :dag", dag=route.name) == [(0,)]
    state, found = audit(route)
    assert (state, found["delivered"], found["unaccounted"]) == ("success", len(wanted(tenant)), 0)


def several(route, **routes):
    """Make these the routes, each with hashes of its own; returns a function that runs one of them."""
    path = route.home / "dags" / "webhook_routes.yaml"

    def load():
        path.write_text(yaml.safe_dump({"routes": routes}), encoding="utf-8")

    def run(name):
        load()
        return str(route.bag().dags[name].test(logical_date=None).state)

    return run


def test_a_tenant_is_read_once_for_all_its_routes_and_each_tenant_is(route, tenant, receiver, tmp_path, monkeypatch):
    past(tenant, 250)
    place = {"dead_letter_path": str(tmp_path)}
    with Tenant().running() as other:
        set_connection(monkeypatch, "auth0_other", host=other.url, login=CLIENT_ID, password=CLIENT_SECRET)
        past(other, 150)
        names = [f"{route.name}_{number}" for number in range(3)]
        settings = [{**place, "log_types": ["s"]}, {**place, "log_types": ["f", "fp"]}, {**place, "auth0_conn_id": "auth0_other"}]
        run = several(route, **dict(zip(names, settings, strict=True)))
        assert [run(name) for name in names] == ["success"] * 3
        before = tenant.requests["GET /api/v2/logs"], other.requests["GET /api/v2/logs"]
        state, report = route.run_audit(since=hours_ago(7), until=hours_ago(0.05))
        after = tenant.requests["GET /api/v2/logs"], other.requests["GET /api/v2/logs"]
    assert state == "success"
    assert [report[name]["read"] for name in names] == [250, 250, 150]
    assert [report[name]["unaccounted"] for name in names] == [0, 0, 0]
    assert [now - then for now, then in zip(after, before, strict=True)] == [3, 2]


def test_a_tenant_that_cannot_be_read_keeps_no_other_from_being_audited(route, tenant, receiver, tmp_path, monkeypatch):
    past(tenant, 50)
    place = {"dead_letter_path": str(tmp_path)}
    set_connection(monkeypatch, "auth0_a_wrong_one", host=tenant.url, login=CLIENT_ID, password="wrong")
    good, bad = f"{route.name}_good", f"{route.name}_bad"
    run = several(route, **{good: place, bad: {**place, "auth0_conn_id": "auth0_a_wrong_one"}})
    run(good)
    letters = tmp_path / "kept_hashes"
    shutil.copytree(letters / good, letters / bad)
    state, report = route.run_audit(since=hours_ago(7), until=hours_ago(0.05))
    assert state == "failed"
    assert report[bad]["outcome"].startswith("not audited: Auth0 gives no token to the application of connection")
    assert report[bad]["audited_until"] is None
    assert report[good]["audited_until"]


def test_a_route_that_keeps_nothing_is_not_audited_and_says_what_it_needs(route, tenant, receiver, monkeypatch):
    past(tenant, 20)
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    assert route.run() == "success"
    state, found = audit(route)
    assert state == "success"
    assert found["outcome"].startswith("not audited: no hashes are kept")
    assert "set dead_letter_path_shared: true" in found["outcome"]
    assert route.run_audit(route=route.name)[0] == "failed", "whoever asks for this route wants it audited"


def test_what_the_webhook_does_not_take_stays_unaccounted_and_a_later_audit_sends_it(route, tenant, receiver, kept):
    ids = past(tenant, 90)
    route.settings |= {"max_logs_per_run": 30, "concurrent_calls": 1}
    route.run()
    lose(route, tenant, ids, 30, 59)
    route.run()
    lost = [log_id for log_id in ids[30:60] if log_id in wanted(tenant)]
    receiver.behave = lambda post: 401 if post.log_id == lost[5] else 200
    state, found = audit(route, send=True)
    assert (state, found["unaccounted"], found["sent"]) == ("failed", len(lost), 5)
    assert "401 Unauthorized" in found["stopped_by"]
    receiver.behave = lambda _post: 200
    state, found = audit(route, send=True)
    assert (state, found["unaccounted"], found["sent"]) == ("success", len(lost) - 5, len(lost) - 5)
    assert sorted(receiver.accepted) == wanted(tenant)


def test_what_the_webhook_refuses_is_set_aside_where_the_route_does_that(route, tenant, receiver, kept):
    ids = past(tenant, 90)
    route.settings |= {"max_logs_per_run": 30, "on_reject": "dead_letter", "redact": {"user_data": "mask"}}
    route.run()
    lose(route, tenant, ids, 30, 59)
    route.run()
    lost = [log_id for log_id in ids[30:60] if log_id in wanted(tenant)]
    receiver.behave = lambda post: 422 if post.log_id == lost[5] else 200
    state, found = audit(route, send=True)
    assert (state, found["sent"], found["dead_lettered"]) == ("success", len(lost) - 1, 1)
    letter = (kept.parent.parent / route.name / f"{lost[5]}.letter").read_text(encoding="utf-8")
    assert json.loads(letter.partition("\n")[2])["user_id"] == "***"


def test_a_webhook_on_hold_is_sent_nothing(route, tenant, receiver, kept):
    ids = past(tenant, 90)
    route.settings |= {"max_logs_per_run": 30}
    route.run()
    lose(route, tenant, ids, 30, 59)
    route.run()
    accepted = list(receiver.accepted)
    stored = {key: value for key, value in json.loads(route.stored_checkpoint).items() if key != "sum"}
    hold = {"hold_until": iso(datetime.now(timezone.utc) + timedelta(hours=1)), "hold_reason": "410 Gone"}
    route.set_checkpoint(json.dumps(stored | hold))
    state, found = audit(route, send=True)
    assert (state, found["sent"], receiver.accepted) == ("failed", 0, accepted)
    assert "the webhook is on hold until" in found["stopped_by"]
    tenant.expire(60)
    assert audit(route, send=True)[0] == "success", "there is nothing to send"


def test_a_route_of_which_only_replays_have_kept_hashes_is_not_audited_yet(route, tenant, receiver, kept):
    past(tenant, 20)
    assert route.run(since=hours_ago(7), until=hours_ago(0.1)) == "success"
    assert list(kept.rglob("*.hashes"))
    state, found = audit(route)
    assert (state, found["audited_until"]) == ("success", None)
    assert "have kept no hashes yet" in found["outcome"]


def test_a_first_run_that_starts_again_after_its_checkpoint_is_gone_does_not_hide_what_it_skips(route, tenant, receiver, kept):
    from airflow.models.variable import Variable

    past(tenant, 90)
    route.settings |= {"max_logs_per_run": 30, "start_from": "oldest"}
    route.run()
    Variable.delete(f"{route.name}_checkpoint")
    Variable.delete(f"{route.name}_checkpoint_writer")
    route.settings |= {"start_from": hours_ago(2)}
    for _ in range(3):
        assert route.run() == "success"
    state, found = audit(route)
    skipped = [
        log_id for log_id in in_window(tenant, hours_ago(7), route.settings["start_from"]) if log_id not in receiver.accepted
    ]
    assert skipped
    assert (state, [event["log_id"] for event in found["missing"]]) == ("failed", skipped)


def test_what_is_found_is_told_by_an_alarm_and_a_metric(route, tenant, receiver, kept, monkeypatch):
    from airflow.sdk.observability import stats

    gauges = {}
    monkeypatch.setattr(stats, "gauge", lambda name, value, *_, tags=None, **__: gauges.update({name: (value, tags)}))
    ids = past(tenant, 90)
    with Receiver().running() as running:
        set_connection(monkeypatch, "pager", host=f"{running.url}/alarm")
        route.settings |= {"max_logs_per_run": 30, "alarm_conn_id": "pager"}
        route.run()
        lose(route, tenant, ids, 30, 59)
        route.run()
        running.posts.clear()
        audit(route)
        (post,) = running.posts
        audit(route, send=True)
        assert len(running.posts) == 1
    lost = [log_id for log_id in ids[30:60] if log_id in wanted(tenant)]
    assert (post.event["route"], post.event["state"]) == (route.name, "unaccounted")
    assert post.event["text"].startswith(f"{route.name} has events that are not accounted for: {len(lost)} of the 90 events")
    assert lost[0] in post.event["text"]
    assert gauges["auth0_webhooks.unaccounted"] == (0, {"route": route.name})
    until, tags = gauges["auth0_webhooks.audited_until_timestamp_seconds"]
    assert (tags, abs(time.time() - until) < 3600) == ({"route": route.name}, True)


def test_the_day_is_summed_up_for_the_routes_that_ask_for_it(route, tenant, receiver, monkeypatch):
    whole = Outcome("c", "2026-11-25T00:00:00.000Z", "2026-11-26T00:00:00.000Z", read=9, delivered=5, set_aside=1, left_out=3)
    whole.audited_until = whole.until
    late = replace(whole, delivered=2, waiting=3, lag_seconds=7200.0, audited_until="2026-11-25T21:00:00.000Z")
    unknown = Outcome("c", whole.since, whole.until, stopped_by="no answer from Auth0")
    outcomes = {"whole": whole, "late": late, "unknown": unknown, "silent": whole}
    for outcome in outcomes.values():
        outcome.conclude()
    routes = [Route(name=name, alarm_conn_id="pager", daily_summary=name != "silent") for name in outcomes]
    with Receiver().running() as running:
        set_connection(monkeypatch, "pager", host=f"{running.url}/alarm")
        notify(routes, outcomes, {"run_id": "scheduled__1"}, daily=False)
        assert running.posts == []
        notify(routes, outcomes, {"run_id": "scheduled__1"}, daily=True)
        told = {post.event["route"]: post.event for post in running.posts}
    day = "2026-11-25T00:00:00.000Z to 2026-11-26T00:00:00.000Z"
    assert {name: event["text"] for name, event in told.items()} == {
        "whole": f"whole, {day}: 5 delivered, 1 set aside, none waiting; audit: everything that was wanted is accounted for",
        "late": f"late, {day}: 2 delivered, 1 set aside, 3 waiting (lag 7,200 s); audit: everything that was wanted is "
        "accounted for, 3 still waiting",
        "unknown": f"unknown, {day}: what was delivered is not known; audit: not audited: no answer from Auth0",
    }
    assert {event["state"] for event in told.values()} == {"summary"}
    assert told["late"]["summary"] == {
        "since": whole.since, "until": whole.until, "delivered": 2, "set_aside": 1, "waiting": 3, "lag_seconds": 7200.0,
        "unaccounted": 0, "audited_until": late.audited_until,
    }  # fmt: skip


def test_a_param_that_the_audit_does_not_know_is_refused(route, tenant, kept):
    route.load()
    dag = route.shipped("webhook_audit")
    assert str(dag.test(logical_date=None, run_conf={"snice": "2026-11-22T10:00:00Z"}).state) == "failed"


def test_without_a_window_it_audits_the_last_24_hours(route, tenant, receiver, kept):
    tenant.log_token_requests = False
    now = datetime.now(timezone.utc)
    for hours in (26, 23, 1):
        tenant.add("s", when=now - timedelta(hours=hours))
    route.run()
    route.load()
    state, report = route.run_audit()
    assert (state, report[route.name]["read"]) == ("success", 2)


def test_a_run_says_in_its_file_what_it_read(route, tenant, receiver, kept):
    (log_id,) = past(tenant, 1)
    route.run()
    (file,) = kept.rglob("*.hashes")
    head = json.loads(file.read_bytes().partition(b"\n")[0])
    assert (head["run"], head["end"][0]) == (route.last.run_id, log_id)
