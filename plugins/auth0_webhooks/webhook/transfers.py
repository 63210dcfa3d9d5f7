"""Runs transfers of libcurl in an asyncio event loop."""

from __future__ import annotations

import asyncio
import selectors

import pycurl


class Transfers:
    """The transfers of one set of connections. Make it inside the event loop.

    It is what libcurl's documentation asks of an event loop: tell it which sockets are ready, and when its time is up.
    ``pycurl.AsyncCurlMulti`` does the same, with a reader in the event loop for each socket and each transfer, and a new timer
    each time: a third more CPU for a POST than with one selector for all sockets, which the event loop sees as one.

    :param kept: how many connections are kept for later transfers.
    """

    def __init__(self, kept: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[pycurl.Curl, asyncio.Future[int]] = {}
        self._sockets, self._watched = selectors.DefaultSelector(), set[int]()
        self._loop.add_reader(self._sockets, self._on_sockets)
        self._soon: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, kept)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._wait)

    async def run(self, curl: pycurl.Curl) -> int:
        """Run one transfer; returns how it ended, one of ``pycurl.E_...``."""
        ended: asyncio.Future[int] = self._loop.create_future()
        self._under_way[curl] = ended
        self._multi.add_handle(curl)
        try:
            return await ended
        finally:
            if self._under_way.pop(curl, None):  # cancelled
                self._multi.remove_handle(curl)

    def close(self) -> None:
        """Close all connections. Whatever is still under way never ends."""
        self._loop.remove_reader(self._sockets)
        for handle in (self._soon, self._timer):
            if handle:
                handle.cancel()
        for curl in self._under_way:
            self._multi.remove_handle(curl)
        self._under_way.clear()
        self._multi.close()
        self._sockets.close()

    def _watch(self, what: int, number: int, _multi: object, _data: object) -> None:
        """Watch a socket for what libcurl waits for; its numbers for reading and writing are those of :mod:`selectors`."""
        if what in (pycurl.POLL_REMOVE, pycurl.POLL_NONE):
            if number in self._watched:
                self._watched.remove(number)
                self._sockets.unregister(number)
        elif number in self._watched:
            self._sockets.modify(number, what)
        else:
            self._watched.add(number)
            self._sockets.register(number, what)

    def _wait(self, milliseconds: int) -> None:
        """Let libcurl go on after this time. It may go on earlier, so a timer that is due before is left as it is."""
        if milliseconds == 0:
            self._soon = self._soon or self._loop.call_soon(self._on_time)
        elif milliseconds > 0:
            at = self._loop.time() + milliseconds / 1000
            if self._timer is None or at < self._timer.when():
                if self._timer:
                    self._timer.cancel()
                self._timer = self._loop.call_at(at, self._on_timer)

    def _on_sockets(self) -> None:
        for key, what in self._sockets.select(0):
            self._multi.socket_action(key.fd, what)
        self._end()

    def _on_time(self) -> None:
        self._soon = None
        self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._end()

    def _on_timer(self) -> None:
        self._timer = None
        self._on_time()
        self._wait(self._multi.timeout())  # it may be later than this timer was set for

    def _end(self) -> None:
        """Pass on how transfers ended."""
        _, succeeded, failed = self._multi.info_read()
        for curl, code in [(curl, pycurl.E_OK) for curl in succeeded] + [(curl, code) for curl, code, _ in failed]:
            self._multi.remove_handle(curl)
            ended = self._under_way.pop(curl)
            if not ended.done():
                ended.set_result(code)
