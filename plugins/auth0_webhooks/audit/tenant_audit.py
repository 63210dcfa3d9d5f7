"""Audits all routes of one tenant: its log is read once, whatever the number of routes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from auth0_webhooks.audit.comparing import Comparison
from auth0_webhooks.audit.outcome import Outcome
from auth0_webhooks.audit.sending import Sender
from auth0_webhooks.errors import WebhookRouteError, WindowLimitedError, WindowTooLargeError
from auth0_webhooks.hooks.auth0 import TenantHook
from auth0_webhooks.reading.window import Window, WindowReading
from auth0_webhooks.state.kept_hashes import hash_of
from auth0_webhooks.state.variables import TokenVariable
from auth0_webhooks.times import iso
from auth0_webhooks.waits import WAITS, Waits

if TYPE_CHECKING:
    from auth0_webhooks.model.events import LogEvent
    from auth0_webhooks.settings.route import Route

log = logging.getLogger(__name__)

RESERVE = 50
"""The share of the Management API's bucket, in percent, that an audit leaves to others: also to the routes' own runs."""
MOST_EVENTS = 100_000_000
"""More than any window holds: of what an audit reads nothing is stored."""


class TenantAudit:
    """One audit of the routes that share a connection.

    ``faults`` has the error that kept a route from being audited, or from being audited to the end.

    :param send: also send what is not accounted for.
    """

    def __init__(
        self, conn_id: str, routes: Sequence[Route], window: Window, *, run_id: str, send: bool, waits: Waits = WAITS
    ) -> None:
        self._conn_id, self._window, self._run_id, self._send = conn_id, window, run_id, send
        self._waits = replace(waits, window_limits=waits.audit_limits)
        self._routes = routes
        self.outcomes = {route.name: Outcome(conn_id, iso(window.since), iso(window.until)) for route in routes}
        self.faults: dict[str, Exception] = {}
        self._senders: dict[str, Sender] = {}
        self._unsendable: set[str] = set()
        self._stopped: str | None = None

    def run(self) -> None:
        """Read the window, compare, send; what went wrong is in ``faults``."""
        comparisons = [found for route in self._routes if (found := self._begin(route))]
        if comparisons:
            self._read(comparisons)
        for outcome in self.outcomes.values():
            outcome.conclude()

    def stop(self, reason: str) -> None:
        """Airflow ends the task: send nothing more."""
        self._stopped = reason
        for sender in self._senders.values():
            sender.stop(reason)

    def _begin(self, route: Route) -> Comparison | None:
        outcome = self.outcomes[route.name]
        try:
            comparison = Comparison(route, self._window, outcome)
        except Exception as error:  # noqa: BLE001 - one route's fault keeps no other from being audited
            self._fault(route.name, error)
            return None
        return comparison

    def _read(self, comparisons: Sequence[Comparison]) -> None:
        hook = TenantHook(
            self._conn_id, TokenVariable(self._conn_id), wait_for_limits=True, least_reserve=RESERVE, waits=self._waits
        )
        reading, began = WindowReading(hook, self._window, limit=MOST_EVENTS), time.monotonic()
        last: str | None = None
        try:
            for event in self._events(reading):
                kept = hash_of(event.log_id)
                for comparison in comparisons:
                    if comparison.is_unaccounted(event, kept) and self._send:
                        self._send_one(comparison, event)
                last = event.date
        except Exception as error:  # noqa: BLE001 - one tenant's fault keeps no other from being audited
            for comparison in comparisons:
                self._fault(comparison.route.name, _said(error, hook))
                if last:
                    comparison.end(last)
        else:
            for comparison in comparisons:
                comparison.end()
        for comparison in comparisons:
            if comparison.route.name in self._senders:
                self._send_one(comparison)
        figures = {key: value for key, value in hook.figures().items() if key in {"api_requests", "token_requests", "api_waited"}}
        for comparison in comparisons:
            _enter(comparison.outcome, {**figures, "seconds": round(time.monotonic() - began, 1)})

    def _events(self, reading: WindowReading) -> Iterator[LogEvent]:
        for event in reading.events():
            if self._stopped:
                raise WebhookRouteError(self._stopped)
            yield event

    def _send_one(self, comparison: Comparison, event: LogEvent | None = None) -> None:
        """Send an event, or what is left to send. After a fault the route is sent nothing more: the rest would fail, too."""
        route, checkpoint = comparison.route, comparison.checkpoint
        if self._stopped or route.name in self._unsendable:
            return
        try:
            sender = self._senders.get(route.name)
            if sender is None:
                hold = checkpoint.hold if checkpoint else None
                sender = Sender(route, self._run_id, hold, outcome=comparison.outcome, waits=self._waits)
                self._senders[route.name] = sender
            if event:
                sender.add(event)
            else:
                sender.send()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one route, the others go on
            self._unsendable.add(route.name)
            self._fault(route.name, error)

    def _fault(self, name: str, error: Exception) -> None:
        if not isinstance(error, WebhookRouteError):
            log.error("the audit of route %s", name, exc_info=error)
        self.faults.setdefault(name, error)
        said = str(error) if isinstance(error, WebhookRouteError) else f"{type(error).__name__}: this task's log says where"
        outcome = self.outcomes[name]
        outcome.stopped_by = outcome.stopped_by or said


def _enter(outcome: Outcome, figures: dict[str, Any]) -> None:
    for key, value in figures.items():
        setattr(outcome, key, value)


def _said(error: Exception, hook: TenantHook) -> Exception:
    """The same error; one that speaks of a replay in the words of an audit."""
    if isinstance(error, WindowLimitedError):
        return WindowLimitedError(
            f"the audit has waited {hook.budget.waited:.0f} s for the tenant's rate limit, of which it leaves {RESERVE} % to "
            "others, and waits no longer: audit a shorter window, or when others use less of the tenant's API"
        )
    if isinstance(error, WindowTooLargeError):
        return WindowTooLargeError(f"{str(error).partition('. ')[0]}: audit the time before it, and the time after it")
    return error
