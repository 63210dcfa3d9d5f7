"""Runs under a live Airflow: scheduler, DAG processor, API server, triggerer; started by the CLI, as a person does."""

from __future__ import annotations

import contextlib
import sqlite3
import time

import psutil
import pytest

from auth0_webhooks.checkpoint import parse_checkpoint
from demo.tenant import CLIENT_SECRET
from tests.live.stack import DAG_ID, all_ended, leftovers, wanted

pytestmark = pytest.mark.live


def task_process(airflow):
    """The process of the task that is running: a descendant of the scheduler (titles as LocalExecutor sets them)."""
    for process in psutil.Process(airflow.pid("scheduler")).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            title = " ".join(process.cmdline())
            if title.startswith("airflow worker -- ") and "LocalExecutor" not in title:
                return process
    return None


def test_a_run_triggered_by_the_cli_delivers_everything_with_its_params(quiet):
    airflow, tenant, receiver = quiet
    since = len(tenant.log())
    tenant.add_many(200)
    airflow.trigger(DAG_ID, "by-cli", {"concurrent_calls": 2})
    assert airflow.wait_for_run(DAG_ID, "by-cli") == "success"
    airflow.wait_until(lambda: all_ended(airflow), "the clock's runs end", 120)
    assert sorted(receiver.accepted) == wanted(tenant, since)
    assert receiver.most_at_once <= 5
    log = airflow.task_log(DAG_ID, "by-cli", "deliver")
    assert "live run by-cli" in log
    assert CLIENT_SECRET not in log + airflow.task_log(DAG_ID, "by-cli", "fetch")
    # The callback that removes the batches runs after Airflow has written down the task's success.
    airflow.wait_until(lambda: not leftovers(airflow), "the batches are removed", 30)
    stored = airflow.cli("variables", "get", f"{DAG_ID}_checkpoint").stdout
    assert parse_checkpoint(stored[stored.index("{") :], key="k").position.log_id == tenant.log()[-1][0]


def test_a_param_that_does_not_fit_is_refused_when_the_run_is_triggered(quiet):
    airflow, _, _ = quiet
    refused = airflow.cli("dags", "trigger", DAG_ID, "--run-id", "bad", "--conf", '{"concurrent_calls": 0}', check=False)
    assert refused.returncode != 0
    assert "concurrent_calls" in refused.stdout + refused.stderr
    assert airflow.run_state(DAG_ID, "bad") is None


def test_a_deliver_task_that_is_cleared_by_hand_fails_and_says_what_to_do(quiet):
    airflow, _, receiver = quiet
    airflow.rest("POST", f"/dags/{DAG_ID}/clearTaskInstances", dry_run=False, only_failed=False, task_ids=["deliver"],
                 dag_run_id="by-cli")  # fmt: skip
    airflow.wait_until(lambda: airflow.run_state(DAG_ID, "by-cli") == "failed", "the cleared task fails", 90)
    assert receiver.posts == []
    assert "batch_00000 of task 'filter' is no longer in XCom" in airflow.task_log(DAG_ID, "by-cli", "deliver")


class Interrupted:
    """A run of slow deliveries, brought to its middle; ``end`` checks that all arrived and how many came twice."""

    def __init__(self, stack, run_id, count=2500):
        self.airflow, self.tenant, self.receiver = stack
        self.run_id, self.since = run_id, len(self.tenant.log())
        self.tenant.add_many(count)
        # Quick up to the middle, then so slowly that there is time for what is to happen.
        began = len(self.receiver.posts)
        self.receiver.behave = lambda _post: ("slow", 0.01 if len(self.receiver.posts) < began + 300 else 0.05)
        self.airflow.trigger(DAG_ID, run_id)
        self.wait_for_posts(300)

    def wait_for_posts(self, more):
        goal = len(self.receiver.posts) + more
        self.airflow.wait_until(lambda: len(self.receiver.posts) > goal, "delivery is under way", 180)

    def end(self, repeats):
        """Wait for the run, start another as the clock would, and count."""
        state = self.airflow.wait_for_run(DAG_ID, self.run_id, 300)
        self.airflow.trigger(DAG_ID, f"{self.run_id}-next")
        assert self.airflow.wait_for_run(DAG_ID, f"{self.run_id}-next", 300) == "success"
        assert sorted(set(self.receiver.accepted)) == wanted(self.tenant, self.since)
        assert self.receiver.repeats <= repeats
        print(f"{self.run_id}: {state}, {self.receiver.repeats} repeats of {len(self.receiver.posts)} POSTs")
        return state


