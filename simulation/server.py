"""Base of the simulated tenant and the receiver: an aiohttp server in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from typing import Any

from aiohttp import web


class Server:
    """Serves :meth:`handle` on 127.0.0.1. ``port`` 0 picks a free one; the one in use is in ``port`` after ``start``.

    :param name: the host name under which others reach the server. With a name, as in a container, it listens on every address.
    """

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None, name: str = "") -> None:
        self.port, self._name = port, name
        self._tls = tls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, or the same with the server's name."""
        return f"http{'s' if self._tls else ''}://{self._name or '127.0.0.1'}:{self.port}"

    def start(self) -> None:
        """Serve until :meth:`stop`; can be started again, on the same port."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        if not ready.wait(60):
            raise RuntimeError(f"the server did not start on port {self.port}")

    def stop(self) -> None:
        """Close the port and every connection."""
        if self._loop and self._thread:
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(60)
            self._loop = self._thread = None

    @contextlib.contextmanager
    def running(self) -> Iterator[Any]:
        """Serve within a with block."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        runner = web.ServerRunner(web.Server(self.handle, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "0.0.0.0" if self._name else "127.0.0.1", self.port, ssl_context=self._tls, reuse_address=True)
        await site.start()
        self.port = runner.addresses[0][1]
        ready.set()
        await self._end.wait()
        await runner.cleanup()
