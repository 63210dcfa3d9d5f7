"""The fields of a connection: the URL they form, and how a person sets them."""

from __future__ import annotations

import ipaddress
import logging
from typing import Any, Protocol
from urllib.parse import urlsplit

from auth0_webhooks.errors import SettingError

log = logging.getLogger(__name__)


SIGNING_SECRETS, PSEUDONYM_SECRET, BODY_SECRETS = "signing_secrets", "pseudonym_secret", "body_secrets"
WEBHOOK_SECRETS = {SIGNING_SECRETS: "signing secrets", PSEUDONYM_SECRET: "a pseudonym secret", BODY_SECRETS: "body secrets"}
"""The keys of a webhook's extra that hold its secrets, and what these are called: nobody else may receive them."""
SIGNING_PREFIX = "whsec_"
"""How a signing secret begins (Standard Webhooks 1.0.0)."""


AUDIENCE = "audience"
"""The key of a tenant's extra that names the Management API where the host is a custom domain."""
API_RESERVE = "api_reserve"
"""The key of a tenant's extra: the share of the Management API's bucket, in percent, that reading leaves to others."""
LEAST_RESERVE, MOST_RESERVE = 20, 90
"""Auth0 logs ``api_limit_warning`` when 80 % of a bucket are used, so at least 20 % stay."""


class ConnectionLike(Protocol):
    """The fields of an Airflow connection that are used here."""

    conn_id: str
    conn_type: Any
    host: str | None
    schema: str | None
    login: str | None
    password: str | None
    port: int | None

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """The connection's extra as a dict."""


def how_to_set(conn_id: str) -> str:
    """The end of every error about a connection."""
    return f"set it under Admin > Connections or in AIRFLOW_CONN_{conn_id.upper()}"


def base_url(connection: ConnectionLike, *, scheme: str = "https") -> str:
    """The URL that a connection means.

    Host may be a host name, a host with a path, or a whole URL. Schema is ``http`` or ``https``; in a connection that
    was written as a URI (``https://example.com/hook``) Airflow puts the path there.

    :param scheme: the scheme if the connection names none.
    :raises SettingError: when there is no host, or the result is not an http(s) URL.
    """
    host, schema = (connection.host or "").strip(), (connection.schema or "").strip()
    if not host:
        raise SettingError(f"connection {connection.conn_id!r} has no host: {how_to_set(connection.conn_id)}")
    path = ""
    if schema.lower() in ("http", "https"):
        scheme = schema.lower()
    elif schema:
        path = "/" + schema.lstrip("/")
        scheme = connection.conn_type if connection.conn_type in ("http", "https") else scheme
    url = host if "://" in host else f"{scheme}://{host}"
    parts = urlsplit(url)
    try:
        port = parts.port
        if connection.port and port is None:
            url = parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()
        valid = parts.scheme in ("http", "https") and bool((parts.hostname or "").encode("idna"))
    except ValueError:
        valid = False
    if not valid:
        raise SettingError(
            f"connection {connection.conn_id!r}: host and schema do not make an http(s) URL: {how_to_set(connection.conn_id)}"
        )
    warn_of_plain_http(url, connection.conn_id)
    return url + path


def client_of(connection: ConnectionLike, url: str) -> dict[str, str]:
    """What a tenant's connection sends for a token (Auth0 docs, "Get Management API access tokens for production").

    :param url: the tenant's, without a slash at the end.
    :raises SettingError: naming the field that is missing.
    """
    for name, value in (("login (the client id)", connection.login), ("password (the client secret)", connection.password)):
        if not value:
            raise SettingError(f"connection {connection.conn_id!r} has no {name}: {how_to_set(connection.conn_id)}")
    return {
        "grant_type": "client_credentials",
        "client_id": str(connection.login),
        "client_secret": str(connection.password),
        "audience": str(connection.extra_dejson.get(AUDIENCE) or f"{url}/api/v2/"),
    }


def reserve_of(connection: ConnectionLike) -> float:
    """The percentage of the Management API's bucket that is left to others.

    :raises SettingError: when it is not a number from 20 to 90.
    """
    value = connection.extra_dejson.get(API_RESERVE)
    if value is None or value == "":
        return LEAST_RESERVE
    try:
        reserve = float(value)
    except (TypeError, ValueError):
        reserve = -1.0
    if not LEAST_RESERVE <= reserve <= MOST_RESERVE:
        raise SettingError(
            f"connection {connection.conn_id!r}: extra {API_RESERVE!r} is {value!r}, expected a number from {LEAST_RESERVE} to "
            f"{MOST_RESERVE} (percent): {how_to_set(connection.conn_id)}"
        )
    return reserve


def warn_of_plain_http(url: str, conn_id: str) -> None:
    """Log a warning if a connection leaves this machine unencrypted."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost" or host.endswith(".localhost")
    if parts.scheme == "http" and not here:
        log.warning(
            "connection %r is plain http to %s: events and credentials can be read and changed on their way; use https",
            conn_id,
            host,
        )
