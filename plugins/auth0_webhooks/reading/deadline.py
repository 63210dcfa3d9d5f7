"""A deadline for a whole request, whatever the other side does.

The time-outs of requests start again with each read, so an answer that arrives byte by byte never exceeds them.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from requests.adapters import HTTPAdapter

SHUT_SECONDS = 0.1
"""Seconds between attempts to shut a connection after its deadline: it may not have been open yet."""


class DeadlineAdapter(HTTPAdapter):
    """Opens connections that another thread can shut. Supports one request at a time, which is all a hook makes."""

    _in_use: Any = None
    _sock: Any = None

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """The connection pool of requests; its connections report when they are in use."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        adapter, plain = self, pool.ConnectionCls
        if not hasattr(plain, "says_when_in_use"):

            class Connection(plain):  # type: ignore[misc, valid-type]
                says_when_in_use = True

                def connect(self) -> None:
                    adapter._in_use, adapter._sock = self, None
                    super().connect()
                    # Stored separately: the connection drops its socket while the body of a last answer is read.
                    adapter._sock = self.sock

                def request(self, *args: Any, **kwargs: Any) -> None:
                    adapter._in_use, adapter._sock = self, self.sock
                    super().request(*args, **kwargs)

            pool.ConnectionCls = Connection
        return pool

    def shut(self) -> None:
        """Shut the connection in use: the thread that waits for it gets an error."""
        sock: Any = getattr(self._in_use, "sock", None) or self._sock
        # Not SSLSocket.shutdown: after it, the other thread would continue without TLS.
        with contextlib.suppress(OSError, TypeError):
            socket.socket.shutdown(getattr(sock, "socket", sock), socket.SHUT_RDWR)


@contextlib.contextmanager
def deadline(adapter: DeadlineAdapter, seconds: float) -> Iterator[Callable[[], bool]]:
    """Shut the adapter's connection if the block takes longer; yields a function that returns whether it did."""
    over, done = threading.Event(), threading.Event()

    def watch() -> None:
        if not done.wait(seconds):
            over.set()
            while not done.wait(SHUT_SECONDS):
                adapter.shut()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield over.is_set
    finally:
        done.set()
        watcher.join()