def test_a_deliver_task_that_is_killed_repeats_at_most_what_was_not_saved(quiet):
    run = Interrupted(quiet, "task-killed")
    task_process(run.airflow).kill()
    assert run.end(repeats=105) == "success"
    assert run.airflow.xcom(DAG_ID, "task-killed", "report")["delivered_before"] > 0


def test_a_task_that_is_failed_in_the_ui_ends_cleanly_and_counts_what_it_sent(quiet):
    run = Interrupted(quiet, "failed-in-the-ui")
    path = f"/dags/{DAG_ID}/dagRuns/failed-in-the-ui/taskInstances/deliver"
    run.airflow.rest("PATCH", path, new_state="failed")
    run.airflow.wait_until(lambda: task_process(run.airflow) is None, "the task's process ends", 30)
    sent = len(run.receiver.accepted)
    log = run.airflow.task_log(DAG_ID, "failed-in-the-ui", "deliver")
    assert "failed: Airflow ended the task" in log
    assert f"delivered now   {sent:>9,}" in log
    assert run.end(repeats=0) == "failed"


def test_a_worker_that_was_thought_dead_and_comes_back_does_no_harm(quiet):
    run = Interrupted(quiet, "frozen")
    process = task_process(run.airflow)
    supervisor = process.parent()
    for frozen in (supervisor, process):
        frozen.suspend()
    try:
        tries = "select try_number from task_instance where run_id = 'frozen' and task_id = 'deliver' and state = 'running'"
        run.airflow.wait_until(lambda: run.airflow.rows(tries) == [(2,)], "another try runs", 180)
        run.wait_for_posts(200)
    finally:
        for frozen in (process, supervisor):
            frozen.resume()
    assert run.end(repeats=105) == "success"


def test_an_api_server_that_is_killed_in_mid_delivery_costs_at_most_the_bound(quiet):
    run = Interrupted(quiet, "api-server-killed")
    run.airflow.kill_component("api-server")
    run.airflow.start_component("api-server")
    run.end(repeats=105)


def test_a_scheduler_that_is_killed_in_mid_delivery_costs_at_most_the_bound(quiet):
    run = Interrupted(quiet, "scheduler-killed")
    run.airflow.kill_component("scheduler")
    run.airflow.start_component("scheduler")
    run.end(repeats=105)


def test_a_locked_database_in_mid_delivery_costs_at_most_the_bound(quiet):
    run = Interrupted(quiet, "database-locked")
    with contextlib.closing(sqlite3.connect(run.airflow.home / "airflow.db", isolation_level=None, timeout=60)) as database:
        database.execute("begin exclusive")
        # While nothing can be saved, no more than can be repeated may be sent.
        saved_before = len(run.receiver.accepted)
        deadline = time.monotonic() + 12
        while time.monotonic() < deadline:
            assert len(run.receiver.accepted) <= saved_before + 250
            time.sleep(0.1)
        database.execute("rollback")
    run.end(repeats=105)


def test_a_broken_route_shows_as_an_import_error_and_the_good_one_goes_on(quiet):
    airflow, tenant, receiver = quiet
    routes = airflow.dags / "webhook_routes.yaml"
    good = routes.read_text(encoding="utf-8")
    routes.write_text(good + "  broken:\n    log_level: loud\n", encoding="utf-8")
    try:
        airflow.wait_until(lambda: airflow.rows("select 1 from import_error"), "the import error shows", 90)
        ((file, error),) = airflow.rows("select filename, stacktrace from import_error")
        assert file == "webhook_routes_errors.py"
        assert "webhook_routes.yaml: route 'broken': key 'log_level': expected 0 to 4" in error
        since = len(tenant.log())
        tenant.add("limit_wc")
        airflow.trigger(DAG_ID, "beside-a-broken-one")
        assert airflow.wait_for_run(DAG_ID, "beside-a-broken-one") == "success"
        assert receiver.accepted == wanted(tenant, since)
    finally:
        routes.write_text(good, encoding="utf-8")
    airflow.wait_until(lambda: not airflow.rows("select 1 from import_error"), "the import error is gone", 90)
