"""A deadline over a whole request, whatever the other side does meanwhile.

The time-outs of requests count from one read to the next: an answer that comes a byte at a time never meets them.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from requests.adapters import HTTPAdapter

SHUT_SECONDS = 0.1
"""How often a connection is shut after its deadline: it may not have been open yet."""


class DeadlineAdapter(HTTPAdapter):
    """Opens connections that another thread can shut. For one request at a time, as a hook makes them."""

    _in_use: Any = None
    _sock: Any = None

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """The pool of requests, whose connections say when they are in use."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        adapter, plain = self, pool.ConnectionCls
        if not hasattr(plain, "says_when_in_use"):

            class Connection(plain):  # type: ignore[misc, valid-type]
                says_when_in_use = True

                def connect(self) -> None:
                    adapter._in_use, adapter._sock = self, None
                    super().connect()
                    # Kept apart: while the body of a last answer is read the connection has let go of its socket.
                    adapter._sock = self.sock

                def request(self, *args: Any, **kwargs: Any) -> None:
                    adapter._in_use, adapter._sock = self, self.sock
                    super().request(*args, **kwargs)

            pool.ConnectionCls = Connection
        return pool

    def shut(self) -> None:
        """End the connection in use: whoever waits for it gets an error."""
        sock: Any = getattr(self._in_use, "sock", None) or self._sock
        # Not SSLSocket.shutdown, which would have the other thread go on without TLS.
        with contextlib.suppress(OSError, TypeError):
            socket.socket.shutdown(getattr(sock, "socket", sock), socket.SHUT_RDWR)


@contextlib.contextmanager
def deadline(adapter: DeadlineAdapter, seconds: float) -> Iterator[Callable[[], bool]]:
    """Shut the adapter's connection when the block takes longer; gives a function that says whether it did."""
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
