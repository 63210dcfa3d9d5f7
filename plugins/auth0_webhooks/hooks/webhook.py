"""How a route sends: its endpoint, payload and redaction. Shared by `deliver` and the dead letter DAG."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from auth0_webhooks.connections.fields import BODY_SECRETS, PSEUDONYM_SECRET, base_url, how_to_set
from auth0_webhooks.connections.lookup import get_connection
from auth0_webhooks.errors import SettingError
from auth0_webhooks.model.events import LogEvent
from auth0_webhooks.payload.body import Body, NoBodyError
from auth0_webhooks.payload.envelope import Envelope
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.privacy.masking import masked
from auth0_webhooks.privacy.redaction import MIN_KEY, Redaction
from auth0_webhooks.settings.route import Route
from auth0_webhooks.waits import WAITS

if TYPE_CHECKING:
    from auth0_webhooks.webhook.endpoint import Endpoint


def payload_of(route: Route) -> Payload:
    """How the route's events are put into POSTs.

    :raises SettingError: when the tenant's connection, which CloudEvents name as their source, is missing or wrong.
    :raises AirflowUnavailableError: when it cannot be read.
    """
    source = ""
    if route.envelope == "cloudevents":
        source = urlsplit(base_url(get_connection(route.auth0_conn_id)))._replace(path="", query="", fragment="").geturl()
    body = Body(route.body) if route.body else None
    return Payload(route.payload, route.max_events, route.max_bytes, Envelope(route.envelope, source), body, route.content_type)


def endpoint_of(route: Route, payload: Payload, *, timeout: float = WAITS.answer) -> Endpoint:
    """The route's webhook.

    :param timeout: how long a POST waits for its answer, in seconds.
    :raises SettingError: when its connection is missing or wrong, or does not fit the route's payload.
    :raises AirflowUnavailableError: when it cannot be read.
    """
    # Its HTTP client takes as long to import as all the rest, and filter sends nothing.
    from auth0_webhooks.webhook.endpoint import Endpoint

    endpoint = Endpoint.from_connection(
        get_connection(route.webhook_conn_id),
        content_type=payload.content_type,
        gzip=route.gzip,
        allow_private=route.allow_private_addresses,
        timeout=timeout,
    )
    if endpoint.body_secrets and route.payload != "event":
        raise SettingError(
            f"route {route.name!r}: connection {route.webhook_conn_id!r} has {BODY_SECRETS!r}, which are added to single events "
            f"only, and the route's payload is {route.payload!r}: set payload: event, or remove them from the connection's extra"
        )
    return endpoint


def redaction_of(route: Route) -> Redaction | None:
    """The route's redaction; None if it redacts nothing.

    :raises SettingError: when the route needs a key for pseudonyms, and the webhook's connection has no usable one.
    :raises AirflowUnavailableError: when the connection cannot be read.
    """
    if not route.redact:
        return None
    key = b""
    if "pseudonym" in route.redact.values():
        stored = get_connection(route.webhook_conn_id).extra_dejson.get(PSEUDONYM_SECRET)
        key = stored.encode() if isinstance(stored, str) else b""
        if len(key) < MIN_KEY:
            raise SettingError(
                f"route {route.name!r}: pseudonyms need a {PSEUDONYM_SECRET!r} in the extra of connection "
                f"{route.webhook_conn_id!r}, a random text of at least {MIN_KEY} characters: {how_to_set(route.webhook_conn_id)}"
            )
    return Redaction(route.redact, key)


def sample_of(route: Route, event: LogEvent) -> str | None:
    """What would be sent for an event, as shown to people: in the route's form, with any remaining user data masked.

    :raises SettingError: as :func:`payload_of` and :func:`redaction_of`.
    """
    redaction = redaction_of(route)
    body = masked(redaction.body(event) if redaction else event.body)
    if body is None or (route.payload, route.envelope, route.body) == ("event", "none", None):
        return body
    try:
        message = payload_of(route).message([event._replace(body=body)])
    except NoBodyError as error:
        return f"nothing: {error}"
    return json.dumps(json.loads(message.body), indent=None if route.payload == "lines" else 2)
