"""A process that delivers, with its checkpoint in a database, and may freeze itself in the middle of a save."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import sys
import threading
from pathlib import Path

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from auth0_webhooks.delivery.delivery import Delivery
from auth0_webhooks.model.checkpoint import Checkpoint
from auth0_webhooks.state import variables
from tests.support.factory import QUICK, START, endpoint, events, one_batch

KEY = "r_checkpoint"


class Database:
    """Variables in an SQLite file. ``freeze_at``: this process stops itself before a write of the checkpoint from there on."""

    def __init__(self, path: Path, freeze_at: str | None = None) -> None:
        self.path, self.freeze_at = path, freeze_at
        with self._connection() as connection:
            connection.execute("create table if not exists variable (key text primary key, value text)")

    @contextlib.contextmanager
    def _connection(self):
        with contextlib.closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
            yield connection

    def get(self, key):
        with self._connection() as connection:
            row = connection.execute("select value from variable where key = ?", (key,)).fetchone()
        if row is None:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND))
        return row[0]

    def keys(self, prefix):
        with self._connection() as connection:
            return [key for (key,) in connection.execute("select key from variable") if key.startswith(prefix)]

    def set(self, key, value, description=None):
        del description
        if key == KEY and self.freeze_at and (json.loads(value)["log_id"] or "") >= self.freeze_at:
            self.freeze_at = None
            # At this thread: a signal to the process may stop it only after this thread has gone on, into a lock of the file.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        with self._connection() as connection:
            connection.execute("insert or replace into variable values (?, ?)", (key, value))


def deliver(url: str, count: int, by: str) -> Checkpoint | None:
    """One run, from the checkpoint on as ``fetch`` would read it; returns what it began with."""
    keeper = variables.CheckpointVariable(KEY, description="d", saved_by=by, reread_seconds=0.0)
    found = keeper.load()
    made = events(count)
    start = found.position if found else START
    running = Delivery(endpoint(url), keeper, start=start, end=made[-1].position, first=found is None, waits=QUICK)
    with contextlib.suppress(variables.SupersededError):
        try:
            running.run(lambda: [one_batch(made)])
        finally:
            keeper.close()
    return found


if __name__ == "__main__":
    url, path, count, by, freeze_at = sys.argv[1:]
    variables.Variable = Database(Path(path), freeze_at)  # type: ignore[assignment,misc]
    deliver(url, int(count), by)
