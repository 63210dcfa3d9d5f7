"""When the next POST may start: so many a second, so many at the same time, and not before a pause is over."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Literal

MOST_CALLS = 100
"""The most POSTs that are open at the same time."""


class Pace:
    """The pace of the POSTs to one endpoint, those that are tried again included.

    ``not_before`` is the end of the pause that the endpoint asked for; all times are seconds of the monotonic clock. ``most`` is
    how many POSTs can be open at the same time, ``permit`` a context that one more enters: with "auto" it may have to wait.

    :param calls: how many POSTs may be open at the same time; "auto" finds out how many the endpoint takes well.
    :param max_per_second: how many POSTs may start in a second; None for any number. They are evenly spaced.
    :param stopped: set once no new POST may start.
    """

    def __init__(self, calls: int | Literal["auto"], max_per_second: float | None, stopped: asyncio.Event) -> None:
        self._auto = Auto() if calls == "auto" else None
        self.most = MOST_CALLS if calls == "auto" else calls
        self.permit: contextlib.AbstractAsyncContextManager[None] = (
            _Permits(self._auto) if self._auto else contextlib.nullcontext()
        )
        self.not_before = 0.0
        self._next, self._interval = 0.0, 1 / max_per_second if max_per_second else 0.0
        self._stopped, self._turns = stopped, asyncio.Lock()

    async def turn(self) -> float | None:
        """Wait until the next POST may start; the time at which it does, or None if the run stops first."""
        async with self._turns:
            while not self._stopped.is_set():
                now = time.monotonic()
                if (pause := max(self.not_before, self._next) - now) <= 0:
                    self._next = now + self._interval
                    return now
                await self.sleep(pause)
        return None

    async def sleep(self, seconds: float) -> None:
        """Wait, or return early when the run stops."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    def answered(self, began: float, now: float, *, overloaded: bool) -> None:
        """Learn from the answer to a POST.

        :param overloaded: the endpoint did not answer, or said that it has too much to do.
        """
        if self._auto:
            self._auto.answered(began, now, overloaded=overloaded)


class Auto:
    """How many POSTs an endpoint takes well at the same time: ``allowed``, from 1 to ``MOST_CALLS``.

    It grows by one for each round of answers that are about as quick as the quickest, and shrinks by a share when they become
    slow or the endpoint is overloaded (additive increase, multiplicative decrease, as in RFC 5681 and in Vector's adaptive
    concurrency). It stays below what was too much for ``RETRY_SECONDS``: each answer 429 or 503 pauses the whole run.
    """

    LEAST_ANSWERS = 3
    """So many make a round, and at least as many as are allowed: one slow answer says little."""
    SLOW, SLACK = 2.0, 0.005
    """Answers are slow that take so many times as long as in the quickest round, and so many seconds more."""
    LESS = 0.7
    """The share that is left where the endpoint was overloaded."""
    RETRY_SECONDS = 10.0
    QUICKEST_SECONDS = 30.0
    """If no round was as quick for so long, half as many show how quick the endpoint is now: it may be slower for good."""

    def __init__(self) -> None:
        self.allowed = 1
        self._reached = False
        self._quickest, self._quickest_at = 0.0, 0.0
        self._ceiling, self._ceiling_until = MOST_CALLS, 0.0
        self._since = self._total = 0.0
        self._count = 0

    def opened(self, count: int) -> None:
        """Note how many POSTs are open: a limit that was not reached says nothing about a higher one."""
        self._reached = self._reached or count >= self.allowed

    def answered(self, began: float, now: float, *, overloaded: bool) -> None:
        """Learn from one answer; those to POSTs that began before it shrank do not count."""
        if began < self._since:
            return
        if overloaded:
            self._ceiling, self._ceiling_until = max(1, self.allowed - 1), now + self.RETRY_SECONDS
            self._allow(int(self.allowed * self.LESS), now)
            return
        self._total += now - began
        self._count += 1
        if self._count < max(self.allowed, self.LEAST_ANSWERS):
            return
        average = self._total / self._count
        if not self._quickest or average <= self._quickest * 1.05:
            self._quickest, self._quickest_at = min(average, self._quickest or average), now
        slow = self._quickest * self.SLOW + self.SLACK
        if now - self._quickest_at > self.QUICKEST_SECONDS:
            self._quickest = 0.0
            self._allow(self.allowed // 2, now)
        elif average > slow:
            self._allow(min(self.allowed - 1, int(self.allowed * max(0.5, slow / average))), now)
        elif self._reached and (self.allowed < self._ceiling or now >= self._ceiling_until):
            self._allow(self.allowed + 1, now)
        else:
            self._allow(self.allowed, now)

    def _allow(self, count: int, now: float) -> None:
        """Begin another round."""
        if count < self.allowed:
            self._since = now
        self.allowed = max(1, min(count, MOST_CALLS))
        self._total, self._count, self._reached = 0.0, 0, False


class _Permits(contextlib.AbstractAsyncContextManager[None]):
    """As many at a time as ``Auto`` allows at that time."""

    def __init__(self, auto: Auto) -> None:
        self._auto, self._open = auto, 0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._open < self._auto.allowed)
            self._open += 1
            self._auto.opened(self._open)

    async def __aexit__(self, *_: object) -> None:
        async with self._changed:
            self._open -= 1
            self._changed.notify(1 + max(0, self._auto.allowed - self._open))
