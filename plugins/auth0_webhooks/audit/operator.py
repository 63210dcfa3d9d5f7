"""The task of the audit's DAG."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from auth0_webhooks.errors import AuditIncompleteError, NothingKeptError, UnaccountedError, WebhookRouteError
from auth0_webhooks.operators.base import check_conf
from auth0_webhooks.reading.window import SETTLE, Window, window_of
from auth0_webhooks.waits import WAITS, Waits

if TYPE_CHECKING:
    from airflow.sdk import Context

    from auth0_webhooks.audit.outcome import Outcome
    from auth0_webhooks.audit.tenant_audit import TenantAudit
    from auth0_webhooks.settings.route import Route

log = logging.getLogger(__name__)

PARAMS = ("since", "until", "route", "send")
DAY, OVERLAP = timedelta(days=1), timedelta(hours=1)
"""An audit without a window of its own goes back a day. The daily one goes back an hour more, for what came late to the log."""


class AuditOperator(BaseOperator):
    """Audits the routes, tenant by tenant, and sends what is not accounted for where ``send`` is on."""

    def __init__(self, *, routes: list[Route], waits: Waits = WAITS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.routes, self.waits = routes, waits
        self._audit: TenantAudit | None = None
        self._stopped: str | None = None

    def execute(self, context: Context) -> None:
        """Audit; pushes XCom ``report``, by route, before a failure is raised too.

        :raises UnaccountedError: in the end, when events are left that nobody accounts for.
        :raises AuditIncompleteError: in the end, when a route was not audited to the end for a reason that may pass.
        """
        from auth0_webhooks.audit.notices import count, notify
        from auth0_webhooks.audit.tenant_audit import TenantAudit
        from auth0_webhooks.state.routes import routes_asked_for

        check_conf(context, PARAMS)
        params, window = context["params"], audit_window(context, datetime.now(timezone.utc))
        routes = routes_asked_for(params["route"], self.routes)
        if wait := window.seconds_to_settle(datetime.now(timezone.utc), self.waits.late):
            log.info("the window %s ended just now: waiting %.0f s for late events", window, wait)
            time.sleep(wait)
        outcomes: dict[str, Outcome] = {}
        faults: dict[str, Exception] = {}
        try:
            for conn_id in sorted({route.auth0_conn_id for route in routes}):
                if self._stopped:
                    raise AuditIncompleteError(self._stopped)
                of_tenant = [route for route in routes if route.auth0_conn_id == conn_id]
                audit = self._audit = TenantAudit(
                    conn_id, of_tenant, window, run_id=str(context["run_id"]), send=params["send"], waits=self.waits
                )
                outcomes |= audit.outcomes
                audit.run()
                faults |= audit.faults
        finally:
            context["ti"].xcom_push("report", {name: outcome.as_dict() for name, outcome in outcomes.items()})
            log.info("%s", "\n".join(line for name, outcome in outcomes.items() for line in outcome.lines(name)))
        for name, outcome in outcomes.items():
            count(name, outcome)
        error = _in_the_end(outcomes, faults, asked=params["route"])
        if not (error and error.retry and _is_tried_again(context)):
            notify(routes, outcomes, context, daily=context["dag_run"].run_type == "scheduled")
        if error:
            raise error

    def on_kill(self) -> None:
        """Airflow ends the task: start no new POST."""
        self._stopped = "Airflow ended the task: what was sent is kept, a later audit sends the rest"
        if self._audit:
            self._audit.stop(self._stopped)


def audit_window(context: Context, now: datetime) -> Window:
    """What a run audits: its data interval, or what ``since`` and ``until`` say, or the last 24 hours.

    :raises SettingError: when ``since`` and ``until`` do not form a window.
    """
    run = context["dag_run"]
    interval = (run.data_interval_start, run.data_interval_end)
    end = run.run_after - SETTLE
    window = window_of(run.run_type, context["params"], interval=interval, expected=interval, triggered=end, now=now)
    if window:
        return window
    since, until = interval
    if run.run_type == "scheduled" and since and until:
        return Window(since - OVERLAP, until)
    return Window(end - DAY, end)


def _is_tried_again(context: Context) -> bool:
    ti: Any = context["ti"]
    return bool(ti.try_number <= (ti.max_tries or 0))


def _in_the_end(outcomes: dict[str, Outcome], faults: dict[str, Exception], *, asked: str | None) -> WebhookRouteError | None:
    """The error that fails the run for what a person has to look at, now that everything else is done."""
    reasons = [f"{name}: {outcome.outcome}" for name, outcome in outcomes.items() if outcome.left]
    # A route that keeps no hashes is not audited, and says so; that is no fault, unless it was asked for.
    grave = {name: error for name, error in faults.items() if asked or not isinstance(error, NothingKeptError)}
    reasons += [f"{name}: {outcomes[name].outcome}" for name in grave if not outcomes[name].left]
    if any(getattr(error, "retry", True) for error in grave.values()):
        return AuditIncompleteError(f"not every route was audited to the end ({'; '.join(reasons)})")
    if reasons:
        return UnaccountedError(f"a person has to look at this audit ({'; '.join(reasons)}): its report and this log say more")
    return None
