"""A random walk over what a person, and Airflow itself, can do to the three tasks of a route; and what must hold all the same.

The walk knows tasks, runs and XCom only through a :class:`Backend`: tests/unit has one in memory, tests/runs has Airflow.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk.exceptions import DownstreamTasksSkipped

from auth0_webhooks.errors import BatchesMixedError, BatchMissingError
from auth0_webhooks.model.checkpoint import before, parse_checkpoint
from auth0_webhooks.model.events import Position
from auth0_webhooks.names import DELIVER, FETCH, FILTER
from auth0_webhooks.operators.ledger import Report
from auth0_webhooks.times import iso

TASKS = (FETCH, FILTER, DELIVER)
CALLS = 2
BOUND = 100 + CALLS
"""Repeats that a delivery may cost that dies without having saved."""
TYPES = ["s", "f", "sapi"]
KILLED, LOST, FROZEN = "killed", "its saves are lost", "frozen in a save"
SKIP = "the tasks to skip"
"""In the place of an XCom's key: what a frozen try of an idle run tells Airflow."""


class ThoughtDeadError(Exception):
    """What Airflow takes a frozen try for."""


class Backend:
    """Where runs, tasks and XComs are. A run is any object with a ``window``: None, or a pair of date-times."""

    def start_run(self, window: tuple[datetime, datetime] | None) -> Any:
        """A new run, or the one of this window, cleared."""

    def runnable(self, run: Any) -> list[str]: ...
    def execute(self, run: Any, task: str) -> None: ...
    def state(self, run: Any, task: str) -> str | None: ...
    def clear(self, run: Any, tasks: list[str]) -> None: ...
    def mark(self, run: Any, task: str, state: str) -> None: ...
    def skip(self, run: Any, tasks: list[str]) -> None:
        """As Airflow does when a task asks for it: not what is running, or has ended without being skipped."""

    def xcoms(self, run: Any) -> dict[tuple[str, str], Any]: ...
    def set_xcom(self, run: Any, task: str, key: str, value: Any) -> None: ...
    def delete_xcom(self, run: Any, task: str, key: str) -> None: ...
    def checkpoint(self) -> str | None: ...
    def progress(self, run: Any) -> Any: ...
    def set_aside(self) -> set[str]:
        """The log ids of the route's dead letters."""
        return set()

    def land_saves(self) -> None:
        """The save of a checkpoint arrives in which a try was frozen."""


