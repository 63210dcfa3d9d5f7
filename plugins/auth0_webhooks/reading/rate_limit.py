"""The rate limit of a tenant, as the answers of its Management API state it."""

from __future__ import annotations

from typing import NamedTuple


class RateLimit(NamedTuple):
    """The rate limit that one answer states; None where it states nothing.

    ``most`` is the size of the bucket, ``left`` the requests left in it, ``reset`` the Unix time at which it is refilled.
    """

    most: int | None = None
    left: int | None = None
    reset: float = 0.0

    @property
    def a_second(self) -> float | None:
        """The requests per second that Auth0 grants at least; None if unknown.

        No header states it. According to Auth0's "Rate limit configurations" a bucket of 2 is refilled with 2 a second, one of
        10 with 100 a minute, one of 50 with 16 a second; larger ones with more.
        """
        if self.most is None:
            return None
        return 2.0 if self.most < 10 else 100 / 60 if self.most < 50 else 16.0
