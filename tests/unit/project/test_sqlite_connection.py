"""The local Airflow's API server never waits for itself, and what one request has read hides nothing from the next."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from simulation.sqlite_connection import CONNECT_ARGS

INSERT = "insert into seen values (1)"


def test_the_event_loop_gives_up_while_a_request_waits_until_the_lock_is_free(tmp_path):
    def connect():
        return sqlite3.connect(tmp_path / "airflow.db", check_same_thread=False, **CONNECT_ARGS)

    holder, loop, request = connect(), connect(), connect()
    holder.cursor().execute("create table seen (number)")
    holder.cursor().execute("begin immediate")
    outcomes = []

    def wait_and_write():
        try:
            request.cursor().execute(INSERT)
            outcomes.append("written")
        except sqlite3.OperationalError as error:
            outcomes.append(str(error))

    waiting = threading.Thread(target=wait_and_write)
    waiting.start()
    # Tests run in the main thread, as uvicorn's event loop does.
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        loop.cursor().execute(INSERT)
    assert outcomes == []
    holder.commit()
    waiting.join(60)
    assert outcomes == ["written"]
    for connection in (holder, loop, request):
        connection.close()


def test_what_a_request_left_half_read_hides_nothing_from_the_next_one_and_keeps_it_from_nothing(tmp_path):
    one, other = (sqlite3.connect(tmp_path / "airflow.db", **CONNECT_ARGS) for _ in range(2))
    one.execute("pragma journal_mode = wal")
    one.execute("create table seen (number)")
    one.executemany("insert into seen values (?)", [(1,), (2,)])
    one.commit()
    half_read = one.cursor()
    half_read.execute("select * from seen")
    half_read.fetchone()
    other.execute("insert into seen values (3)")
    other.commit()
    one.rollback()  # as SQLAlchemy does when it takes a connection back
    assert one.execute("select count(*) from seen").fetchone() == (3,)
    one.execute("insert into seen values (4)")
    one.commit()
    for connection in (one, other):
        connection.close()
