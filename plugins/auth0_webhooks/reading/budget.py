"""Paces the requests to a tenant, so that its Management API always has some left for the tenant's own applications."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from auth0_webhooks.connections.fields import LEAST_RESERVE
from auth0_webhooks.errors import BudgetUsedError
from auth0_webhooks.reading.machine import Machine
from auth0_webhooks.reading.rate_limit import RateLimit, Seen

log = logging.getLogger(__name__)

PLENTY = 20
"""Others on this machine wait for a request's answer unless more than this, and half of the bucket, are left."""
MARGIN, MOST_MARGIN, STEP = 0.1, 1.0, 0.3
"""Seconds after the time of a refill at which a request is sent; more, in steps, if that was too early."""
LONGEST_TURN = 20.0
"""Seconds after which a process on this machine that holds the turn is not waited for any longer: it may be frozen."""
SHORT_TURN = 0.1
"""The same where the turn is only needed to tell the others something."""
LONG = 2.0
"""A wait for more seconds than this, or one that would be, is logged and told to other machines."""
OUTDATED = 10.0
"""Seconds after which another machine may have used up a bucket that is refilled in windows."""


class Budget:
    """The requests that reading may send to a tenant. One serves one task, or the watch.

    ``waited`` is how long it has waited, in seconds; ``seen`` what it knows of the tenant's rate limit.

    :param patience: how many seconds it may wait in all.
    :param in_hand: the longest single wait, in seconds, once :meth:`hurry` was called.
    :param reserve: the share of the bucket, in percent, that is left to others.
    :param clock: Unix time, and ``sleep``: a test has a time of its own.
    """

    def __init__(
        self,
        patience: float,
        in_hand: float | None = None,
        *,
        reserve: float = LEAST_RESERVE,
        machine: Machine | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._patience, self._in_hand, self.reserve = patience, patience if in_hand is None else in_hand, reserve
        self.machine, self._clock, self._sleep = machine, clock, sleep
        self.seen, self.waited = Seen(), 0.0
        self._margin, self._at_refill, self._hurry = MARGIN, False, False

    def hurry(self) -> None:
        """Events are in hand that could be delivered: from now on no single wait is long."""
        self._hurry = True

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until a request may be sent, which the block does; it calls :meth:`answered`.

        :raises BudgetUsedError: if that takes longer than this may wait; nothing was sent.
        """
        with contextlib.ExitStack() as held:
            waited = False
            while True:
                began = self._clock()
                turn = held.enter_context(self.machine.turn(LONGEST_TURN)) if self.machine else None
                now = self._clock()
                self.waited += now - began
                self.learn(turn.read() if turn else Seen())
                wait = self.seen.wait(now, self.reserve, self._margin)
                if wait <= 0:
                    break
                held.close()
                self._wait(wait)
                waited = True
            plenty = self._is_plenty()
            self._at_refill = waited
            self.seen = self.seen.after_one(now, self.reserve)
            if turn and plenty:
                turn.write(self.seen)
                held.close()
            try:
                yield
            finally:
                if turn and not plenty:
                    turn.write(self.seen)
        if self.machine and plenty:
            with self.machine.turn(SHORT_TURN) as turn:
                turn.write(self.seen)

    def answered(self, limit: RateLimit, ahead: float = 0.0) -> None:
        """Take in what an answer states.

        :param ahead: how many seconds the tenant's time is ahead of this machine's.
        """
        most, left, reset = limit
        if left is None:
            return
        now, before = self._clock(), self.seen
        limit = RateLimit(most or before.limit.most, left, reset - ahead)
        if self._at_refill and left < limit.kept(self.reserve):
            # Too early (the tenant's time is behind, or its header rounded down), or others were faster.
            self._margin = min(MOST_MARGIN, self._margin + STEP)
        self.seen = Seen(limit, now, max(before.longest, limit.reset - now))

    def learn(self, seen: Seen) -> None:
        """Take in what others have seen, if it is newer."""
        if self.seen.at < seen.at <= self._clock() + 60.0:
            self.seen = seen._replace(longest=max(seen.longest, self.seen.longest))

    def seconds_to_share(self, share: float) -> float:
        """Seconds between requests that use this share of what reading may use; 0 if nothing is known of the rate limit."""
        rate = self.seen.for_us(self.reserve)
        return 1 / (rate * share) if rate else 0.0

    @property
    def is_low_for_long(self) -> bool:
        """Whether no request may be sent before a refill that is seconds away: then other machines must know, too."""
        return self.seen.wait(self._clock(), self.reserve) > LONG

    @property
    def is_outdated(self) -> bool:
        """Whether another machine may have used up since then what was left."""
        return self.seen.longest > LONG and self._clock() - self.seen.at > OUTDATED

    def figures(self) -> dict[str, Any]:
        """What a report says of the rate limit, by its keys; None where no answer stated it."""
        limit, rate = self.seen.limit, self.seen.a_second
        return {
            "api_limit": limit.most,
            "api_remaining": limit.left,
            "api_rate": rate and round(rate, 3),
            "api_waited": round(self.waited, 1),
        }

    def _is_plenty(self) -> bool:
        most, left, _ = self.seen.limit
        return most is not None and left is not None and left - 1 > max(most / 2, PLENTY)

    def _wait(self, seconds: float) -> None:
        if self.waited + seconds > self._patience or (self._hurry and seconds > self._in_hand):
            limit = self.seen.limit
            raise BudgetUsedError(
                f"the rate limit is used up but for the reserve: {limit.left} of {limit.most or 'its'} requests are left, and "
                f"{limit.kept(self.reserve)} stay for others; more come in {seconds:.0f} s",
                retry_after=seconds,
            )
        (log.info if seconds > LONG else log.debug)("waiting %.1f s for the tenant's rate limit", seconds)
        self._sleep(seconds)
        self.waited += seconds
