"""Backfills and replays under a live Airflow, beside live runs, started by Airflow's API as its UI does."""

from __future__ import annotations

from datetime import datetime

from auth0_webhooks.model.checkpoint import parse_checkpoint
from auth0_webhooks.times import iso
from tests.live.support.past import HOUR, Past


def test_a_backfill_delivers_each_interval_once_beside_a_live_run(route):
    one = route("backfilled").enabled()
    past, receiver = Past(one), one.receiver
    now = [one.tenant.add("f") for _ in range(1000)]
    # The live run takes its time, a quarter of an hour if need be, until a backfill run has begun.
    receiver.behave = lambda post: 200 if post.log_id in past.ids or past.sent() else ("slow", 5)
    one.trigger("live-beside")
    one.wait_for_posts(5)
    past.create(0, 2, max_active_runs=2)
    past.wait_for_backfills(3)
    assert one.wait_for("live-beside") == "success"

    assert past.sent() == past.wanted(0, 2)
    assert sorted(set(receiver.accepted) - past.ids.keys()) == now
    assert receiver.repeats == 0
    assert receiver.problems == []
    ((live_end,),) = one.airflow.rows("select end_date from dag_run where run_id = 'live-beside'")
    assert any(start < live_end for _, _, start, _ in past.backfills()), "they did not run beside each other"
    for run_id, *_ in past.backfills():
        report = one.report(run_id)
        since = datetime.fromisoformat(report["window"].split(" ")[0].replace("Z", "+00:00"))
        number = (since - past.start) // HOUR
        assert (report["mode"], report["delivered_now"]) == ("backfill", len(past.wanted(number, number)))
    assert parse_checkpoint(one.checkpoint(), key="k").position.log_id == now[-1]
    one.airflow.wait_until(lambda: not one.leftovers(), "the batches are removed", 30)


def test_reprocessing_delivers_an_interval_again_with_the_same_webhook_id(route):
    one = route("reprocessed").enabled()
    past, before = Past(one), one.checkpoint()
    for how in ("none", "completed"):
        one.receiver.posts.clear()
        past.create(1, 1, reprocess_behavior=how)
        past.wait_for_backfills(1)
        assert past.sent() == past.wanted(1, 1)
    assert one.receiver.problems == []
    assert one.checkpoint() == before


def test_a_replay_that_failed_and_is_cleared_sends_only_what_is_left(route):
    one = route("replayed").enabled()
    past, receiver = Past(one), one.receiver
    receiver.behave = lambda _post: 200 if len(receiver.posts) <= 30 else 401
    one.trigger("replay", since=iso(past.start), until=iso(past.start + 3 * HOUR), concurrent_calls=1)
    assert one.wait_for("replay") == "failed"
    assert len(past.sent()) == 30
    receiver.behave = lambda _post: 200
    clear = {"dry_run": False, "only_failed": False, "dag_run_id": "replay"}
    one.airflow.rest("POST", f"/dags/{one.name}/clearTaskInstances", **clear)
    one.airflow.wait_until(lambda: ("replay", "success") in one.runs(), "the cleared run ends", 120)
    assert past.sent() == past.wanted(0, 2)
    assert receiver.repeats == 0
    assert one.report("replay")["delivered_before"] == 30
