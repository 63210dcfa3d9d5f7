"""How long Airflow's API server waits for SQLite: the threads of its requests for long, its event loop briefly.

Airflow writes what an admin does to its log of events in the event loop. If it has to wait there for a request that has written,
and that needs the event loop to end, both wait until one of them gives up, and so does each request that waits by then: of a task
that reports its end Airflow takes that for a failure. So the event loop gives up first; its client gets an error 500, and tries
again.
"""

from __future__ import annotations

import sqlite3
import threading
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

    _seconds = 0.0

    def cursor(self, factory: Any = Cursor) -> Any:
        """As in sqlite3."""
        return super().cursor(factory)

    def use_wait_of_this_thread(self) -> None:
        """Set how long SQLite waits for a lock; uvicorn's event loop is in the main thread."""
        in_loop = threading.current_thread() is threading.main_thread()
        seconds = EVENT_LOOP_SECONDS if in_loop else REQUEST_SECONDS
        if seconds != self._seconds:
            self._seconds = seconds
            self.execute(f"pragma busy_timeout = {seconds * 1000:.0f}")


CONNECT_ARGS = {"factory": Connection}
"""For ``AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS``."""
