"""Retries of requests to the tenant: how often, and how long a run waits for the tenant's rate limit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from auth0_webhooks.errors import TenantAnswerError, TenantRateLimitedError, TenantUnavailableError, WindowLimitedError
from auth0_webhooks.times import iso
from auth0_webhooks.waits import Waits

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_BACK_OFF = 16
"""The longest back-off, as a multiple of the first."""


class Patience:
    """Retries requests whose failure may be temporary.

    :param tries: how often such a request is made in all.
    :param wait_for_limits: wait until a rate limit lifts, up to ``waits.window_limits`` in all; without it, wait only if the
        limit lifts within ``waits.tenant_limit``.
    """

    def __init__(self, tries: int, waits: Waits, *, wait_for_limits: bool) -> None:
        self._tries, self._waits, self._wait_for_limits = tries, waits, wait_for_limits
        self._back_off = wait_random_exponential(multiplier=waits.tenant_back_off, max=MOST_BACK_OFF * waits.tenant_back_off)
        self._waited = 0.0

    def __call__(self, once: Callable[[], T]) -> T:
        """Repeat a request until it succeeds or may not be retried.

        :raises WindowLimitedError: when the longest wait for the rate limit is over.
        :raises WebhookRouteError: the request's last error.
        """
        soon = Retrying(
            retry=retry_if_exception(self._may_pass),
            stop=stop_after_attempt(self._tries),
            wait=self._wait,
            before_sleep=_say,
            reraise=True,
        )
        if not self._wait_for_limits:
            return soon(once)
        limited = Retrying(
            retry=retry_if_exception_type(TenantRateLimitedError),
            stop=lambda state: self._waited + state.upcoming_sleep > self._waits.window_limits,
            wait=self._wait,
            before_sleep=self._count,
            reraise=True,
        )
        try:
            return limited(lambda: soon(once))
        except TenantRateLimitedError as error:
            lifts = datetime.now(timezone.utc) + timedelta(seconds=error.retry_after or 0.0)
            raise WindowLimitedError(
                f"{error}. This run has waited {self._waited:.0f} s for it, and waits no longer than "
                f"{self._waits.window_limits:.0f} s in all, because live runs wait for a replay. Nothing was sent. Start it "
                f"again after {iso(lifts)}, in smaller pieces or when others use less of the tenant's API"
            ) from None

    def _may_pass(self, error: BaseException) -> bool:
        if isinstance(error, TenantRateLimitedError):
            return not self._wait_for_limits and (error.retry_after or 0.0) <= self._waits.tenant_limit
        return isinstance(error, TenantUnavailableError | TenantAnswerError)

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return max(self._back_off(state), getattr(error, "retry_after", None) or 0.0)

    def _count(self, state: RetryCallState) -> None:
        _say(state)
        self._waited += state.upcoming_sleep


def _say(state: RetryCallState) -> None:
    log.warning("%s; retrying", state.outcome and state.outcome.exception())
