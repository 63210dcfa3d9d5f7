"""Whole runs of a route whose webhook refuses everything, never takes an event, or answers oddly; and tasks that hang."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from auth0_webhooks.delivery.refusals import MOST_REFUSED
from auth0_webhooks.times import iso
from simulation.receiver import Receiver
from tests.conftest import set_connection
from tests.support.raw_server import answering
from tests.support.runner import asset_events, hours_ago, spread

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_home", "connections")]


@pytest.fixture
def pager(receiver, monkeypatch):
    """A webhook for alarms; gives what was told so far."""
    with Receiver().running() as running:
        set_connection(monkeypatch, "pager", host=f"{running.url}/alarm")
        yield lambda: [(post.event["state"], post.event["problem"]) for post in running.posts]


@pytest.fixture
def sets_aside(route, tmp_path, monkeypatch):
    """The route, which sets aside what is refused; gives how many were."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    letters = tmp_path / "letters"
    route.settings = {"on_reject": "dead_letter", "dead_letter_path": str(letters), "alarm_conn_id": "pager"}
    return lambda: len(list(letters.glob("*/*.letter")))


def health(route):
    from airflow.models import Variable

    return json.loads(Variable.get(f"{route.name}_health", default_var="{}"))


def set_health(route, **state):
    from airflow.models import Variable

    known = {"problem": "failed: 503", "run_id": "x", "since": hours_ago(7), "told": hours_ago(1), **state}
    Variable.set(f"{route.name}_health", json.dumps(known))


def add(tenant, count, kind="f"):
    tenant.log_token_requests = False
    return [tenant.add(kind) for _ in range(count)]


def test_a_webhook_that_refuses_everything_is_found_out_over_small_runs_and_probed_until_it_accepts(
    route, tenant, receiver, sets_aside, pager
):
    receiver.behave = lambda _post: 400
    made = add(tenant, 10)
    assert route.run() == "success"
    assert route.report["outcome"] == "everything wanted was delivered, except that 10 events became dead letters"
    assert [state for state, _ in pager()] == ["bad"]
    assert pager()[0][1].startswith(f"set aside: 10 events, the first {made[0]} (type 'f'): 400 Bad Request")
    made += add(tenant, 10)
    assert route.run() == "failed"
    assert [state for state, _ in pager()] == ["bad", "bad"]
    assert "like the 19 before it, and none was accepted" in pager()[1][1]
    made += add(tenant, 300)
    for _ in range(3):
        posts = len(receiver.posts)
        assert route.run() == "failed"
        assert len(receiver.posts) - posts <= MOST_REFUSED
        assert route.report["read"] == route.report["selected"] == MOST_REFUSED
        assert route.report["refused"] + route.report["not_reached"] == MOST_REFUSED
        assert any("refused the last 20 events" in note for note in route.report["notes"])
    assert sets_aside() == 10
    assert len(pager()) == 2
    # Repaired, but for one event that is bad for its own sake.
    receiver.behave = lambda post: 422 if post.log_id == made[10] else 200
    assert route.run() == "success"
    assert route.report["delivered_now"] == MOST_REFUSED - 1
    assert route.report["stopped"] == "limit"
    assert asset_events(route, f"{route.name}_new_events")
    assert route.run() == "success"
    assert sorted(receiver.accepted) == made[11:]
    assert sets_aside() == 11
    assert [state for state, _ in pager()] == ["bad", "bad", "well"]
    assert health(route)["refused"] == []


def test_a_replay_neither_counts_nor_resets(route, tenant, receiver, sets_aside):
    spread(tenant, 60)
    receiver.behave = lambda _post: 400
    assert route.run(since=hours_ago(7), until=hours_ago(0.1)) == "failed"
    assert health(route) == {}
    refused = [str(number) for number in range(MOST_REFUSED)]
    set_health(route, refused=refused)
    receiver.behave = lambda _post: 200
    assert route.run(since=hours_ago(7), until=hours_ago(0.1)) == "success"
    assert health(route)["refused"] == refused
    assert sets_aside() == 0


def stuck(log_id, runs=10):
    return {"log_id": log_id, "type": "f", "since": hours_ago(7), "runs": runs, "told": False}


