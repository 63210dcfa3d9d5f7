"""A worker that Airflow takes for dead, and that comes back."""

from __future__ import annotations

import contextlib
import sqlite3
import time

from tests.live.support.interrupted import BOUND, Interrupted


def is_writable(airflow):
    """Whether SQLite can be written to soon."""
    with contextlib.closing(sqlite3.connect(airflow.home / "airflow.db", isolation_level=None, timeout=5)) as database:
        try:
            database.execute("begin immediate")
        except sqlite3.OperationalError:
            return False
        database.execute("rollback")
        return True


def freeze(airflow, processes):
    """Suspend them while they are not in the middle of a request: in one, Airflow's API server keeps SQLite locked for them."""
    deadline = time.monotonic() + 300
    while True:
        for process in processes:
            process.suspend()
        if is_writable(airflow):
            return
        for process in processes:
            process.resume()
        assert time.monotonic() < deadline, "SQLite stays locked"
        time.sleep(0.3)


def test_a_worker_that_was_thought_dead_and_comes_back_does_no_harm(route):
    run = Interrupted(route("frozen"), count=4000)
    process = run.process()
    both = (process.parent(), process)
    freeze(run.airflow, both)
    try:
        tries = "select try_number from task_instance where dag_id = 'frozen' and task_id = 'deliver' and state = 'running'"
        run.airflow.wait_until(lambda: run.airflow.rows(tries) == [(2,)], "another try runs", 180)
        run.route.wait_for_posts(len(run.receiver.posts) + 100)
    finally:
        for frozen in reversed(both):
            frozen.resume()
    assert run.end(repeats=BOUND) == "success"
