"""The webhook's endpoint: address, credentials and how one event is POSTed to it."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests.exceptions import InvalidURL
from requests.models import PreparedRequest
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy

from auth0_webhooks.connections.fields import (
    BODY_SECRETS,
    SIGNING_SECRETS,
    WEBHOOK_SECRETS,
    ConnectionLike,
    base_url,
    how_to_set,
)
from auth0_webhooks.errors import EndpointWrongError, SettingError
from auth0_webhooks.waits import WAITS
from auth0_webhooks.webhook.client import Client
from auth0_webhooks.webhook.signing import Signer
from auth0_webhooks.webhook.tls import Tls

if TYPE_CHECKING:
    from auth0_webhooks.payload.payload import Message
    from auth0_webhooks.webhook.answers import Answer

# Keys of a connection's extra that the http provider's hooks, or this project, read; every other key is a request header.
_PROVIDER_KEYS = {"headers", *WEBHOOK_SECRETS}.union(
    "allow_redirects cert check_response max_redirects proxies proxy srv_lookup stream timeout".split(),  # noqa: SIM905
    "trust_env verify verify_ssl".split(),  # noqa: SIM905
)

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token (RFC 9110, 5.6.2)."""
_NO_HEADER_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True)
class Endpoint:
    """Where events are sent.

    ``name`` is the part of the address that is safe to show: paths and queries can hold secrets. ``body_secrets`` are added to
    the JSON object that each POST sends: some APIs take their key there and in no header. ``timeout`` is how long a POST waits
    for its answer, in seconds.
    """

    url: str = field(repr=False)
    name: str
    headers: Mapping[str, str] = field(repr=False)
    body_secrets: Mapping[str, str] = field(repr=False, default_factory=dict)
    signer: Signer | None = field(repr=False, default=None)
    tls: Tls = field(default_factory=Tls)
    proxy: str | None = field(repr=False, default=None)
    gzip: bool = False
    allow_private: bool = True
    timeout: float = WAITS.answer

    @classmethod
    def from_connection(
        cls,
        connection: ConnectionLike,
        *,
        content_type: str = "application/json",
        gzip: bool = False,
        allow_private: bool = True,
        timeout: float = WAITS.answer,
    ) -> Endpoint:
        """Read a connection of type ``http``.

        :param content_type: of the request body; a ``Content-Type`` in the connection's extra overrides it.
        :param gzip: compress the request body.
        :param allow_private: also connect to addresses that are not public.
        :param timeout: how long a POST waits for its answer, in seconds.
        :raises SettingError: naming the connection, the field and how to set it.
        """
        url = base_url(connection)
        parts = urlsplit(url)
        extra = {key: value for key, value in connection.extra_dejson.items() if value is not None}
        headers = {**(extra.get("headers") or {}), **{k: v for k, v in extra.items() if k not in _PROVIDER_KEYS}}
        for key, value in headers.items():
            if not isinstance(value, str) or not _HEADER_NAME.fullmatch(key) or _NO_HEADER_VALUE.search(value):
                raise SettingError(
                    f"connection {connection.conn_id!r}: extra {key!r} becomes a request header, so it must be one line of text: "
                    f"{how_to_set(connection.conn_id)}"
                )
        # Not a dict: the extra overrides a header whatever the case of its name.
        all_headers = CaseInsensitiveDict({"Content-Type": content_type, "User-Agent": "auth0-log-webhooks"})
        if connection.login:
            login = f"{connection.login}:{connection.password or ''}"
            all_headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        for key, value in headers.items():
            all_headers[key] = value
        proxies = extra.get("proxies") or extra.get("proxy")
        if not proxies and extra.get("trust_env", True):
            proxies = get_environ_proxies(url)
        proxy = select_proxy(url, proxies) if isinstance(proxies, dict) else proxies or None
        if isinstance(proxy, str):
            # "proxy.example.com:3128", as requests reads it
            proxy = prepend_scheme_if_needed(proxy, "http")  # type: ignore[no-untyped-call]
        if proxy and (not isinstance(proxy, str) or urlsplit(proxy).scheme not in {"http", "https"}):
            raise SettingError(
                f"connection {connection.conn_id!r}: its proxy, or the environment's, is not an http:// or https:// URL; no "
                f"other kind is supported: {how_to_set(connection.conn_id)}"
            )
        if proxy and not allow_private:
            raise SettingError(
                f"connection {connection.conn_id!r}: its proxy, or the environment's, decides which address is connected to, so "
                "allow_private_addresses: false cannot be enforced: leave that check to the proxy and remove the setting, or set "
                '"trust_env": false in the extra and no proxy'
            )
        return cls(
            url=_quoted(url, connection.conn_id),
            name=f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else ""),
            headers=all_headers,
            body_secrets=_body_secrets(extra.get(BODY_SECRETS), connection.conn_id),
            signer=_signer(extra.get(SIGNING_SECRETS), connection.conn_id),
            tls=Tls.from_extra(extra, connection.conn_id),
            proxy=proxy,
            gzip=gzip,
            allow_private=allow_private,
            timeout=timeout,
        )

    @contextlib.asynccontextmanager
    async def session(self, concurrent_calls: int) -> AsyncIterator[Client]:
        """A client that keeps at most ``concurrent_calls`` connections alive."""
        client = Client(self, concurrent_calls)
        try:
            yield client
        finally:
            client.close()

    async def post(self, session: Client, message: Message) -> Answer:
        """POST one message. A failure of the network or the endpoint is an :class:`Answer`, not an exception.

        :raises EndpointWrongError: when the endpoint's address is not allowed, or the body cannot take its secrets.
        """
        text = self._with_secrets(message.body)
        now = datetime.now(timezone.utc)
        headers = [f"webhook-id: {message.id}", f"webhook-timestamp: {int(now.timestamp())}"]
        if self.signer:
            headers.append(f"webhook-signature: {self.signer.header(message.id, now, text)}")
        body = text.encode()
        if self.gzip:
            # The signature covers the uncompressed text: some frameworks decompress a body before the receiver's code sees it.
            headers.append("Content-Encoding: gzip")
            body = gzip.compress(body, compresslevel=5, mtime=0)
        return await session.post(headers, body)

    def _with_secrets(self, body: str) -> str:
        """The body with the secrets as its last members: of two members with one name, parsers keep the last."""
        if not self.body_secrets:
            return body
        if not body.lstrip().startswith("{"):
            raise EndpointWrongError(
                f"the connection of {self.name} has {BODY_SECRETS!r}, which are added to a JSON object, and the route's body is "
                "none: let it give an object such as {text: description}, or remove them from the connection's extra"
            )
        members = body.strip()[1:-1].strip()
        secrets = json.dumps(dict(self.body_secrets))[1:-1]
        return f"{{{members}, {secrets}}}" if members else f"{{{secrets}}}"


