"""A live run that reads nothing ends after fetch, but only where deliver would have nothing else to do."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from airflow.sdk import DAG, BaseOperator

from auth0_webhooks.authoring import route_tasks
from auth0_webhooks.model.checkpoint import parse_checkpoint
from auth0_webhooks.names import DELIVER, FETCH, FILTER
from auth0_webhooks.operators.ledger import Report
from auth0_webhooks.route_dag import route_schedule
from auth0_webhooks.state.variables import CheckpointVariable
from auth0_webhooks.times import iso
from tests.conftest import set_connection
from tests.unit.operators.test_task_operations import world

SHORT = {FETCH: "success", FILTER: "skipped", DELIVER: "skipped"}
WHOLE = dict.fromkeys(SHORT, "success")


@pytest.fixture
def walk():
    """A route whose first event is delivered."""
    with world(0, max_events=4) as made:
        made.settle(made.start(None))
        yield made


def live_run(walk):
    """A live run, with what happens in it."""
    run = walk.start(None)
    walk.settle(run)
    return run


def stored(walk):
    return json.loads(walk.backend.checkpoint())


def change(walk, **keys):
    """Change the checkpoint as a run of the same try would have stored it."""
    walk.backend.variables.values["r_checkpoint"] = json.dumps({**stored(walk), **keys})


def test_a_run_that_reads_nothing_ends_after_fetch_and_moves_nothing(walk):
    before, posts = walk.backend.checkpoint(), len(walk.receiver.posts)
    run = live_run(walk)
    assert run.states == SHORT
    assert (walk.backend.checkpoint(), len(walk.receiver.posts)) == (before, posts)


def test_it_leaves_its_result_and_a_report_that_says_nothing_was_new(walk):
    entries = walk.backend.xcoms(live_run(walk))
    assert set(entries) == {(FETCH, "return_value"), (FETCH, "report"), (FETCH, "skipmixin_key")}
    report = Report(**entries[FETCH, "report"])
    report.check(all_settled=True)
    assert (report.mode, report.outcome, report.read, report.lag_seconds) == ("live", "no new events", 0, 0.0)
    assert report.checkpoint_before == report.checkpoint_after
    assert entries[FETCH, "return_value"]["read"] == 0


def test_the_next_event_is_delivered_by_all_three_tasks(walk):
    live_run(walk)
    new = walk.tenant.add("s")
    assert live_run(walk).states == WHOLE
    assert walk.live[-1] == new


def test_the_first_run_of_an_empty_log_stores_the_checkpoint():
    with world(0, max_events=4) as walk:
        walk.tenant.expire(10**9)
        run = live_run(walk)
        assert run.states == SHORT
        assert parse_checkpoint(walk.backend.checkpoint(), key="k").position.date == iso(walk.start_from)
        assert json.loads(walk.backend.variables.values["r_checkpoint_writer"])["closed"] is True
        assert "first run" in walk.backend.xcoms(run)[FETCH, "report"]["notes"][0]


def test_on_a_quiet_tenant_it_moves_the_date_of_the_checkpoint_so_that_no_gap_is_seen_later(walk):
    old = iso(datetime.now(timezone.utc) - timedelta(hours=7))
    change(walk, date=old)
    log_id = stored(walk)["log_id"]
    run = live_run(walk)
    assert run.states == SHORT
    assert stored(walk)["log_id"] == log_id
    assert stored(walk)["date"] > old
    report = walk.backend.xcoms(run)[FETCH, "report"]
    assert report["checkpoint_before"] != report["checkpoint_after"]
    assert stored(walk)["date"] in report["checkpoint_after"]


def test_a_checkpoint_that_somebody_sets_while_fetch_reads_is_kept_and_left_to_deliver(walk, monkeypatch):
    change(walk, date=iso(datetime.now(timezone.utc) - timedelta(hours=7)))
    by_hand = iso(datetime.now(timezone.utc) - timedelta(minutes=1))
    answer = walk.tenant._logs

    def meddling(request):
        walk.backend.variables.values["r_checkpoint"] = by_hand
        return answer(request)

    monkeypatch.setattr(walk.tenant, "_logs", meddling)
    monkeypatch.setitem(CheckpointVariable.__init__.__kwdefaults__, "reread_seconds", 0.0)
    run = live_run(walk)
    assert walk.backend.checkpoint() == by_hand
    assert run.states == WHOLE
    assert "checkpoint moved by hand" in walk.backend.xcoms(run)[DELIVER, "report"]["outcome"]


NOW = iso(datetime.now(timezone.utc))
LATER = iso(datetime.now(timezone.utc) + timedelta(hours=1))
SOUND = {"problem": "", "run_id": "x", "since": NOW, "told": ""}


@pytest.mark.parametrize(
    "health",
    [
        {"problem": "failed: 503"},
        {"untold": [["gap", "from .. to"]]},
        {"refused": ["1", "2"]},
        {"aside": 3, "aside_first": "an event"},
        {"stuck": {"log_id": "1", "type": "s", "since": NOW}},
    ],
    ids=["failed", "an alarm not sent yet", "refused events", "dead letters not told of", "an event in the way"],
)
def test_of_a_route_that_is_not_known_to_be_healthy_all_three_tasks_run(walk, health):
    walk.backend.variables.values["r_health"] = json.dumps({**SOUND, **health})
    run = live_run(walk)
    assert run.states == WHOLE
    assert walk.backend.xcoms(run)[DELIVER, "report"]["outcome"] == "no new events"


def test_a_route_that_recovers_without_an_event_is_healthy_again(walk):
    walk.backend.variables.values["r_health"] = json.dumps({**SOUND, "problem": "failed: 503", "told": NOW})
    live_run(walk)
    assert "r_health" not in walk.backend.variables.values
    assert live_run(walk).states == SHORT


@pytest.mark.parametrize(
    "keys", [{"acknowledged": ["9" * 56]}, {"hold_until": LATER, "hold_reason": "410"}], ids=["acknowledged", "hold"]
)
def test_with_a_checkpoint_that_holds_more_than_a_position_all_three_tasks_run(walk, keys):
    change(walk, **keys)
    walk.live += keys.get("acknowledged", [])
    run = live_run(walk)
    assert run.states[FILTER] == run.states[DELIVER] == "success"


@pytest.mark.parametrize(
    "connection",
    [{"host": "https://hooks.example.com", "extra": {"signing_secrets": ["whsec_short"]}}, {}],
    ids=["a broken secret", "no host"],
)
def test_a_webhook_with_unusable_settings_fails_before_an_event_waits_for_it(walk, monkeypatch, connection):
    set_connection(monkeypatch, "webhook_default", **connection)
    run = live_run(walk)
    assert run.states == {**WHOLE, DELIVER: "failed"}
    assert "webhook_default" in str(walk.raised)


def test_a_dry_run_is_reported_by_deliver(walk):
    walk.backend.params = {"dry_run": True}
    run = live_run(walk)
    assert run.states == WHOLE
    assert walk.backend.xcoms(run)[DELIVER, "report"]["outcome"] == "dry run, nothing was sent and nothing moved"


def test_a_window_without_events_runs_all_three_tasks(walk):
    now = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
    run = walk.start((now - timedelta(hours=9), now - timedelta(hours=8)))
    walk.settle(run)
    assert run.states == WHOLE


@pytest.mark.parametrize("cleared", [[FETCH], [FILTER], [DELIVER], [FILTER, DELIVER], [FETCH, FILTER, DELIVER]], ids=" ".join)
@pytest.mark.parametrize("new", [0, 3])
def test_clearing_its_tasks_loses_nothing_and_repeats_nothing(walk, cleared, new):
    run = live_run(walk)
    for _ in range(new):
        walk.tenant.add("s")
    walk.backend.clear(run, cleared)
    walk.settle(run)
    assert "failed" not in run.states.values()
    walk.end()
    assert sorted(walk.live) == walk.wanted()


def own_dag(route, *, callback=None):
    defaults = {"on_success_callback": callback} if callback else {}
    return DAG(route.name, schedule=route_schedule(route), max_active_runs=1, catchup=False, default_args=defaults)


def with_a_task_after_it(route):
    with own_dag(route) as dag:
        route_tasks(route) >> BaseOperator(task_id="after")
    return dag


def with_a_callback(route):
    with own_dag(route, callback=print) as dag:
        route_tasks(route)
    return dag


def alone(route):
    with own_dag(route) as dag:
        BaseOperator(task_id="before") >> route_tasks(route)
    return dag


@pytest.mark.parametrize(("build", "states"), [(with_a_task_after_it, WHOLE), (with_a_callback, WHOLE), (alone, SHORT)])
def test_where_a_persons_tasks_or_callbacks_wait_for_deliver_all_three_tasks_run(walk, build, states):
    dag = build(walk.backend.route)
    walk.backend.build = lambda: dag
    assert live_run(walk).states == states
