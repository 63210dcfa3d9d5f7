"""Replays and dry runs of whole DAGs. Backfills need a scheduler: tests/live."""

from __future__ import annotations

import re
from functools import partial

import pytest

from auth0_webhooks.reading import window as window_module
from simulation.tenant_limits import Bucket
from tests.support.runner import hours_ago, in_window, recovered, spread, unpacked, wanted

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_home", "connections")]


def test_a_replay_sends_just_its_window_again_and_leaves_the_checkpoint_alone(route, tenant, receiver):
    spread(tenant)
    route.run()
    checkpoint, since, until = route.stored_checkpoint, hours_ago(4), hours_ago(2)
    receiver.posts.clear()
    assert route.run(since=since, until=until) == "success"
    assert sorted(receiver.accepted) == in_window(tenant, since, until)
    assert {post.headers["webhook-id"] for post in receiver.posts} == set(receiver.accepted)
    assert route.stored_checkpoint == checkpoint
    report = route.report
    assert (report["mode"], report["window"], report["checkpoint_after"]) == ("replay", f"{since} .. {until}", None)
    assert report["read"] == len(in_window(tenant, since, until, excluded=()))
    assert {key for _, key in route.xcoms()} == {"return_value", "report"}


def test_a_replay_needs_no_checkpoint_makes_none_and_reads_what_its_params_pick(route, tenant, receiver):
    spread(tenant)
    assert route.run(since=hours_ago(5), until=hours_ago(1), log_types=["f", "fp"]) == "success"
    assert set(receiver.by_type()) == {"f", "fp"}
    assert route.checkpoint is None
    route.run()
    assert sorted(set(receiver.accepted)) == wanted(tenant)


def test_a_replay_that_is_interrupted_goes_on_where_it_was(route, tenant, receiver):
    route.waits["first_back_off"] = 1.0  # longer than post_retries: one refusal ends the try
    spread(tenant, 2500)
    since, until, down = hours_ago(7), hours_ago(0.05), []

    def behave(post):
        if len(receiver.posts) > 1500 and not down:
            down.append(post.log_id)
            return 503
        return 200

    receiver.behave = behave
    assert route.run(since=since, until=until) == "success"
    assert sorted(receiver.accepted) == in_window(tenant, since, until)
    assert route.report["delivered_before"] > 1000
    ((tries,),) = route.rows(
        "select try_number from task_instance where run_id = :run and task_id = 'deliver'", run=route.last.run_id
    )
    assert tries > 1


def test_a_webhook_that_asks_for_a_pause_fails_a_replay_and_holds_no_live_run(route, tenant, receiver):
    spread(tenant)
    receiver.behave = lambda _post: (503, {"Retry-After": "600"})
    assert route.run(since=hours_ago(5), until=hours_ago(1)) == "failed"
    assert "clear this run after that time" in route.report["outcome"]
    receiver.behave = lambda _post: 200
    assert route.run() == "success"
    assert sorted(receiver.accepted) == wanted(tenant)


def test_a_replay_that_would_wait_long_for_the_rate_limit_fails_and_live_runs_go_on(route, tenant, receiver, logged):
    spread(tenant)
    route.run()
    new, checkpoint = tenant.add("f"), route.stored_checkpoint
    receiver.posts.clear()
    route.waits["window_limits"] = 10.0
    tenant.bucket = Bucket(2, 2, 1e9, "window", left=0)
    assert route.run(since=hours_ago(5), until=hours_ago(1)) == "failed"
    outcome = unpacked(route.xcoms()["fetch", "report"])["outcome"]
    assert re.search(
        r"the rate limit is used up .* waits no longer than 10 s in all.*Nothing was sent. Start it again after 2\d{3}-", outcome
    )
    assert route.rows(
        "select try_number from task_instance where run_id = :run and task_id = 'fetch'", run=route.last.run_id
    ) == [(1,)]
    assert (receiver.posts, route.stored_checkpoint) == ([], checkpoint)
    recovered(tenant)
    assert route.run() == "success"
    (log_id, kind, _) = tenant.log()[-1]
    assert kind == "api_limit", "Auth0 logs that its limit was met"
    assert receiver.accepted == [new, log_id]


