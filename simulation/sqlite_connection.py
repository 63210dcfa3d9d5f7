"""How Airflow's API server uses SQLite: how long it waits for a lock, and that what it has read ends with its transaction.

The threads of its requests wait for long, its event loop briefly.

Airflow writes what an admin does to its log of events in the event loop. If it has to wait there for a request that has written,
and that needs the event loop to end, both wait until one of them gives up, and so does each request that waits by then: of a task
that reports its end Airflow takes that for a failure. So the event loop gives up first; its client gets an error 500, and tries
again.

Since Python 3.11 a rollback leaves a statement open whose rows were not all read, for as long as anything refers to its cursor,
such as the traceback of an error. A connection with such a statement shows its next users the database as it was then, and lets
none of them write. So a rollback, which ends each use of a connection, closes all cursors.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from typing import Any

EVENT_LOOP_SECONDS, REQUEST_SECONDS = 0.5, 60.0


class Cursor(sqlite3.Cursor):
    """A cursor of a :class:`Connection`, which any thread may use."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._connection = connection

    def execute(self, *statement: Any) -> Any:
        """As in sqlite3, with the wait of this thread."""
        self._connection.use_wait_of_this_thread()
        return super().execute(*statement)

    def executemany(self, *statement: Any) -> Any:
        """As in sqlite3, with the wait of this thread."""
        self._connection.use_wait_of_this_thread()
        return super().executemany(*statement)


class Connection(sqlite3.Connection):
    """A connection that waits as long as the thread may that uses it."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._seconds = 0.0
        self._cursors: weakref.WeakSet[sqlite3.Cursor] = weakref.WeakSet()

    def cursor(self, factory: Any = Cursor) -> Any:
        """As in sqlite3."""
        made = super().cursor(factory)
        self._cursors.add(made)
        return made

    def rollback(self) -> None:
        """As in sqlite3, and close all cursors."""
        for cursor in list(self._cursors):
            cursor.close()
        self._cursors.clear()
        super().rollback()

    def use_wait_of_this_thread(self) -> None:
        """Set how long SQLite waits for a lock; uvicorn's event loop is in the main thread."""
        in_loop = threading.current_thread() is threading.main_thread()
        seconds = EVENT_LOOP_SECONDS if in_loop else REQUEST_SECONDS
        if seconds != self._seconds:
            self._seconds = seconds
            self.execute(f"pragma busy_timeout = {seconds * 1000:.0f}")


CONNECT_ARGS = {"factory": Connection}
"""For ``AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS``."""
