"""The rate limit of a tenant, as the answers of its Management API state it."""

from __future__ import annotations

import json
from typing import NamedTuple

from auth0_webhooks.connections.fields import LEAST_RESERVE

TRUSTED = 3600.0
"""Seconds for which, at the most, a statement about the rate limit counts, and the longest wait that one can ask for."""


class RateLimit(NamedTuple):
    """The rate limit that one answer states; None where it states nothing.

    ``most`` is the size of the bucket, ``left`` the requests left in it, ``reset`` the Unix time at which it is refilled.
    """

    most: int | None = None
    left: int | None = None
    reset: float = 0.0

    @property
    def a_second(self) -> float | None:
        """The requests per second that Auth0 grants at least if it refills bit by bit; None if unknown.

        No header states it. According to Auth0's "Rate limit configurations" a bucket of 2 is refilled with 2 a second, one of
        10 with 100 a minute, one of 50 with 16 a second; larger ones with more.
        """
        if self.most is None:
            return None
        return 2.0 if self.most < 10 else 100 / 60 if self.most < 50 else 16.0

    def kept(self, reserve: float = LEAST_RESERVE) -> int:
        """The requests that must be left after each: more than ``reserve`` percent, but never so many that none may be sent."""
        return max(0, min(int((self.most or 0) * reserve / 100) + 1, (self.most or 1) - 1))


class Seen(NamedTuple):
    """What was last seen of a tenant's rate limit. Times are Unix times of this machine.

    ``limit.reset`` is in this machine's time, too. ``at`` is the time of the answer, ``longest`` the longest time before a
    refill that was seen, in seconds: more than 2 if the bucket is refilled in windows.
    """

    limit: RateLimit = RateLimit()
    at: float = 0.0
    longest: float = 0.0

    @property
    def a_second(self) -> float | None:
        """The requests per second that the tenant grants, as far as its headers show; None if they show nothing.

        That of :attr:`RateLimit.a_second`, unless the bucket takes so long to be refilled that it must be less.
        """
        documented = self.limit.a_second
        if documented is None:
            return None
        # The header is in whole seconds, so up to one of them is not waiting.
        return min(documented, (self.limit.most or 1) / max(self.longest - 1.0, 0.1))

    def for_us(self, reserve: float = LEAST_RESERVE) -> float | None:
        """The requests per second that reading may use; None if unknown."""
        limit = self.limit
        return self.a_second and self.a_second * ((limit.most or 1) - limit.kept(reserve)) / (limit.most or 1)

    def wait(self, now: float, reserve: float = LEAST_RESERVE, margin: float = 0.0) -> float:
        """Seconds until one more request leaves enough to others; 0 if that is unknown.

        It is sent at the next refill at the earliest, whatever kind that is: at the top of a window the bucket is full, and a
        bucket that is refilled bit by bit has one more. If more than one is missing, also not before Auth0's documented rate
        has refilled as many. ``margin`` is added to the time of the refill, because machines' times differ.
        """
        limit = self.limit
        if limit.left is None or not 0 <= now - self.at + 60.0 <= TRUSTED:
            return 0.0
        missing = limit.kept(reserve) + 1 - limit.left
        if missing <= 0:
            return 0.0
        due = max(min(limit.reset, self.at + TRUSTED) + margin, self.at + missing / (limit.a_second or 1.0))
        return max(0.0, due - now)

    def after_one(self, now: float, reserve: float) -> Seen:
        """After one more request whose answer is still to come, or never comes."""
        limit = self.limit
        if limit.left is None:
            return self
        refilled = now >= limit.reset and limit.left <= limit.kept(reserve)
        left = limit.kept(reserve) if refilled else max(0, limit.left - 1)
        return self._replace(limit=limit._replace(left=left), at=now)

    def dump(self) -> str:
        """As a text without white space, which :func:`parse_seen` reads."""
        return json.dumps([*self.limit, round(self.at, 3), round(self.longest, 3)], separators=(",", ":"))


def parse_seen(text: str | None) -> Seen:
    """What :meth:`Seen.dump` wrote; nothing if it is anything else."""
    try:
        most, left, reset, at, longest = json.loads(text or "")
        return Seen(RateLimit(int(most), int(left), float(reset)), float(at), float(longest))
    except (ValueError, TypeError, RecursionError):
        return Seen()