@pytest.mark.parametrize("settings", [{}, {"concurrent_calls": 1}, {"payload": "array"}], ids=["5 calls", "1 call", "batches"])
def test_an_event_that_never_passes_is_set_aside_after_ten_runs(route, tenant, receiver, sets_aside, pager, settings):
    route.settings |= settings
    made = add(tenant, 30)
    receiver.behave = lambda post: 503 if made[0] in post.log_ids else 200
    assert route.run() == "failed"
    assert (health(route)["stuck"]["log_id"], health(route)["stuck"]["runs"]) == (made[0], 1)
    set_health(route, stuck=stuck(made[0], runs=9))
    assert route.run() == "failed"
    assert sets_aside() == 0
    made += add(tenant, 1)  # what was accepted before says nothing of today
    assert route.run() == "success"
    assert sets_aside() == 1
    assert route.report["set_aside"][0]["answer"] == "503 Service Unavailable"
    assert sorted(receiver.accepted) == made[1:]
    assert receiver.repeats == 0
    assert "stuck" not in str(health(route).get("problem"))


def test_without_dead_letters_the_alarm_names_the_event_that_never_passes(route, tenant, receiver, pager):
    route.settings = {"alarm_conn_id": "pager"}
    made = add(tenant, 30)
    receiver.behave = lambda post: 503 if made[0] in post.log_ids else 200
    set_health(route, stuck=stuck(made[0], runs=9))
    assert route.run() == "failed"
    ((state, problem),) = pager()
    assert state == "still bad"
    assert f"no run got further than event {made[0]} (type 'f')" in problem
    assert route.run() == "failed"
    assert len(pager()) == 1


@pytest.mark.parametrize(("wait", "task"), [("reading", "fetch"), ("filtering", "filter")])
def test_a_task_that_does_not_end_in_its_time_is_an_alarm_at_once_and_the_next_run_delivers(
    route, tenant, receiver, pager, wait, task
):
    route.settings = {"alarm_conn_id": "pager"}
    made = add(tenant, 1)
    # This run imports what the tasks need: in an import a time-out can get lost, in a callback whose errors Python ignores.
    assert route.run() == "success"
    made += add(tenant, 20)
    route.waits[wait] = 0.001
    assert route.run() == "failed"
    ((state, problem),) = pager()
    assert (state, problem.split(":")[:2]) == ("bad", ["failed", f" {task} did not end in its time"])
    assert route.states[task] == "failed"
    del route.waits[wait]
    assert route.run() == "success"
    assert sorted(receiver.accepted) == made
    assert [state for state, _ in pager()] == ["bad", "well"]


def test_a_delivery_that_settles_nothing_is_an_alarm_and_the_next_run_goes_on(route, tenant, receiver, pager):
    route.settings = {"alarm_conn_id": "pager"}
    made = add(tenant, 20)
    receiver.behave = lambda post: "hang" if post.log_id > made[9] else 200
    route.waits |= {"stalled": 0.5, "kill_grace": 0.1, "answer": 60.0}
    assert route.run() == "failed"
    ((state, problem),) = pager()
    assert state == "bad"
    assert problem.startswith("failed: nothing was delivered, refused, set aside or saved")
    assert set(receiver.accepted) <= set(made[:10])
    del route.waits["stalled"]
    receiver.behave = lambda _post: 200
    assert route.run() == "success"
    assert sorted(receiver.accepted) == made
    assert receiver.repeats == 0


def test_the_report_and_the_health_of_a_webhook_with_a_latin_1_reason_phrase_are_stored(route, tenant, monkeypatch):
    add(tenant, 3)
    phrase = "Paiement exigé".encode("latin-1")
    with answering(b"HTTP/1.1 402 " + phrase + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") as url:
        set_connection(monkeypatch, "webhook_default", host=url)
        assert route.run() == "failed"
    assert "402 Paiement exigé" in route.report["outcome"]
    assert "402 Paiement exigé" in health(route)["problem"]


def test_a_health_record_that_is_days_old_is_gone_on_from(route, tenant, receiver, sets_aside, pager):
    add(tenant, 3)
    long_ago = iso(datetime.now(timezone.utc) - timedelta(days=3))
    set_health(route, since=long_ago, told=long_ago, untold=[["still bad", "failed: 503"]], gap="2026-11-20T00:00:00.000Z")
    assert route.run() == "success"
    assert [state for state, _ in pager()] == ["still bad", "well"]
    assert health(route) == {}