def _signer(secrets: Any, conn_id: str) -> Signer | None:
    """The signer, or None if the connection has no signing secrets."""
    if not secrets:
        return None
    try:
        return Signer([secrets] if isinstance(secrets, str) else list(secrets))
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"connection {conn_id!r}: extra {SIGNING_SECRETS!r} must be a list of secrets, newest first: {error}: "
            f"{how_to_set(conn_id)}"
        ) from None


def _body_secrets(secrets: Any, conn_id: str) -> dict[str, str]:
    """The secrets that are added to each body; empty if the connection has none."""
    if not secrets:
        return {}
    if not isinstance(secrets, dict) or not all(isinstance(value, str) for value in secrets.values()):
        raise SettingError(
            f'connection {conn_id!r}: extra {BODY_SECRETS!r} must be names and texts, such as {{"routing_key": "..."}}: '
            f"{how_to_set(conn_id)}"
        )
    return dict(secrets)


def _quoted(url: str, conn_id: str) -> str:
    """The URL in ASCII, as it is sent: a name, a path or a query can be written in any alphabet."""
    prepared = PreparedRequest()
    try:
        prepared.prepare_url(url, None)
    except InvalidURL:
        raise SettingError(f"connection {conn_id!r}: its host is not a host name: {how_to_set(conn_id)}") from None
    return str(prepared.url)
