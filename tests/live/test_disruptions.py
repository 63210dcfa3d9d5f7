"""Parts of Airflow that die in the middle of a delivery. Run after the other live tests, since nobody is spared."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
import time

import pytest

from tests.live.support.interrupted import BOUND, Interrupted


@pytest.fixture
def disrupting(airflow):
    """A context for one disruption at a time; its ``count`` says how many there have been."""
    lock = airflow.home / "disruptions"

    @contextlib.contextmanager
    def one_at_a_time():
        with lock.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            airflow.wait_until(airflow.is_healthy, "Airflow is up", 120)
            yield
            airflow.wait_until(airflow.is_healthy, "Airflow is up again", 120)
            file.write("x")

    def disrupted():
        return lock.stat().st_size

    one_at_a_time.count = disrupted
    return one_at_a_time


def end_of(run, disrupting, before):
    """Each further disruption that its retries came into may have cost as much again, and a run of its own."""
    run.slow = False
    run.route.wait_for(run.run_id, 300)
    return run.end(repeats=BOUND * (disrupting.count() - before + 1), runs=lambda: disrupting.count() - before + 1)


def test_a_scheduler_that_is_killed_in_mid_delivery_costs_at_most_the_bound(route, airflow, disrupting):
    with disrupting():
        run, before = Interrupted(route("scheduler_killed")), disrupting.count()
        airflow.kill_component("scheduler")
        airflow.start_component("scheduler")
    end_of(run, disrupting, before)


def test_an_api_server_that_is_killed_in_mid_delivery_costs_at_most_the_bound(route, airflow, disrupting):
    with disrupting():
        run, before = Interrupted(route("api_server_killed")), disrupting.count()
        airflow.kill_component("api-server")
        airflow.start_component("api-server")
    end_of(run, disrupting, before)


def test_a_locked_database_in_mid_delivery_costs_at_most_the_bound(route, airflow, disrupting):
    with disrupting():
        run, before = Interrupted(route("database_locked")), disrupting.count()
        with contextlib.closing(sqlite3.connect(airflow.home / "airflow.db", isolation_level=None, timeout=60)) as database:
            database.execute("begin exclusive")
            # While nothing can be saved, no more than can be repeated may be sent.
            saved_before = len(run.receiver.accepted)
            deadline = time.monotonic() + 12
            while time.monotonic() < deadline:
                assert len(run.receiver.accepted) <= saved_before + BOUND
                time.sleep(0.1)
            database.execute("rollback")
    end_of(run, disrupting, before)


def test_the_watch_goes_on_after_the_triggerer_was_killed(route, airflow, disrupting):
    one = route("triggerer_killed").enabled()
    with disrupting():
        airflow.kill_component("triggerer")
        log_id = one.tenant.add("f")
        airflow.start_component("triggerer")
    airflow.wait_until(lambda: log_id in one.receiver.accepted, "the event arrives", 180)
