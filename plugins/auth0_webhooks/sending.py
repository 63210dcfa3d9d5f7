"""How a route sends: to which endpoint and in which form. What `deliver` and the DAG of the dead letters share."""

from __future__ import annotations

from auth0_webhooks.connections import get_connection
from auth0_webhooks.endpoint import Endpoint
from auth0_webhooks.payload import Payload
from auth0_webhooks.route import Route


def payload_of(route: Route) -> Payload:
    """How the route's events are put into POSTs."""
    return Payload(route.payload, route.max_events, route.max_bytes)


def endpoint_of(route: Route) -> Endpoint:
    """The route's webhook.

    :raises SettingError: when its connection is missing or wrong.
    :raises AirflowUnavailableError: when it cannot be read.
    """
    return Endpoint.from_connection(
        get_connection(route.webhook_conn_id), content_type=payload_of(route).content_type, gzip=route.gzip
    )
