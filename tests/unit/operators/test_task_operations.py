"""Tasks cleared, marked, frozen and run again in every way, over real HTTP: nothing is lost, and no report is out of balance.

Runs, tasks, XCom and Variables are in memory; tests/runs/test_task_operations.py has those of Airflow.
OPERATIONS=10000 in the environment tries as many.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import AirflowRuntimeError, DownstreamTasksSkipped, ErrorType
from airflow.sdk.execution_time import xcom
from airflow.sdk.execution_time.comms import ErrorResponse

from auth0_webhooks.connections import lookup as connections
from auth0_webhooks.errors import BatchesMixedError, DeliveryStalledError, WebhookRouteError
from auth0_webhooks.model import batch
from auth0_webhooks.names import DELIVER, FETCH, FILTER
from auth0_webhooks.operators.alarm import note_failure, note_success
from auth0_webhooks.operators.base import PARAMS, AnswerRetryPolicy
from auth0_webhooks.operators.deliver import DeliverOperator
from auth0_webhooks.operators.fetch import FetchOperator
from auth0_webhooks.operators.filter import FilterOperator
from auth0_webhooks.route_dag import RETRIES, build_dag
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state import health, variables, xcom_batches
from auth0_webhooks.state.dead_letters import DeadLetterStore
from auth0_webhooks.state.xcom_batches import REMOVING, remove_batches
from auth0_webhooks.times import iso
from auth0_webhooks.waits import Waits
from simulation.receiver import Receiver
from simulation.tenant import CLIENT_ID, CLIENT_SECRET, Tenant
from tests.conftest import set_connection
from tests.support.factory import UNTIL_STALLED
from tests.support.operations import CALLS, TASKS, Backend, Walk
from tests.support.variables import StoredVariables

OPERATORS = {FETCH: FetchOperator, FILTER: FilterOperator, DELIVER: DeliverOperator}
SEQUENCE = 100
WAITS = Waits(post_retries=0.01, first_back_off=0.01, tenant_back_off=0.01, settle=0.0)


class Stored(StoredVariables):
    """Variables in memory."""

    def __init__(self, walk):
        super().__init__()
        self.walk = walk

    def set(self, key, value, description=None):
        walk, of_checkpoint = self.walk(), key.startswith("r_checkpoint")
        if walk.freeze_save and of_checkpoint and not self.late:
            self.late.append((key, value))
            walk.freeze_save, walk.lose_saves = False, True
        if walk.lose_saves and of_checkpoint:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))
        self.values[key] = value


class TaskState(dict):
    """The task state store of a run's deliver."""

    def __init__(self, walk):
        super().__init__()
        self.walk = walk

    def set(self, key, value):
        if self.walk().lose_saves:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))
        self[key] = value


def part_of(task_id):
    """Which task of the route it is, in a group, too."""
    return task_id.rpartition(".")[2]


class Instance:
    """What a task sees of its task instance."""

    dag_id, map_index = "r", -1

    def __init__(self, memory, run, task_id):
        self.memory, self.run_id, self.task_id, self.try_number = memory, run.run_id, task_id, run.tries[task_id]

    def xcom_push(self, key, value):
        self.memory.entries[self.run_id, self.task_id, key] = value

    def xcom_pull(self, task_ids, key="return_value", run_id=None, include_prior_dates=False, map_indexes=None):
        task_ids = part_of(task_ids)
        if include_prior_dates:
            found = [value for (_, task, k), value in self.memory.entries.items() if (task, k) == (task_ids, key)]
            return found[-1] if found else None
        return self.memory.entries.get((run_id or self.run_id, task_ids, key))

    def get_dagrun_state(self, dag_id, run_id):
        run = next((run for run in self.memory.runs if run.run_id == run_id), None)
        return "running" if run and self.memory.runnable(run) else "success"