class Walk:
    """Does things at random, counts them in ``done``, and checks after each that nothing is lost.

    :param inside: also do things to the other tasks in the middle of a delivery.
    """

    def __init__(self, seed: int, backend: Backend, tenant: Any, receiver: Any, *, inside: bool) -> None:
        self.chance, self.backend, self.tenant, self.receiver, self.inside = (
            random.Random(seed),
            backend,
            tenant,
            receiver,
            inside,
        )
        self.done: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.runs: list[Any] = []
        self.late: list[tuple[Any, str, str, Any]] = []
        self.freeze = self.lose_saves = self.freeze_save = False
        self.began_at: Position | None = None
        self.freeze_at: int | None = None
        self.fault: Any = None
        self.at_post = 0
        self.idle = 0
        self.touched = False
        self.live: list[str] = []
        self.by_run: dict[int, list[str]] = {}
        self.allowed: Counter[int | None] = Counter()
        self.read_by: dict[str, list[str]] = {}
        self.executing: tuple[Any, str, Any] | None = None
        self.raised: BaseException | None = None
        self.wrong: Exception | None = None
        tenant.log_token_requests = False
        now = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
        self.windows = [(now - timedelta(hours=hours), now - timedelta(hours=hours - 1)) for hours in (5, 4)]
        for since, _ in self.windows:
            for number in range(18):
                tenant.add(self.chance.choice(TYPES), when=since + timedelta(minutes=3 * number))
        self.start_from = now - timedelta(hours=2)
        self.first = tenant.add("s", when=self.start_from + timedelta(minutes=1))
        receiver.behave = self._answer

    # What tests install around the operators

    def around(self, execute: Any, operator: Any, context: Any) -> Any:
        """A try of a task: frozen at a push, where that is its turn, to push the rest when somebody lets it."""
        run, task, _ = self.executing
        self.executing = (run, task, operator)
        self.raised = None
        freeze, self.freeze = self.freeze and task != DELIVER, False
        ti, pushes, results = context["ti"], 0, []
        push, frozen_at = ti.xcom_push, self.chance.randrange(6) if self.freeze_at is None else self.freeze_at

        def freezing(key: str, value: Any) -> None:
            nonlocal pushes
            pushes += 1
            if key == "return_value":
                results.append(value)
            if freeze and pushes > frozen_at:
                self.late.append((run, task, key, value))
            else:
                push(key, value)

        object.__setattr__(ti, "xcom_push", freezing)
        try:
            try:
                result = execute(operator, context)
            except DownstreamTasksSkipped as skip:
                self._fetched(run, results[0])
                if freeze:
                    self.late.append((run, task, SKIP, skip.tasks))
                    raise ThoughtDeadError from None
                self.idle += 1
                raise
            if task == FETCH:
                self._fetched(run, result)
            if freeze:
                self.late.append((run, task, "return_value", result))
                raise ThoughtDeadError
            return result
        except BaseException as error:
            self.raised = error
            raise

    def _fetched(self, run: Any, result: dict[str, Any]) -> None:
        self.read_by[result["fetch"]] = self.wanted(run.window)
        self._check_start(run, Position(*result["start"]))

    def _answer(self, post: Any) -> Any:
        self.at_post -= 1
        if self.at_post == 0:
            if self.fault == "others":
                self.touched = True
                try:
                    self._others()
                except Exception as error:  # noqa: BLE001 - the receiver would make an answer of it
                    self.wrong = error
            elif self.fault == KILLED:
                self.executing[2].on_kill()
            elif self.fault == LOST:
                self.lose_saves = True
            elif self.fault == FROZEN:
                self.freeze_save = True
        return self.fault if isinstance(self.fault, int) and self.at_post <= 0 else 200

    # What must hold

    def _check_start(self, run: Any, start: Position) -> None:
        """Nobody sets a checkpoint in this walk, so a live run never goes on from before where another one did."""
        if run.window is None:
            if self.began_at and before(start, self.began_at):
                self.wrong = AssertionError(f"a run goes back to {start}, although one went on from {self.began_at}")
            self.began_at = start

    def wanted(self, window: tuple[datetime, datetime] | None = None) -> list[str]:
        """The log ids that a run wants now: of a window, or of the live log from its start on."""
        log = [(log_id, text) for log_id, kind, text in self.tenant.log() if kind != "sapi"]
        if window is None:
            return [log_id for log_id, _ in log if log_id >= self.first]
        since, until = map(iso, window)
        dated = [(log_id, text.partition('"date": "')[2][:24]) for log_id, text in log]
        return [log_id for log_id, date in dated if since <= date < until]

    def check(self) -> None:
        """The checkpoint has passed nothing that was not accepted, and repeats are within their bound."""
        stored = self.backend.checkpoint()
        place = parse_checkpoint(stored, key="k") if stored else None
        if place and place.position.log_id:
            passed = {log_id for log_id in self.wanted() if log_id <= place.position.log_id} | set(place.acknowledged)
            done = set(self.live) | self.backend.set_aside()
            assert passed <= done, f"lost: {sorted(passed - done)}"
        if self.wrong:
            raise self.wrong
        assert len(self.live) - len(set(self.live)) <= self.allowed[None], "too many repeats"
        assert self.receiver.problems == []

    # What can be done

    def execute(self, run: Any, task: str) -> None:
        """One try of a task, and what must hold of it."""
        if task != DELIVER:
            outer, raised = self.executing, self.raised
            self.executing = (run, task, None)
            self.backend.execute(run, task)
            self.found[f"{task}: {type(self.raised).__name__}"] += 1
            self.executing = outer
            if outer:
                self.raised = raised  # the delivery's, which goes on
            return
        before = len(self.receiver.accepted), self.backend.checkpoint(), self.backend.progress(run)
        posts = len(self.receiver.posts)
        told = self.backend.xcoms(run).get((FETCH, "return_value"))
        self.executing, self.touched = (run, task, None), False
        self.backend.execute(run, task)
        self.executing = None
        if self.wrong:
            raise self.wrong
        accepted = self.receiver.accepted[before[0] :]
        error, lost, self.lose_saves, self.freeze_save = self.raised, self.lose_saves, False, False
        self.found[f"{task}: {type(error).__name__}"] += 1
        if isinstance(error, BatchesMixedError | BatchMissingError):
            assert "clear" in str(error)
            if not self.touched:
                after = self.backend.checkpoint(), self.backend.progress(run)
                assert (posts, *before[1:]) == (len(self.receiver.posts), *after), "a mixture sent or moved something"
        report = self.backend.xcoms(run).get((DELIVER, "report"))
        if report:
            Report(**report).check(all_settled=error is None and not report["dry_run"])
        if run.window is None:
            self.live += accepted
            self.allowed[None] += BOUND if lost else 0
        else:
            self._deliver_window(run, accepted, told, complete=error is None, lost=lost)
        self.fault, self.at_post = None, 0

    def _deliver_window(self, run: Any, accepted: list[str], told: Any, *, complete: bool, lost: bool) -> None:
        """A window that is fetched again after it was complete is sent again, and one whose events have changed as well."""
        sent = self.by_run.setdefault(id(run), [])
        wanted = self.read_by[told["fetch"]] if told else []
        if (run.complete and told and run.complete != told["fetch"]) or (accepted and wanted != run.wanted):
            sent.clear()
            self.allowed[id(run)] = 0
        sent += accepted
        self.allowed[id(run)] += BOUND if lost else 0
        assert len(sent) - len(set(sent)) <= self.allowed[id(run)], "too many repeats in a window"
        if accepted or complete:
            run.wanted = wanted
        if complete:
            assert set(wanted) <= set(sent) | self.backend.set_aside(), "a window is said to be complete that is not"
            run.complete = told["fetch"]
        elif accepted:
            run.complete = None

    def settle(self, run: Any) -> None:
        """Let Airflow run a run's tasks until none is left to run."""
        while tasks := self.backend.runnable(run):
            self.execute(run, self.chance.choice(tasks))
            self.check()

    def start(self, window: tuple[datetime, datetime] | None) -> Any:
        """Start a run; a live one waits until the ones before it have ended."""
        for run in self.runs:
            if window is None or run.window == window:
                self.settle(run)
        run = self.backend.start_run(window)
        if not hasattr(run, "wanted"):
            run.wanted, run.complete = [], None
        self.runs = [*(other for other in self.runs[-5:] if other is not run), run]
        return run

    def land(self) -> None:
        """A frozen try goes on: what it still had to push arrives, or some of it, until Airflow ends it."""
        for run, task, key, value in self.late[: self.chance.choice([1, 2, None])]:
            if key == SKIP:
                self.backend.skip(run, value)
            else:
                self.backend.set_xcom(run, task, key, value)
        self.late = []
        self.backend.land_saves()

    def _some_run(self) -> Any:
        """One that waits for its retry, else mostly one of the last; an ended one runs again once the others have ended."""
        waiting = [run for run in self.runs if self.backend.state(run, DELIVER) == "up_for_retry"]
        run = self.chance.choice(waiting or (self.runs[-3:] if self.chance.random() < 0.8 else self.runs))
        for other in self.runs:
            if other is not run and run.window is None and other.window is None:
                self.settle(other)
        return run

    def _others(self) -> None:
        """In the middle of a delivery: the tasks before it, and their XComs."""
        run = self.executing[0]
        for _ in range(self.chance.randint(1, 3)):
            what = self.chance.choice(["clear", "clear and run", "delete", "land", "mark"])
            self.done[f"during deliver: {what}"] += 1
            tasks = self.chance.choice([[FETCH], [FILTER], [FETCH, FILTER]])
            if what.startswith("clear"):
                self.backend.clear(run, tasks)
            if what == "clear and run":
                for task in tasks:
                    self.execute(run, task)
            elif what == "land":
                self.land()
            elif what == "mark":
                self.backend.mark(run, tasks[0], self.chance.choice(["success", "failed", "skipped"]))
            elif what == "delete":
                self._delete(run)

    def _delete(self, run: Any) -> None:
        keys = sorted(self.backend.xcoms(run))
        for task, key in self.chance.sample(keys, min(len(keys), self.chance.randint(1, 3))):
            self.backend.delete_xcom(run, task, key)

    def step(self) -> None:
        """One thing at random."""
        ways: dict[str, tuple[int, Any]] = {
            "try": (24, self._try),
            "settle": (6, lambda: self.settle(self.chance.choice(self.runs))),
            "live run": (5, lambda: self.start(None)),
            "window": (3, lambda: self.start(self.chance.choice(self.windows))),
            "clear": (8, self._clear),
            "clear and run": (12, self._clear_and_run),
            "clear between two tries of deliver": (6, self._clear_between_tries),
            "mark": (5, self._mark),
            "delete": (4, lambda: self._delete(self.chance.choice(self.runs))),
            "events": (8, self._events),
            "late event": (4, self._late_event),
            "fault": (14, self._set_fault),
            "freeze": (6, self._set_freeze),
            "land": (6, self.land),
        }
        what = self.chance.choices(list(ways), [weight for weight, _ in ways.values()])[0] if self.runs else "live run"
        more = ways[what][1]()
        self.done[f"{what}: {more}" if isinstance(more, str) else what] += 1
        self.check()

    def _try(self) -> None:
        able = [(run, task) for run in self.runs for task in self.backend.runnable(run)]
        live = [run for run, _ in able if run.window is None]
        able = [(run, task) for run, task in able if run.window or run is live[0]]
        if able:
            self.execute(*self.chance.choice(able))
        else:
            self.start(None)

    def _tasks(self) -> tuple[list[str], str]:
        tasks, downstream = (
            self.chance.choice([[FETCH], [FETCH], [FILTER], [DELIVER], self.chance.sample(TASKS, 2), [*TASKS]]),
            "",
        )
        if self.chance.random() < 0.2:
            tasks, downstream = list(TASKS[min(map(TASKS.index, tasks)) :]), " with downstream"
        tasks.sort(key=TASKS.index)
        return tasks, f"{', '.join(tasks)}{downstream}"

    def _clear(self) -> str:
        tasks, words = self._tasks()
        self.backend.clear(self._some_run(), tasks)
        return words

    def _clear_and_run(self) -> str:
        (tasks, words), run = self._tasks(), self._some_run()
        if self.chance.random() < 0.5:
            self._events()
        self.backend.clear(run, tasks)
        for task in tasks:
            if task in self.backend.runnable(run):
                self.execute(run, task)
        if self.chance.random() < 0.5:
            self.settle(run)
        return words

    def _clear_between_tries(self) -> str:
        self._events()
        run = self.start(self.chance.choice([None, *self.windows]))
        self.fault, self.at_post = 503, self.chance.choice([1, 2, 3])
        for task in TASKS:
            if task in self.backend.runnable(run):
                self.execute(run, task)
        return self._clear_and_run()

    def _mark(self) -> str:
        task, state = self.chance.choice(TASKS), self.chance.choice(["success", "failed", "skipped"])
        self.backend.mark(self._some_run(), task, state)
        return f"{task} {state}"

    def _events(self) -> None:
        for _ in range(self.chance.randint(1, 14)):
            self.tenant.add(self.chance.choice(TYPES))

    def _late_event(self) -> None:
        since, _ = self.chance.choice(self.windows)
        self.tenant.add("f", happened=since + timedelta(minutes=self.chance.randrange(60)))

    def _set_fault(self) -> str:
        self.fault = self.chance.choice([503, 503, 503, 401, 422, KILLED, LOST, FROZEN] + ["others"] * 3 * self.inside)
        self.at_post = self.chance.choice([1, 2, 3, 4, 8])
        return str(self.fault)

    def _set_freeze(self) -> None:
        self.freeze = True

    def end(self) -> None:
        """After the next live run everything wanted has arrived; and each backfill, once more, sends all of its window."""
        self.land()
        self.freeze, self.fault, self.at_post = False, None, 0
        for run in self.runs:
            self.settle(run)
        for _ in range(100):
            run = self.start(None)
            self.settle(run)
            if self.backend.state(run, FETCH) == "success" and self.backend.state(run, DELIVER) == "skipped":
                break  # there was nothing to read
            assert self.backend.state(run, DELIVER) == "success"
            if self.backend.xcoms(run)[DELIVER, "report"]["stopped"] is None:
                break
        else:
            raise AssertionError("no run comes to the end of the log")
        assert set(self.wanted()) <= set(self.live) | self.backend.set_aside(), "an event is lost"
        for run in [run for run in self.runs if run.window]:
            self.backend.clear(run, list(TASKS))
            self.settle(run)
            assert self.backend.state(run, DELIVER) == "success"
            done = set(self.by_run[id(run)]) | self.backend.set_aside()
            assert set(self.wanted(run.window)) <= done, "an event of a window is lost"
        self.check()
