"""Runs that are started by the CLI, cleared by hand, and beside a route that is broken."""

from __future__ import annotations

import re

import yaml

from auth0_webhooks.model.checkpoint import parse_checkpoint
from simulation.tenant import CLIENT_SECRET
from tests.live.support.stack import write_routes


def test_a_run_triggered_by_the_cli_delivers_everything_with_its_params(route, airflow):
    one = route("auth0_log_webhooks").enabled()
    one.tenant.add_many(200)
    airflow.trigger(one.name, "by-cli", {"concurrent_calls": 2})
    assert one.wait_for("by-cli") == "success"
    assert sorted(one.receiver.accepted) == one.wanted()
    assert one.receiver.most_at_once <= 2
    log = one.log("by-cli", "deliver")
    assert "live run by-cli" in log
    assert CLIENT_SECRET not in log + one.log("by-cli", "fetch")
    # The callback that removes the batches runs after Airflow has written down the task's success.
    airflow.wait_until(lambda: not one.leftovers(), "the batches are removed", 30)
    assert parse_checkpoint(one.checkpoint(), key="k").position.log_id == one.tenant.log()[-1][0]


def test_a_deliver_task_that_is_cleared_by_hand_fails_and_says_what_to_do(route, airflow):
    one = route("cleared")
    one.tenant.add_many(20)
    one.enabled()
    ((run_id, _),) = one.runs()
    airflow.wait_until(lambda: not one.leftovers(), "the batches are removed", 30)
    one.receiver.posts.clear()
    clear = {"dry_run": False, "only_failed": False, "task_ids": ["deliver"], "dag_run_id": run_id}
    airflow.rest("POST", f"/dags/{one.name}/clearTaskInstances", **clear)
    airflow.wait_until(lambda: one.runs() == [(run_id, "failed")], "the cleared task fails", 90)
    assert one.receiver.posts == []
    assert re.search("batch_00000 of task '(fetch|filter)' is no longer in XCom", one.log(run_id, "deliver"))


def test_a_broken_route_shows_as_an_import_error_and_the_good_one_goes_on(route, airflow):
    one = route("beside_a_broken_one").enabled()
    good = (airflow.dags / "webhook_routes.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(good)
    content["routes"]["broken"] = {"log_level": "loud"}
    write_routes(airflow, yaml.safe_dump(content))
    try:
        airflow.wait_until(lambda: airflow.rows("select 1 from import_error"), "the import error shows", 90)
        ((file, error),) = airflow.rows("select filename, stacktrace from import_error")
        assert file == "webhook_routes_errors.py"
        assert re.search(r"webhook_routes.yaml:\d+: route 'broken': key 'log_level': expected 0 to 4", error)
        new = one.tenant.add("limit_wc")
        one.trigger("beside")
        assert one.wait_for("beside") == "success"
        assert one.receiver.accepted == [new]
    finally:
        write_routes(airflow, good)
    airflow.wait_until(lambda: not airflow.rows("select 1 from import_error"), "the import error is gone", 90)