class Memory(Backend):
    """Airflow in memory, as far as the tasks of a route can see."""

    def __init__(self):
        self.runs, self.entries, self.params = [], {}, {}
        self.route: Any = None
        self.walk: Any = None
        self.variables = Stored(lambda: self.walk)

    def build(self):
        """The DAG of the route."""
        return build_dag(self.route, waits=WAITS)

    def set(self, key, value, *, task_id, dag_id, run_id):
        """As ``XCom.set`` does."""
        self.entries[run_id, part_of(task_id), key] = value

    def delete(self, *, key, task_id, dag_id, run_id):
        """As ``XCom.delete`` does."""
        self.entries.pop((run_id, part_of(task_id), key), None)

    def start_run(self, window):
        since, until = window or (None, None)
        run = SimpleNamespace(
            run_id=f"run {len(self.runs)}",
            window=window,
            states=dict.fromkeys(TASKS),
            tries=dict.fromkeys(TASKS, 0),
            most=dict.fromkeys(TASKS, RETRIES),
            state=TaskState(lambda: self.walk),
            dag_run=SimpleNamespace(
                run_type="backfill" if window else "scheduled",
                conf=None,
                data_interval_start=since,
                data_interval_end=until,
                logical_date=since,
                run_after=datetime.now(timezone.utc),
            ),
        )
        self.runs.append(run)
        return run

    def runnable(self, run):
        able, before = [], "success"
        decided = self.entries.get((run.run_id, FETCH, "skipmixin_key"))
        if (
            decided
            and FILTER in map(part_of, decided["skipped"])
            and run.states[FETCH] == "success"
            and run.states[FILTER] in {None, "up_for_retry"}
        ):
            run.states[FILTER] = "skipped"  # as Airflow's scheduler does
        for task in TASKS:
            if run.states[task] is None and before in {"failed", "upstream_failed", "skipped"}:
                run.states[task] = "skipped" if before == "skipped" else "upstream_failed"
            if run.states[task] in {None, "up_for_retry"} and before == "success":
                able.append(task)
            before = run.states[task]
        return able

    def execute(self, run, task):
        for key in [key for key in self.entries if key[:2] == (run.run_id, task)]:
            del self.entries[key]
        run.tries[task] += 1
        run.states[task] = "running"
        operator = next(one for one in self.build().tasks if getattr(one, "part", None) == task)
        context = {
            "ti": Instance(self, run, task),
            "task": operator,
            "run_id": run.run_id,
            "dag_run": run.dag_run,
            "params": {**dict.fromkeys(PARAMS), **self.params},
            "task_state_store": run.state,
            "outlet_events": defaultdict(lambda: SimpleNamespace(add=lambda *_, **__: None)),
        }
        state = "success"
        try:
            result = self.walk.around(OPERATORS[task].execute.__wrapped__, operator, context)
            if result is not None:
                self.entries[run.run_id, task, "return_value"] = result
        except DownstreamTasksSkipped as skip:
            self.skip(run, skip.tasks)
        except Exception as error:
            if not isinstance(error, WebhookRouteError | AirflowRuntimeError) and type(error).__name__ != "ThoughtDeadError":
                raise
            context["exception"] = error
            decision = AnswerRetryPolicy().evaluate(error, run.tries[task], run.most[task])
            retried = decision.action is not RetryAction.FAIL and run.tries[task] <= run.most[task]
            state = "up_for_retry" if retried else "failed"
        if run.states[task] != "running":
            return  # marked or cleared meanwhile
        run.states[task] = state
        callbacks = {"failed": [remove_batches, note_failure], "success": [remove_batches, note_success] * (task == DELIVER)}
        for callback in callbacks.get(state, []):
            callback(context)

    def state(self, run, task):
        return run.states[task]

    def clear(self, run, tasks):
        for task in tasks:
            run.states[task], run.most[task] = None, run.tries[task] + RETRIES

    def mark(self, run, task, state):
        run.states[task] = state
        for later in TASKS[TASKS.index(task) + 1 :]:  # as Airflow's API does: what failed for it is to run
            if state == "success" and run.states[later] == "upstream_failed":
                run.states[later] = None

    def skip(self, run, tasks):
        for task in map(part_of, tasks):
            if run.states[task] not in {"running", "success", "failed"}:
                run.states[task] = "skipped"

    def xcoms(self, run):
        return {(task, key): value for (run_id, task, key), value in self.entries.items() if run_id == run.run_id}

    def set_xcom(self, run, task, key, value):
        self.entries[run.run_id, task, key] = value

    def delete_xcom(self, run, task, key):
        self.entries.pop((run.run_id, task, key), None)

    def checkpoint(self):
        return self.variables.values.get("r_checkpoint")

    def progress(self, run):
        return dict(run.state)

    def set_aside(self):
        if self.route.on_reject != "dead_letter":
            return set()
        return {letter.log_id for letter, _ in DeadLetterStore(self.route).letters()}

    def land_saves(self):
        self.variables.values.update(self.variables.late)
        self.variables.late = []


