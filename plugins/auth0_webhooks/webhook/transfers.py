"""Runs transfers of libcurl in an asyncio event loop."""

from __future__ import annotations

import asyncio
import select
import selectors

import pycurl

_READABLE, _WRITABLE = 1, 4
"""What epoll calls them; of other systems' modules ``select`` lacks the names."""


class Selector:
    """The part of ``select.epoll`` that :class:`Transfers` needs, for systems without it, such as macOS."""

    def __init__(self) -> None:
        self._sockets = selectors.DefaultSelector()
        self.fileno, self.unregister, self.close = self._sockets.fileno, self._sockets.unregister, self._sockets.close

    def register(self, number: int, what: int) -> None:
        """Watch a socket."""
        self._sockets.register(number, what & _READABLE | (what & _WRITABLE) >> 1)

    def modify(self, number: int, what: int) -> None:
        """Watch a socket for something else."""
        self._sockets.modify(number, what & _READABLE | (what & _WRITABLE) >> 1)

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        """The sockets that are ready, and for what."""
        return [(key.fd, what & 1 | (what & 2) << 1) for key, what in self._sockets.select(timeout)]


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
        self._sockets = select.epoll() if hasattr(select, "epoll") else Selector()
        self._watched: set[int] = set()
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
        """Watch a socket for what libcurl waits for."""
        if what in (pycurl.POLL_REMOVE, pycurl.POLL_NONE):
            if number in self._watched:
                self._watched.remove(number)
                try:
                    self._sockets.unregister(number)
                except OSError:  # closed already, so it is not watched any more
                    pass
            return
        wanted = (_READABLE if what & pycurl.POLL_IN else 0) | (_WRITABLE if what & pycurl.POLL_OUT else 0)
        if number in self._watched:
            self._sockets.modify(number, wanted)
        else:
            self._watched.add(number)
            self._sockets.register(number, wanted)

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
        for number, what in self._sockets.poll(0):
            # An error or the end of a connection is something to read, too.
            readable, writable = what & ~_WRITABLE, what & _WRITABLE
            self._multi.socket_action(number, (pycurl.CSELECT_IN if readable else 0) | (pycurl.CSELECT_OUT if writable else 0))
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
