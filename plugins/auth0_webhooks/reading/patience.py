"""Retries of requests to the tenant: how often, and how a run ends that has waited for the rate limit as long as it may."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from auth0_webhooks.errors import (
    BudgetUsedError,
    TenantAnswerError,
    TenantRateLimitedError,
    TenantUnavailableError,
    WindowLimitedError,
)
from auth0_webhooks.reading.budget import Budget
from auth0_webhooks.times import iso
from auth0_webhooks.waits import Waits

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_BACK_OFF = 16
"""The longest back-off, as a multiple of the first."""


class Patience:
    """Retries requests whose failure may be temporary.

    A request that met the rate limit is made again as often as ``budget`` waits for it.

    :param tries: how often a request is made in all that failed otherwise.
    :param of_window: a window is read: it fails when it has waited for the rate limit as long as it may.
    """

    def __init__(self, tries: int, waits: Waits, budget: Budget, *, of_window: bool) -> None:
        self._tries, self._waits, self._budget, self._of_window = tries, waits, budget, of_window
        self._back_off = wait_random_exponential(multiplier=waits.tenant_back_off, max=MOST_BACK_OFF * waits.tenant_back_off)

    def __call__(self, once: Callable[[], T]) -> T:
        """Repeat a request until it succeeds or may not be retried.

        :raises BudgetUsedError: when the longest wait for the rate limit is over, or WindowLimitedError where a window is read.
        :raises WebhookRouteError: the request's last error.
        """
        soon = Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(self._tries),
            wait=self._back_off,
            before_sleep=_say,
            reraise=True,
        )
        limited = Retrying(retry=retry_if_exception(_met_the_limit), before_sleep=_say, reraise=True)
        try:
            return limited(lambda: soon(once))
        except BudgetUsedError as error:
            if not self._of_window:
                raise
            lifts = datetime.now(timezone.utc) + timedelta(seconds=error.retry_after or 0.0)
            raise WindowLimitedError(
                f"{error}. This run has waited {self._budget.waited:.0f} s for it, and waits no longer than "
                f"{self._waits.window_limits:.0f} s in all, because live runs wait for a replay. Nothing was sent. Start it "
                f"again after {iso(lifts)}, in smaller pieces or when others use less of the tenant's API"
            ) from None


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, TenantUnavailableError | TenantAnswerError)


def _met_the_limit(error: BaseException) -> bool:
    return isinstance(error, TenantRateLimitedError) and not isinstance(error, BudgetUsedError)


def _say(state: RetryCallState) -> None:
    log.warning("%s; retrying", state.outcome and state.outcome.exception())