@contextlib.contextmanager
def world(seed, max_events, dead_letters=None):
    """A walk that has not begun, over a route in memory whose tenant and webhook are real.

    :param dead_letters: the folder in which the route sets aside what the webhook refuses; None: it stops there.
    """
    with Tenant().running() as tenant, Receiver().running() as receiver, pytest.MonkeyPatch.context() as patch:
        set_connection(patch, "auth0_default", host=tenant.url, login=CLIENT_ID, password=CLIENT_SECRET)
        set_connection(patch, "webhook_default", host=receiver.url)
        memory = Memory()
        memory.walk = made = Walk(seed, memory, tenant, receiver, inside=True)
        memory.route = Route(
            name="r",
            schedule="0 * * * *",
            start_from=made.start_from,
            concurrent_calls=CALLS,
            max_logs_per_run=30,
            on_reject="dead_letter" if dead_letters else "stop",
            dead_letter_path=dead_letters,
        )
        patch.setattr(batch, "MAX_EVENTS", max_events)
        patch.setattr(xcom, "XCom", memory)
        for module in (variables, connections, health):
            patch.setattr(module, "Variable", memory.variables)
        yield made


@pytest.mark.parametrize("seed", range(max(1, int(os.environ.get("OPERATIONS", "300")) // SEQUENCE)))
def test_nothing_is_lost_whatever_is_done_to_the_tasks(seed, tmp_path):
    with world(seed, [4, 50][seed % 2], [None, None, str(tmp_path)][seed % 3]) as walk:
        for _ in range(SEQUENCE):
            walk.step()
        walk.end()
        assert walk.done.total() >= SEQUENCE


@pytest.fixture
def walk():
    with world(0, max_events=4) as made:
        yield made


def do(walk, run, *tasks):
    """One try of each."""
    for task in tasks:
        walk.execute(run, task)


def interrupted(walk):
    """A live run whose deliver waits for its retry after the third event."""
    run = walk.start(None)
    for _ in range(9):
        walk.tenant.add("s")
    walk.fault, walk.at_post = 503, 4
    do(walk, run, FETCH, FILTER, DELIVER)
    assert walk.backend.state(run, DELIVER) == "up_for_retry"
    return run


def test_fetch_run_again_alone_before_deliver_tries_again_loses_nothing_and_says_what_to_clear(walk):
    run = interrupted(walk)
    late = walk.tenant.add("f")
    before = walk.backend.checkpoint(), len(walk.receiver.posts)
    walk.backend.clear(run, [FETCH])
    do(walk, run, FETCH, DELIVER)
    assert (walk.backend.checkpoint(), len(walk.receiver.posts)) == before
    assert walk.backend.state(run, DELIVER) == "failed"
    assert "fetch ran again after filter, so filter must be cleared, too" in str(walk.raised)
    assert "clear fetch with its downstream tasks" in str(walk.raised)
    health_of_route = json.loads(walk.backend.variables.values["r_health"])
    assert health_of_route["problem"] == f"failed: {walk.raised}"
    walk.end()
    assert late in walk.live


@pytest.mark.parametrize("refused", [5, 20], ids=["some refused in a row", "a webhook that refuses everything"])
def test_a_mixture_says_nothing_of_the_webhook_so_what_was_counted_of_it_stays(walk, refused):
    run = walk.start(None)
    for _ in range(9):
        walk.tenant.add("s")
    stuck = {"log_id": walk.first, "type": "s", "since": iso(datetime.now(timezone.utc)), "runs": 3, "told": False}
    counted = {"refused": [str(number) for number in range(refused)], "stuck": stuck}
    known = {"problem": "failed: 503", "run_id": "x", "since": stuck["since"], "told": stuck["since"], **counted}
    walk.backend.variables.values["r_health"] = json.dumps(known)
    do(walk, run, FETCH, FILTER)
    walk.backend.clear(run, [FETCH])
    do(walk, run, FETCH, DELIVER)
    assert isinstance(walk.raised, BatchesMixedError)
    assert walk.receiver.posts == []
    stored = json.loads(walk.backend.variables.values["r_health"])
    assert {name: stored[name] for name in counted} == counted
    assert stored["problem"] == f"failed: {walk.raised}"
    walk.end()


def test_a_probe_reads_a_part_of_the_log_and_puts_its_batches_together(walk):
    made = [walk.first, *(walk.tenant.add("s") for _ in range(28))]
    known = {"problem": "failed: 400", "run_id": "x", "since": "", "told": "", "refused": made[:20]}
    known |= dict.fromkeys(["since", "told"], iso(datetime.now(timezone.utc)))
    walk.backend.variables.values["r_health"] = json.dumps(known)
    run = walk.start(None)
    walk.settle(run)
    fetched = walk.backend.xcoms(run)[FETCH, "return_value"]
    assert (fetched["read"], fetched["batches"], fetched["end"][0]) == (20, 5, made[19])
    assert fetched["batches_end"] == fetched["end"]
    assert walk.backend.state(run, DELIVER) == "success"
    assert sorted(walk.receiver.accepted) == made[:20]
    walk.end()


def test_a_deliver_that_failed_so_is_put_right_by_clearing_what_its_error_says(walk):
    run = interrupted(walk)
    walk.backend.clear(run, [FETCH])
    do(walk, run, FETCH, DELIVER)
    walk.backend.clear(run, [FETCH, FILTER, DELIVER])
    walk.settle(run)
    assert walk.backend.state(run, DELIVER) == "success"
    assert set(walk.wanted()) == set(walk.live)


@pytest.mark.parametrize("landing", ["one batch", "all"])
def test_a_batch_that_a_frozen_try_of_fetch_pushes_late_is_never_taken_for_the_second_trys(walk, landing):
    window = walk.windows[0]
    run = walk.start(window)
    walk.freeze, walk.freeze_at = True, 2
    do(walk, run, FETCH)
    walk.tenant.add("f", happened=window[0])
    do(walk, run, FETCH)
    walk.late = walk.late[:1] if landing == "one batch" else walk.late
    for late in walk.late:
        walk.backend.set_xcom(*late)
    if landing == "one batch":
        do(walk, run, FILTER)
        assert isinstance(walk.raised, BatchesMixedError)
        assert "batch_00001 of task 'fetch' was made by another try" in str(walk.raised)
        assert walk.backend.state(run, FILTER) == "failed"
        assert walk.receiver.posts == []
    walk.late = []
    walk.end()


@pytest.mark.parametrize("task", [FETCH, FILTER])
def test_a_task_marked_success_without_a_result_stops_what_comes_after_it(walk, task):
    run = walk.start(None)
    do(walk, run, *TASKS[: TASKS.index(task)])
    walk.backend.mark(run, task, "success")
    do(walk, run, TASKS[TASKS.index(task) + 1])
    assert f"task '{task}' of this run has no result in XCom" in str(walk.raised)
    assert walk.receiver.posts == []
    walk.end()


def test_a_deliver_that_finds_no_result_reports_its_failure_and_no_counts(walk):
    run = walk.start(None)
    do(walk, run, FETCH, FILTER)
    walk.backend.delete_xcom(run, FETCH, "return_value")
    do(walk, run, DELIVER)
    report = walk.backend.xcoms(run)[DELIVER, "report"]
    assert report["outcome"] == f"failed: {walk.raised}"
    assert report["read"] == report["selected"] == 0


def test_a_missing_batch_is_found_before_the_first_event_is_sent(walk):
    for _ in range(20):
        walk.tenant.add("s")
    run = walk.start(None)
    do(walk, run, FETCH, FILTER)
    walk.backend.delete_xcom(run, FETCH, "batch_00004")
    do(walk, run, DELIVER)
    assert "batch_00004 of task 'fetch' is no longer in XCom" in str(walk.raised)
    assert walk.receiver.posts == []
    assert walk.backend.checkpoint() is None
    walk.end()


def test_a_batch_that_is_wanted_whole_is_not_pushed_again(walk):
    first = [walk.first, walk.tenant.add("s"), walk.tenant.add("s"), walk.tenant.add("s")]
    then = [walk.tenant.add("sapi"), *(walk.tenant.add("s") for _ in range(3))]
    walk.backend.route = walk.backend.route.model_copy(update={"exclude_types": ["sapi"]})
    run = walk.start(None)
    do(walk, run, FETCH, FILTER)
    pushed = {task: {key for of, key in walk.backend.xcoms(run) if of == task and key.startswith("batch")} for task in TASKS}
    assert (len(pushed[FETCH]), pushed[FILTER]) == (2, {"batch_00001"})
    walk.settle(run)
    assert walk.receiver.accepted == first + then[1:]
    assert not [key for _, key in walk.backend.xcoms(run) if key.startswith("batch") or key == "open_batches"]


def test_batches_whose_removal_has_just_begun_are_left_to_it(walk):
    run = walk.start(None)
    do(walk, run, FETCH, FILTER, DELIVER)
    for since, left in ((datetime.now(timezone.utc), True), (datetime.now(timezone.utc) - 2 * REMOVING, False)):
        walk.backend.set_xcom(run, FETCH, "batch_00000", "user data")
        walk.backend.set_xcom(run, FETCH, "open_batches", [run.run_id, iso(since)])
        walk.settle(walk.start(None))
        assert ((FETCH, "batch_00000") in walk.backend.xcoms(run)) is left


def test_batches_in_another_order_are_known_by_their_numbers_and_places(walk):
    for _ in range(20):
        walk.tenant.add("s")
    run = walk.start(None)
    do(walk, run, FETCH, FILTER)
    entries = walk.backend.xcoms(run)
    walk.backend.set_xcom(run, FETCH, "batch_00001", entries[FETCH, "batch_00002"])
    do(walk, run, DELIVER)
    assert "events are missing before batch_00001 of task 'fetch'" in str(walk.raised)
    assert walk.receiver.posts == []


def test_a_result_that_counts_fewer_batches_than_were_read_sends_nothing(walk):
    for _ in range(20):
        walk.tenant.add("s")
    run = walk.start(None)
    do(walk, run, FETCH, FILTER)
    fetched = walk.backend.xcoms(run)[FETCH, "return_value"]
    walk.backend.set_xcom(run, FETCH, "return_value", {**fetched, "batches": fetched["batches"] - 1})
    do(walk, run, DELIVER)
    assert "events are missing after the last batch of task 'filter'" in str(walk.raised)
    assert walk.receiver.posts == []
    assert walk.backend.checkpoint() is None


@pytest.mark.parametrize(("task", "key"), [(FETCH, "batches_end"), (FILTER, "passed_on")])
def test_what_an_earlier_version_handed_on_is_refused_and_delivered_by_the_next_run(walk, task, key):
    run = walk.start(None)
    do(walk, run, FETCH, FILTER)
    result = walk.backend.xcoms(run)[task, "return_value"]
    walk.backend.set_xcom(run, task, "return_value", {name: value for name, value in result.items() if name != key})
    do(walk, run, DELIVER)
    assert f"the result of task '{task}' was made by an earlier version of auth0_webhooks" in str(walk.raised)
    assert "clear fetch with its downstream tasks" in str(walk.raised)
    assert walk.receiver.posts == []
    walk.end()


def test_the_batches_that_a_fetch_run_again_pushes_after_deliver_failed_are_removed_by_the_next_run(walk):
    run = interrupted(walk)
    walk.backend.clear(run, [FETCH])
    walk.freeze, walk.freeze_at = True, 1
    do(walk, run, FETCH, DELIVER)
    walk.land()
    assert (FETCH, "batch_00000") in walk.backend.xcoms(run)
    walk.settle(run)
    walk.settle(walk.start(None))
    assert [key for _, key in walk.backend.xcoms(run) if key.startswith("batch_") or key == "open_batches"] == []


def test_a_dry_run_hands_on_no_filtered_batches(walk):
    walk.backend.params = {"dry_run": True}
    run = walk.start(None)
    do(walk, run, FETCH, FILTER)
    assert [key for task, key in walk.backend.xcoms(run) if task == FILTER] == ["return_value"]
    do(walk, run, DELIVER)
    report = walk.backend.xcoms(run)[DELIVER, "report"]
    assert report["outcome"] == "dry run, nothing was sent and nothing moved"
    assert report["not_reached"] == report["selected"] == len(walk.wanted())
    assert walk.receiver.posts == []


def test_a_task_that_ends_because_airflow_hangs_waits_for_no_save_of_the_checkpoint(walk, monkeypatch):
    """The delivery saves in threads, which it leaves behind where they hang; what the task itself calls must not hang."""
    pull, hangs, release, asked = Instance.xcom_pull, threading.Event(), threading.Event(), []

    def hanging(ti, task_ids, key="return_value", **where):
        if ti.task_id == DELIVER and walk.receiver.posts and key.startswith("batch_") and not hangs.is_set():
            hangs.set()
            release.wait(600)
        return pull(ti, task_ids, key, **where)

    def watched(call):
        def watching(key, *args, **more):
            itself = threading.current_thread() is threading.main_thread()
            if hangs.is_set() and itself and key.startswith("r_checkpoint"):
                asked.append((call.__name__, key))
            return call(key, *args, **more)

        return watching

    monkeypatch.setattr(Instance, "xcom_pull", hanging)
    monkeypatch.setattr(xcom_batches, "KEPT", 0)
    for name in ("get", "set"):
        monkeypatch.setattr(walk.backend.variables, name, watched(getattr(walk.backend.variables, name)))
    for _ in range(9):
        walk.tenant.add("s")
    try:
        for stalled in UNTIL_STALLED:
            monkeypatch.setitem(globals(), "WAITS", replace(WAITS, stalled=stalled, kill_grace=0.1, last_save=0.1))
            do(walk, walk.start(None), FETCH, FILTER, DELIVER)
            assert isinstance(walk.raised, DeliveryStalledError)
            if hangs.is_set():
                break
        assert hangs.is_set()
        assert asked == []
    finally:
        release.set()
