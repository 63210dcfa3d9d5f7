"""How a route sends: to which endpoint and in which form. What `deliver` and the DAG of the dead letters share."""

from __future__ import annotations

from urllib.parse import urlsplit

from auth0_webhooks.connections import get_connection
from auth0_webhooks.endpoint import Endpoint, base_url
from auth0_webhooks.envelope import Envelope
from auth0_webhooks.payload import Payload
from auth0_webhooks.route import Route


def payload_of(route: Route) -> Payload:
    """How the route's events are put into POSTs.

    :raises SettingError: when the connection of the tenant, which CloudEvents name as their source, is missing or wrong.
    :raises AirflowUnavailableError: when it cannot be read.
    """
    source = ""
    if route.envelope == "cloudevents":
        source = urlsplit(base_url(get_connection(route.auth0_conn_id)))._replace(path="", query="", fragment="").geturl()
    return Payload(route.payload, route.max_events, route.max_bytes, Envelope(route.envelope, source))


def endpoint_of(route: Route, payload: Payload) -> Endpoint:
    """The route's webhook.

    :raises SettingError: when its connection is missing or wrong.
    :raises AirflowUnavailableError: when it cannot be read.
    """
    return Endpoint.from_connection(get_connection(route.webhook_conn_id), content_type=payload.content_type, gzip=route.gzip)
