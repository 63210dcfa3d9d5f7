"""The *Test* button of the connection types "Auth0 tenant" and "Webhook"; their forms are in ``connections.provider``."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from auth0_webhooks.connections.lookup import get_connection
from auth0_webhooks.errors import WebhookRouteError
from auth0_webhooks.hooks.auth0 import TenantHook
from auth0_webhooks.model.events import LogEvent, Position
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.times import iso
from auth0_webhooks.webhook import answers as outcomes
from auth0_webhooks.webhook.endpoint import Endpoint

if TYPE_CHECKING:
    from auth0_webhooks.webhook.answers import Answer

TEST_TYPE = "connection_test"
"""The ``type`` of the event that *Test* sends; Auth0 has no type of this name."""


class TenantConnectionHook(TenantHook):
    """The tenant's hook as Airflow's connection form knows it."""

    conn_type = "auth0"

    def test_connection(self) -> tuple[bool, str]:
        """Request a token and read one log event; returns whether that succeeded, and a message."""
        try:
            event = self.newest()
        except WebhookRouteError as error:
            return False, str(error)
        found = f"its newest event is of {event.date}" if event else "it is empty"
        return True, f"Auth0 at {self._host} gave a token and showed the log; {found}"


class WebhookHook(BaseHook):
    """Only for *Test*; routes deliver through :mod:`auth0_webhooks.delivery.delivery`.

    :param webhook_conn_id: id of the connection.
    """

    conn_name_attr = "webhook_conn_id"
    default_conn_name = "webhook_default"
    conn_type = "webhook"
    hook_name = "Webhook"

    def __init__(self, webhook_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.conn_id = webhook_conn_id

    def test_connection(self) -> tuple[bool, str]:
        """POST one event that says it is a test, signed like real ones; returns whether it was accepted, and a message."""
        try:
            endpoint = Endpoint.from_connection(get_connection(self.conn_id))
        except WebhookRouteError as error:
            return False, str(error)
        answer = asyncio.run(_send(endpoint, test_event(datetime.now(timezone.utc))))
        sent = f"a test event, {'signed' if endpoint.signer else 'not signed (there are no signing_secrets)'}"
        if outcomes.outcome_of(answer) is outcomes.Outcome.DELIVERED:
            return True, f"The webhook at {endpoint.name} accepted {sent}: {answer}"
        return False, f"The webhook at {endpoint.name} did not accept {sent}: {answer}"


def test_event(now: datetime) -> LogEvent:
    """An event that nobody can mistake for a real one: no tenant, no user, and it says that it is a test."""
    log_id, date = f"test-{uuid.uuid4().hex}", iso(now)
    body = {
        "date": date,
        "type": TEST_TYPE,
        "description": "This is a test of the connection, sent from Airflow. It does not belong to any tenant.",
        "test": True,
        "log_id": log_id,
    }
    return LogEvent(log_id, date, TEST_TYPE, json.dumps(body), Position(None, None))


async def _send(endpoint: Endpoint, event: LogEvent) -> Answer:
    async with endpoint.session(1) as session:
        return await endpoint.post(session, Payload().message([event]))
