"""Tasks that are killed or ended in the middle of their delivery, each of a route of its own."""

from __future__ import annotations

from tests.live.support.interrupted import BOUND, Interrupted


def test_a_deliver_task_that_is_killed_repeats_at_most_what_was_not_saved(route):
    run = Interrupted(route("task_killed"))
    run.process().kill()
    assert run.end(repeats=BOUND) == "success"
    assert run.route.report(run.run_id)["delivered_before"] > 0


def test_a_task_that_is_failed_in_the_ui_ends_cleanly_and_counts_what_it_sent(route):
    run = Interrupted(route("failed_in_the_ui"))
    path = f"/dags/{run.route.name}/dagRuns/{run.run_id}/taskInstances/deliver"
    run.airflow.rest("PATCH", path, new_state="failed")
    run.airflow.wait_until(lambda: run.process() is None, "the task's process ends", 30)
    sent = len(run.receiver.accepted)
    log = run.route.log(run.run_id, "deliver")
    assert "failed: Airflow ended the task" in log
    assert f"delivered now   {sent:>9,}" in log
    assert run.end(repeats=0) == "failed"