def test_a_replay_of_more_than_a_page_says_beforehand_how_long_it_takes(route, tenant, receiver, logged):
    spread(tenant, 1000)
    assert route.run(since=hours_ago(5), until=hours_ago(1)) == "success"
    shown = logged()
    assert shown.index("requests to Auth0 and") < shown.index("read batch 0")
    assert route.report["notes"] == []


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"until": "2026-11-22T10:00:00Z"}, "until needs since"),
        ({"since": "2026-11-22 10:00"}, "since is without a time zone"),
        ({"since": "2999-01-01T00:00:00Z"}, "is not before until"),
    ],
)
def test_a_replay_that_makes_no_sense_fails_at_once_and_says_why(route, tenant, receiver, logged, conf, message):
    spread(tenant, 10)
    assert route.run(**conf) == "failed"
    assert message in logged()
    assert route.states["fetch"] == "failed"
    assert receiver.posts == []


def test_a_window_with_too_many_events_fails_before_the_first_post(route, tenant, receiver, logged, monkeypatch):
    monkeypatch.setattr(window_module, "WindowReading", partial(window_module.WindowReading, limit=200))
    spread(tenant, 300)
    assert route.run(since=hours_ago(7), until=hours_ago(0.05)) == "failed"
    assert "holds more than 200 events" in logged()
    assert receiver.posts == []
    assert not [key for _, key in route.xcoms() if key.startswith("batch")]


def test_a_window_that_begins_before_the_retention_says_so_and_reads_what_is_left(route, tenant, receiver):
    spread(tenant, 50)
    route.settings = {"retention_days": 1}
    assert route.run(since=hours_ago(48), until=hours_ago(1)) == "success"
    assert "the window begins 2.0 days ago" in route.report["notes"][0]


@pytest.mark.parametrize("replay", [False, True])
def test_a_dry_run_sends_nothing_moves_nothing_and_shows_what_it_would_send(route, tenant, receiver, logged, replay):
    route.settings = {"start_from": "oldest" if replay else hours_ago(100), "log_level": "error"}
    spread(tenant)
    tenant.add("limit_wc", user_name="mallory@example.com")
    conf = {"since": hours_ago(7), "until": hours_ago(2)} if replay else {}
    assert route.run(dry_run=True, **conf) == "success"
    assert receiver.posts == []
    assert route.rows("select key from variable where key like '%checkpoint'") == []
    report = route.report
    assert report["dry_run"] is True
    assert report["not_reached"] == report["selected"] > 0
    assert report["first_selected"][1] <= report["last_selected"][1]
    assert set(report["selected_types"]) <= {"f", "fp", "fu", "limit_wc", "limit_mu", "pwd_leak", "fsa", "brand_new_type"}
    shown = logged()
    assert "dry run, nothing was sent and nothing moved" in shown
    assert "@example.com" not in shown
    assert '"user_name": "***"' in shown


def test_a_dry_run_of_a_route_that_starts_now_does_not_set_its_start(route, tenant, receiver):
    route.settings = {"start_from": "now"}
    spread(tenant, 5)
    assert route.run(dry_run=True) == "success"
    assert route.checkpoint is None


def test_params_that_airflow_does_not_apply_stop_the_run(route, tenant, receiver, monkeypatch, logged):
    spread(tenant, 5)
    monkeypatch.setenv("AIRFLOW__CORE__DAG_RUN_CONF_OVERRIDES_PARAMS", "False")
    assert route.run(dry_run=True) == "failed"
    assert receiver.posts == []
    assert "'dry_run' of this run's conf is not applied" in logged()


@pytest.mark.parametrize("conf", [{"dryrun": True}, {"Since": "2026-11-22T10:00:00Z"}])
def test_a_misspelt_param_stops_the_run_and_names_the_real_ones(route, tenant, receiver, logged, conf):
    spread(tenant, 5)
    assert route.run(**conf) == "failed"
    assert receiver.posts == []
    assert "in this run's conf: expected one of since, until, dry_run, log_level" in logged()


def test_what_airflow_reads_from_the_conf_for_the_trace_of_a_run_is_no_param(route, tenant, receiver):
    spread(tenant, 5)
    assert route.run(**{"airflow/task_span_detail_level": 2}) == "success"
    assert receiver.accepted
