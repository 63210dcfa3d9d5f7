"""The rate limit of a simulated tenant's Management API, in the two ways that Auth0 describes.

Sources: Auth0 docs "Rate limit configurations" (the size of a bucket and its refill, by plan) and "Rate limit use cases"
(the headers, and when ``api_limit`` and ``api_limit_warning`` are logged).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

PLANS = {
    "free": (2, 2.0, 1.0),
    "self-service": (10, 100.0, 60.0),
    "enterprise": (50, 16.0, 1.0),
    "private cloud": (50, 50.0, 1.0),
}
"""The size of each plan's bucket, and how many requests refill it in how many seconds."""

WARN_AT = 0.8
"""The share of a bucket that is used when Auth0 logs ``api_limit_warning``."""
AGAIN = 60.0
"""Seconds after which Auth0 logs that a limit is still exceeded, or that a warning still holds."""


@dataclass
class Bucket:
    """A bucket of requests: ``take`` one, and say in headers what is left.

    ``limited`` counts the requests that it refused, ``warned`` those after which 80 % or more of it was used.

    :param size: the most that it holds.
    :param refill: how many requests are added in ``seconds``: one after the other ("drip"), or all at the top of each window of
        that length ("window"); never above ``size``.
    :param reset: what ``x-ratelimit-reset`` is: the time of the "next" request added, or of the "full" bucket.
    """

    size: int
    refill: float
    seconds: float = 60.0
    kind: Literal["drip", "window"] = "drip"
    reset: Literal["next", "full"] = "next"
    left: float = -1.0
    clock: Callable[[], float] = time.time
    limited: int = 0
    warned: int = 0
    _at: float = field(init=False)
    _logged: dict[str, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.left, self._at = self.left if self.left >= 0 else float(self.size), self.clock()

    @classmethod
    def of(cls, plan: str, kind: Literal["drip", "window"] = "drip", *, faster: float = 1.0) -> Bucket:
        """The bucket of a plan; ``faster`` makes its time pass so many times as fast, for tests."""
        size, refill, seconds = PLANS[plan]
        return cls(size, refill, seconds / faster, kind)

    def take(self) -> tuple[bool, str | None]:
        """Take one request; returns whether there was one, and the log type that Auth0 logs about it, if any."""
        now = self._fill()
        taken = self.left >= 1
        self.left -= taken
        self.limited += not taken
        used = self.size - int(self.left) >= WARN_AT * self.size
        self.warned += taken and used
        if not used:
            self._logged.clear()
            return taken, None
        kind = "api_limit_warning" if taken else "api_limit"
        if now - self._logged.get(kind, -math.inf) < AGAIN:
            return taken, None
        self._logged[kind] = now
        return taken, kind

    def headers(self) -> dict[str, str]:
        """The headers of an answer."""
        now = self._fill()
        if self.kind == "window":
            reset = (now // self.seconds + 1) * self.seconds
        else:
            missing = self.size - self.left if self.reset == "full" else 1 - self.left % 1
            reset = now + missing * self.seconds / self.refill
        return {
            "x-ratelimit-limit": str(self.size),
            "x-ratelimit-remaining": str(int(self.left)),
            "x-ratelimit-reset": str(math.ceil(reset)),
        }

    def _fill(self) -> float:
        now, before = self.clock(), self._at
        self._at = now
        windows = now // self.seconds - before // self.seconds
        more = windows * self.refill if self.kind == "window" else (now - before) * self.refill / self.seconds
        self.left = min(float(self.size), self.left + more)
        return now
