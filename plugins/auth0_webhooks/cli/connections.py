"""``check --connections``: whether the connections of routes exist in Airflow and are complete.

The tasks' own code reads the connections, so this finds what would fail them. It sends nothing: neither the tenant nor the
webhook is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from airflow.utils.session import create_session
from sqlalchemy import column, select, table
from sqlalchemy.exc import SQLAlchemyError

from auth0_webhooks.connections.fields import base_url
from auth0_webhooks.connections.lookup import get_connection
from auth0_webhooks.errors import WebhookRouteError
from auth0_webhooks.hooks.auth0 import TenantHook
from auth0_webhooks.hooks.webhook import endpoint_of, payload_of, redaction_of
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state.dead_letters import DeadLetterStore


def problems_of(route: Route) -> list[str]:
    """What is missing or wrong in the connections that a route uses, one sentence each."""
    # As "airflow connections get" does it: the Task SDK, which reads connections for tasks, then looks into Airflow's database.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    return list(dict.fromkeys(filter(None, map(_problem, _checks(route)))))


def database_problem() -> str | None:
    """Why Airflow's database cannot be read, if so: a connection that is stored there then looks as if it were missing."""
    try:
        with create_session() as session:
            session.execute(select(column("id")).select_from(table("connection")).limit(1))
    except SQLAlchemyError as error:
        return (
            f"Airflow's database cannot be read ({type(error).__name__}), so connections that are stored there count as missing: "
            "run this where Airflow runs, with its environment"
        )
    return None


def _checks(route: Route) -> Iterator[Callable[[], object]]:
    yield lambda: TenantHook(route.auth0_conn_id).get_conn().close()
    yield lambda: endpoint_of(route, Payload())
    yield lambda: payload_of(route)
    yield lambda: redaction_of(route)
    if conn_id := route.alarm_conn_id:
        yield lambda: base_url(get_connection(conn_id), scheme="http")
    if route.on_reject == "dead_letter":
        yield lambda: DeadLetterStore(route)


def _problem(check: Callable[[], object]) -> str | None:
    try:
        check()
    except WebhookRouteError as error:
        return str(error)
    return None
