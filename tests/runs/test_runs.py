"""Live runs: tasks in this process on a real Airflow database, tenant and webhook over real HTTP."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
import yaml

from auth0_webhooks.operators.base import SELECTING
from auth0_webhooks.state import xcom_batches
from simulation.receiver import Receiver
from tests.conftest import set_connection
from tests.support.runner import hours_ago, spread, wanted

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_home", "connections")]


@pytest.mark.postgres
@pytest.mark.xcom_files
def test_a_run_delivers_what_the_route_wants_and_accounts_for_every_event(route, tenant, receiver):
    tenant.add_many(300)
    assert route.run() == "success"
    assert sorted(receiver.accepted) == wanted(tenant)
    assert {post.log_id: post.body for post in receiver.posts} == {i: t for i, _, t in tenant.log() if i in set(wanted(tenant))}
    report = route.report
    assert (report["read"], report["delivered_now"]) == (len(tenant.log()), len(wanted(tenant)))
    assert report["unknown_types"].keys() == {"brand_new_type"}
    assert report["outcome"] == "everything wanted was delivered"
    assert route.checkpoint.position.log_id == tenant.log()[-1][0]
    assert route.checkpoint.position.seen


@pytest.mark.postgres
def test_the_next_run_sends_nothing_again_and_costs_one_request(route, tenant, receiver):
    tenant.add_many(50)
    route.run()
    posts = len(receiver.posts)
    tenant.requests.clear()
    assert route.run() == "success"
    assert len(receiver.posts) == posts
    assert tenant.requests == {"GET /api/v2/logs": 1}
    assert route.report["outcome"] == "no new events"
    tenant.add("f")
    route.run()
    assert len(receiver.posts) == posts + 1


def test_an_empty_tenant_is_a_success_and_its_first_event_is_delivered_later(route, tenant, receiver):
    tenant.log_token_requests = False
    assert route.run() == "success"
    assert route.checkpoint.position.log_id is None
    assert route.report["outcome"] == "no new events"
    tenant.add("s")
    assert route.run() == "success"
    assert receiver.accepted == wanted(tenant)


def test_a_batch_with_nothing_wanted_moves_the_checkpoint_all_the_same(route, tenant, receiver):
    route.settings = {"log_types": ["nothing_of_the_kind"]}
    tenant.add_many(150)
    assert route.run() == "success"
    assert receiver.posts == []
    assert route.checkpoint.position.log_id == tenant.log()[-1][0]
    assert route.report["outcome"] == "nothing wanted among what was read"


def test_the_params_of_a_replay_have_precedence_over_the_route(route, tenant, receiver):
    spread(tenant, 200)
    picked = {"log_level": "error", "log_types": ["f", "fp"], "other_log_types": " brand_new_type "}
    assert route.run(since=hours_ago(7), until=hours_ago(0.1), concurrent_calls=2, **picked) == "success"
    assert set(receiver.by_type()) == {"f", "fp", "brand_new_type"}
    assert receiver.most_at_once <= 2


@pytest.mark.parametrize(
    "params",
    [{"log_level": "critical"}, {"log_types": ["slo"]}, {"log_types": []}, {"other_log_types": "slo"}, {"where": "`false`"}],
    ids=["log_level", "log_types", "all types", "other_log_types", "where"],
)
def test_a_live_run_that_would_pass_events_over_is_refused_at_once_and_loses_none(
    route, tenant, receiver, logged, monkeypatch, params
):
    from airflow.sdk.observability import stats

    failed_runs = []
    monkeypatch.setattr(stats, "incr", lambda name, *_, **__: failed_runs.append(name))
    with Receiver().running() as pager:
        set_connection(monkeypatch, "pager", host=pager.url)
        route.settings = {"alarm_conn_id": "pager"}
        tenant.add_many(30)
        tenant.requests.clear()
        assert route.run(**params) == "failed"
        assert pager.posts == []
    assert tenant.requests == {}
    assert route.stored_checkpoint is None
    assert route.states == {"fetch": "failed", "filter": "upstream_failed", "deliver": "upstream_failed"}
    assert route.rows(
        "select try_number from task_instance where run_id = :run and task_id = 'fetch'", run=route.last.run_id
    ) == [(1,)]
    assert failed_runs == []
    (key,) = params
    assert f"{key} in a live run of route '{route.name}': nothing was read or sent" in logged()
    assert route.run() == "success"
    assert sorted(receiver.accepted) == wanted(tenant)


@pytest.mark.parametrize("empty", [{"other_log_types": ""}, {"other_log_types": " , "}, dict.fromkeys(SELECTING)])
def test_a_live_run_whose_form_was_left_empty_is_none_of_those(route, tenant, receiver, empty):
    tenant.add("s")
    assert route.run(**empty) == "success"
    assert sorted(receiver.accepted) == wanted(tenant)


def test_a_dry_run_may_pick_other_events_and_moves_nothing(route, tenant, receiver):
    tenant.add_many(60)
    assert route.run(dry_run=True, log_types=["fp"], where="user_id") == "success"
    assert set(route.report["selected_types"]) == {"fp"}
    assert route.stored_checkpoint is None
    assert receiver.posts == []


@pytest.mark.postgres
@pytest.mark.xcom_files
def test_no_batch_outlives_its_run(route, tenant, receiver):
    tenant.add_many(100)
    route.run()
    assert set(route.xcoms()) == {("fetch", "return_value"), ("filter", "return_value"), ("deliver", "report")}
    tenant.add_many(100)
    receiver.behave = lambda _post: 401
    assert route.run() == "failed"
    assert set(route.xcoms()) == {("fetch", "return_value"), ("filter", "return_value"), ("deliver", "report")}


def test_the_batches_of_a_run_that_died_are_removed_by_the_next(route, tenant, receiver, monkeypatch):
    tenant.add_many(100)
    with monkeypatch.context() as patch:
        patch.setattr(xcom_batches, "_remove_batches_of", lambda *_arguments, **_keywords: None)
        # With a date of its own: Airflow's test of a DAG removes a former run that has none.
        route.run(logical_date=datetime(2026, 11, 1, tzinfo=timezone.utc))
    died = route.last.run_id
    assert ("fetch", "batch_00000") in route.xcoms()
    route.run()
    assert route.rows("select key from xcom where run_id = :run and (key like 'batch%' or key = 'open_batches')", run=died) == []


def test_a_webhook_that_comes_back_is_sent_the_rest_by_the_retry(route, tenant, receiver):
    tenant.add_many(300)
    down = []

    def behave(post):
        if len(receiver.posts) == 100 or (down and len(down) < 12):
            down.append(post.log_id)
        return 503 if down and len(down) < 12 and post.log_id in down else 200

    receiver.behave = behave
    assert route.run() == "success"
    assert sorted(receiver.accepted) == wanted(tenant)
    assert receiver.repeats == 0
    report = route.report
    assert report["delivered_now"] + report["delivered_before"] == len(wanted(tenant))


@pytest.mark.postgres
@pytest.mark.xcom_files
def test_a_webhook_that_stays_away_fails_the_run_with_a_report_and_loses_nothing(route, tenant, receiver):
    tenant.add_many(100)
    order = wanted(tenant)
    receiver.behave = lambda post: 500 if post.log_id >= order[40] else 200
    assert route.run() == "failed"
    assert route.states == {"fetch": "success", "filter": "success", "deliver": "failed"}
    report = route.report
    assert report["delivered_now"] + report["delivered_before"] == 40
    assert report["not_reached"] == len(wanted(tenant)) - 40
    assert report["outcome"].startswith("failed: the webhook at http://127.0.0.1:")
    assert report["lag_seconds"] > 0
    receiver.behave = lambda _post: 200
    assert route.run() == "success"
    assert sorted(receiver.accepted) == wanted(tenant)
    assert receiver.repeats == 0


@pytest.mark.parametrize("answer", [401, 302, 422])
def test_what_a_person_must_mend_uses_up_no_retries(route, tenant, receiver, answer):
    tenant.add_many(20)
    receiver.behave = lambda _post: answer
    assert route.run() == "failed"
    assert route.rows(
        "select try_number from task_instance where run_id = :run and task_id = 'deliver'", run=route.last.run_id
    ) == [(1,)]


@pytest.mark.parametrize("conn_id", ["auth0_default", "webhook_default"])
def test_a_missing_connection_fails_at_once_naming_it_and_how_to_set_it(route, tenant, monkeypatch, conn_id, logged):
    tenant.add_many(5)
    monkeypatch.delenv(f"AIRFLOW_CONN_{conn_id.upper()}")
    assert route.run() == "failed"
    task_id = "fetch" if conn_id == "auth0_default" else "deliver"
    assert route.states[task_id] == "failed"
    assert route.rows("select max(try_number) from task_instance where run_id = :run", run=route.last.run_id) == [(1,)]
    shown = logged()
    assert f"connection '{conn_id}' is missing: set it under Admin > Connections or in AIRFLOW_CONN_{conn_id.upper()}" in shown


@pytest.mark.parametrize("fault", ["broken", "html", "twice", "500"])
def test_a_tenant_that_fails_for_a_while_is_read_again_from_the_checkpoint(route, tenant, receiver, fault):
    tenant.add_many(250)
    tenant.fault, tenant.faults_left = fault, 5
    assert route.run() == "success"
    assert sorted(receiver.accepted) == wanted(tenant)
    assert receiver.repeats == 0


@pytest.mark.postgres
def test_a_run_stops_at_its_limit_and_the_next_goes_on(route, tenant, receiver):
    route.settings = {"max_logs_per_run": 120}
    tenant.add_many(300)
    route.run()
    assert route.report["read"] == 120
    assert route.report["stopped"] == "limit"
    assert route.report["lag_seconds"] > 0
    route.run()
    route.run()
    assert sorted(receiver.accepted) == wanted(tenant)
    assert receiver.repeats == 0


def test_a_rewound_checkpoint_sends_again_from_there_with_the_same_webhook_id(route, tenant, receiver):
    tenant.add_many(60)
    route.run()
    route.set_checkpoint(wanted(tenant)[-11])
    assert route.run() == "success"
    assert sorted(receiver.accepted[-10:]) == wanted(tenant)[-10:]
    assert receiver.repeats == 10
    assert receiver.problems == []


@pytest.mark.parametrize("new", [0, 1])
def test_a_late_save_of_an_older_try_is_not_used_and_the_report_names_it(route, tenant, receiver, logged, new):
    tenant.log_token_requests = False
    tenant.add_many(60)
    route.run()
    late, older = route.stored_checkpoint, route.checkpoint.position.log_id
    tenant.add("f")
    route.run()
    last = route.checkpoint.position.log_id
    route.set_checkpoint(late)
    for _ in range(new):
        tenant.add("f")
    assert route.run() == "success"
    report = route.report if new else route.report_of_fetch
    (note,) = [note for note in report["notes"] if "a save that arrived late" in note]
    assert older in note
    assert last in note
    assert note in logged()
    assert sorted(receiver.accepted) == wanted(tenant)
    assert route.checkpoint.position.log_id == tenant.log()[-1][0]


def test_a_checkpoint_that_cannot_be_read_stops_the_run_and_says_what_to_write(route, tenant, receiver, logged):
    tenant.add_many(5)
    route.set_checkpoint("last tuesday")
    assert route.run() == "failed"
    assert receiver.posts == []
    assert "is not a checkpoint" in logged()


def test_an_environment_variable_that_hides_the_checkpoint_is_refused(route, tenant, receiver, monkeypatch):
    tenant.add_many(5)
    monkeypatch.setenv(f"AIRFLOW_VAR_{route.name.upper()}_CHECKPOINT", "x")
    assert route.run() == "failed"
    assert receiver.posts == []


@pytest.mark.postgres
def test_the_token_is_kept_encrypted_and_no_secret_is_logged(route, tenant, receiver, logged):
    tenant.add_many(30)
    route.run()
    ((stored,),) = route.rows("select val from variable where key = 'auth0_default_token'")
    (token,) = tenant._tokens
    assert token not in stored
    shown = logged()
    assert token not in shown
    assert "demo-client-secret" not in shown
    assert "user_name" not in shown


def test_an_unknown_log_type_is_warned_about_and_honoured(route, tenant, receiver, logged):
    route.settings = {"log_types": ["limt_wc"]}
    tenant.add("limt_wc")
    assert route.run() == "success"
    assert receiver.by_type() == {"limt_wc": 1}
    assert "the closest known one is 'limit_wc'" in logged()


def test_a_connection_written_as_a_uri_works(route, tenant, receiver, monkeypatch):
    tenant.add_many(3)
    monkeypatch.setenv("AIRFLOW_CONN_WEBHOOK_DEFAULT", f"{receiver.url}/hooks/auth0")
    assert route.run() == "success"
    assert {post.path for post in receiver.posts} == {"/hooks/auth0"}


def test_a_connection_without_a_host_fails_at_once(route, tenant, receiver, monkeypatch):
    tenant.add_many(3)
    set_connection(monkeypatch, "webhook_default", login="a")
    assert route.run() == "failed"
    assert route.states["deliver"] == "failed"


def test_a_route_whose_dead_letters_cannot_be_reached_keeps_no_others_back(route, tenant, receiver, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    route.settings = {"on_reject": "dead_letter", "dead_letter_path": str(tmp_path / "letters")}
    bad = tenant.add("fp")
    tenant.add("s")
    receiver.behave = lambda post: 422 if post.log_id == bad else 200
    assert route.run() == "success"
    broken = {"on_reject": "dead_letter", "dead_letter_path": "nosuch://bucket/letters"}
    routes = {"a_first_and_broken": broken, route.name: route.settings, "b_none": {"dead_letter_path": "nosuch://bucket/letters"}}
    (route.home / "dags" / "webhook_routes.yaml").write_text(yaml.safe_dump({"routes": routes}), encoding="utf-8")
    receiver.behave = lambda _post: 200
    state, report = route.run_dead_letters(send=True)
    assert state == "failed"
    assert "no object storage can be reached by it" in report["a_first_and_broken"]["stopped_by"]
    assert report["b_none"]["stopped_by"] is None
    assert report[route.name]["sent"] == 1
    assert bad in receiver.accepted


def test_refused_events_are_set_aside_listed_and_sent_again(route, tenant, receiver, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    route.settings = {"on_reject": "dead_letter", "dead_letter_path": str(tmp_path / "letters")}
    tenant.add_many(100)
    bad = {log_id for log_id, kind, _ in tenant.log() if kind == "fp"}
    receiver.behave = lambda post: 422 if post.log_id in bad else 200
    assert route.run() == "success"
    assert route.report["dead_lettered"] == len(bad) > 0
    assert set(receiver.accepted) == set(wanted(tenant)) - bad

    state, report = route.run_dead_letters()
    assert state == "success"
    assert (report[route.name]["found"], report[route.name]["sent"], report[route.name]["left"]) == (len(bad), 0, len(bad))
    assert {letter["log_id"] for letter in report[route.name]["listed"]} == bad

    still = {min(bad)}
    receiver.behave = lambda post: 413 if post.log_id in still else 200
    state, report = route.run_dead_letters(send=True, route=route.name)
    assert state == "success"
    assert (report[route.name]["sent"], report[route.name]["refused"]) == (len(bad) - 1, 1)

    receiver.behave = lambda _post: 503
    state, report = route.run_dead_letters(send=True)
    assert state == "failed"
    assert report[route.name]["left"] == 1

    receiver.behave = lambda _post: 200
    state, report = route.run_dead_letters(send=True)
    assert (state, report[route.name]["sent"]) == ("success", 1)
    assert sorted(receiver.accepted) == wanted(tenant)
    assert receiver.repeats == 0
    assert route.run_dead_letters()[1][route.name]["found"] == 0


def test_a_hold_ends_the_next_runs_without_a_post_until_it_is_over_or_lifted(route, tenant, receiver):
    tenant.add_many(30)
    receiver.behave = lambda _post: (503, {"Retry-After": "600"})
    assert route.run() == "failed"
    assert route.report["outcome"].startswith("failed: the webhook at http://127.0.0.1:")
    assert "held until" in route.report["outcome"]
    posts = len(receiver.posts)
    receiver.behave = lambda _post: 200
    assert route.run() == "success"
    assert len(receiver.posts) == posts
    assert route.report["outcome"].startswith("held until")
    assert route.report["read"] == route.report["api_requests"] == 0
    from airflow.models import Variable

    stored = json.loads(Variable.get(f"{route.name}_checkpoint"))
    del stored["hold_until"]
    route.set_checkpoint(json.dumps(stored))
    assert route.run() == "success"
    assert sorted(receiver.accepted) == wanted(tenant)
    assert route.checkpoint.hold is None


@pytest.mark.parametrize(
    "odd",
    [
        '"\\u0000 in a name"',
        '"\\ud800 alone, \\udc00 too"',
        '"😀 zoë 李雷"',
        '"' + "x" * 1_000_000 + '"',
        "[" * 200 + "]" * 200,
        "[1e999, -0.0, 1.10, 123456789012345678901234567890, 0.1000000000000000055]",
        '{"b": 1, "a": 2, "b": 3}',
    ],
    ids=["NUL", "lone surrogates", "emoji", "1 MB", "deep nesting", "numbers", "key order"],
)
@pytest.mark.postgres
def test_an_event_of_any_shape_arrives_to_the_letter(route, tenant, receiver, odd):
    log_id = f"900{'1' * 53}"
    event = f'{{"log_id": "{log_id}", "date": "2026-11-22T10:00:00.000Z", "type": "s", "details": {odd}}}'
    tenant.add_text(log_id, "2026-11-22T10:00:00.000Z", "s", event)
    assert route.run() == "success"
    assert [post.body for post in receiver.posts if post.log_id == log_id] == [event]
