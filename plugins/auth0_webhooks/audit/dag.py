"""The DAG that audits what the routes' runs accounted for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, CronDataIntervalTimetable, Param

from auth0_webhooks.audit.operator import AuditOperator
from auth0_webhooks.names import AUDIT, AUDIT_DAG_ID
from auth0_webhooks.operators.base import AnswerRetryPolicy
from auth0_webhooks.settings.route import Route
from auth0_webhooks.waits import WAITS, Waits

RETRIES = 2


def build_audit_dag(routes: Iterable[Route] = (), *, waits: Waits = WAITS) -> DAG:
    """One DAG that audits all routes, each day once it is enabled: in one DAG file of an installation.

    :param routes: those that its form proposes. It audits the routes of all other files, too: Airflow knows them.
    """
    routes = list(routes)
    with DAG(
        dag_id=AUDIT_DAG_ID,
        dag_display_name="Auth0 webhook audit",
        description="Reads the log again, and finds events that no run delivered or set aside",
        doc_md=_DOCS,
        tags=["auth0", "webhook"],
        schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
        start_date=datetime(2020, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=True,
        params={
            "since": Param(
                None,
                type=["null", "string"],
                format="date-time",
                title="Since",
                description_md="The beginning of the window. Empty: the last 24 hours, or the day of a scheduled run.",
            ),
            "until": Param(
                None,
                type=["null", "string"],
                format="date-time",
                title="Until",
                description_md="The end of the window (exclusive). Empty: two minutes before the run was triggered.",
            ),
            "route": Param(
                None,
                type=["null", "string"],
                examples=[route.name for route in routes],
                title="Route",
                description_md="The route to audit; leave empty for every route.",
            ),
            "send": Param(
                default=False,
                type="boolean",
                title="Send",
                description_md="Off: only name what is not accounted for. On: also send it, with the same `webhook-id`.",
            ),
        },
    ) as dag:
        AuditOperator(
            task_id=AUDIT,
            task_display_name="Audit",
            doc_md="Its log and its XCom `report` say what became of each event. It fails if events are not accounted for.",
            routes=routes,
            waits=waits,
            retries=RETRIES,
            retry_delay=timedelta(seconds=waits.audit_retry),
            retry_policy=AnswerRetryPolicy(),
            execution_timeout=timedelta(seconds=waits.auditing),
        )
    return dag


_DOCS = """\
### Audit

Reads the log of each tenant again, once, and compares it with what the routes' runs kept: each event that a route wanted has been
delivered, set aside as a dead letter, or is still waiting. Those of which none is true it names by id, type and time.

It runs each day once you enable it. *Trigger* it for any other window; with **Send** on it also sends what it found.

By CLI: `airflow dags trigger auth0_webhook_audit --conf '{"since": "2026-11-22T10:00:00Z", "until": "2026-11-22T12:00:00Z"}'`

It moves no checkpoint, and leaves half of the Management API's rate limit to others.
"""
