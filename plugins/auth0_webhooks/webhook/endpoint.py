"""The webhook's endpoint: address, credentials and how one event is POSTed to it."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy

from auth0_webhooks.connections.fields import SIGNING_SECRETS, WEBHOOK_SECRETS, ConnectionLike, base_url, how_to_set
from auth0_webhooks.errors import EndpointWrongError, SettingError
from auth0_webhooks.times import parse_retry_after
from auth0_webhooks.waits import WAITS
from auth0_webhooks.webhook.addresses import NOT_PUBLIC, public_socket
from auth0_webhooks.webhook.answers import Answer
from auth0_webhooks.webhook.signing import Signer

if TYPE_CHECKING:
    from auth0_webhooks.payload.payload import Message

CONNECT_SECONDS = 10.0
"""How long one POST waits for its connection."""

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

    ``name`` is the part of the address that is safe to show: paths and queries can hold secrets. ``timeout`` is how long a POST
    waits for its answer, in seconds.
    """

    url: str = field(repr=False)
    name: str
    headers: Mapping[str, str] = field(repr=False)
    signer: Signer | None = field(repr=False, default=None)
    tls: ssl.SSLContext | bool = True
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
            all_headers["Authorization"] = aiohttp.encode_basic_auth(connection.login, connection.password or "")
        for key, value in headers.items():
            all_headers[key] = value
        # The environment's proxies are read once here: aiohttp would read them, and ~/.netrc, again for every POST.
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
            url=url,
            name=f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else ""),
            headers=all_headers,
            signer=_signer(extra.get(SIGNING_SECRETS), connection.conn_id),
            tls=_tls(extra, connection.conn_id),
            proxy=proxy,
            gzip=gzip,
            allow_private=allow_private,
            timeout=timeout,
        )

    def session(self, concurrent_calls: int) -> aiohttp.ClientSession:
        """A client that keeps at most ``concurrent_calls`` connections alive. Call this inside an event loop."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=concurrent_calls, ssl=self.tls, socket_factory=None if self.allow_private else public_socket
            ),
            headers=self.headers,
            timeout=aiohttp.ClientTimeout(total=self.timeout, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def post(self, session: aiohttp.ClientSession, message: Message) -> Answer:
        """POST one message. A failure of the network or the endpoint is an :class:`Answer`, not an exception.

        :raises EndpointWrongError: when the endpoint's address is not allowed.
        """
        now = datetime.now(timezone.utc)
        headers = {"webhook-id": message.id, "webhook-timestamp": str(int(now.timestamp()))}
        if self.signer:
            headers["webhook-signature"] = self.signer.header(message.id, now, message.body)
        body = message.body.encode()
        if self.gzip:
            # The signature covers the uncompressed text: receivers' frameworks decompress a body before they pass it on.
            headers["Content-Encoding"], body = "gzip", gzip.compress(body, compresslevel=5, mtime=0)
        try:
            async with session.post(
                self.url,
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=self.proxy,
            ) as response:
                return Answer(
                    response.status,
                    _as_text(response.reason or ""),
                    parse_retry_after(response.headers.get("Retry-After")),
                    await _first_characters(response),
                )
        except aiohttp.ClientHttpProxyError as error:
            asks = error.status == 407
            return Answer(407 if asks else None, "the proxy asks for a login" if asks else f"the proxy answered {error.status}")
        except asyncio.TimeoutError:
            return Answer(None, f"no answer within {self.timeout:.0f} s")
        except aiohttp.ClientConnectorCertificateError:
            return Answer(None, "no answer: the endpoint's TLS certificate is not trusted")
        except (aiohttp.ClientError, OSError) as error:
            if not self.allow_private and NOT_PUBLIC in str(getattr(error, "os_error", "")):
                raise EndpointWrongError(
                    f"the webhook at {self.name} has no public address, and the route says allow_private_addresses: false; "
                    "nothing is sent to it"
                ) from None
            return Answer(None, f"no answer: {_in_words(error)}")


async def _first_characters(response: aiohttp.ClientResponse, *, limit: int = 500, drain: int = 65_536) -> str:
    """Read the answer to its end, so that its connection can be used again, but no more than ``drain`` bytes."""
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > drain:
                break
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError):
        # The status is the acknowledgement: a truncated body does not revoke it.
        pass
    return body[:limit].decode("utf-8", "replace")


def _as_text(reason: str, *, limit: int = 100) -> str:
    """A reason phrase as text that every JSON parser and every database can store.

    aiohttp turns bytes that are not UTF-8 into lone surrogates, which nothing can store: they are read as Latin-1, as HTTP
    once defined it (RFC 2616, 2.2). Control characters become question marks.
    """
    raw = reason.encode("utf-8", "surrogateescape")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return "".join(character if character.isprintable() else "?" for character in text[:limit])


def _in_words(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    # aiohttp's error has no number if the connection was lost before the request was written.
    closed = (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError)
    nameless = type(error) is aiohttp.ClientOSError and number is None
    if isinstance(error, closed) or nameless or number in {errno.ECONNRESET, errno.EPIPE}:
        return "the connection was closed before the answer"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the endpoint's name does not resolve"
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS failed"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect ({os.strerror(number) if number else type(error.os_error).__name__})"
    return type(error).__name__


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


def _tls(extra: dict[str, Any], conn_id: str) -> ssl.SSLContext | bool:
    verify, cert = extra.get("verify", extra.get("verify_ssl", True)), extra.get("cert")
    if not isinstance(verify, str) and not cert:
        return bool(verify)
    try:
        context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
        if verify is False:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if cert:
            context.load_cert_chain(*([cert] if isinstance(cert, str) else cert))
    except (OSError, TypeError) as error:
        raise SettingError(
            f"connection {conn_id!r}: extra 'verify' or 'cert' does not name a usable file ({type(error).__name__}): "
            f"{how_to_set(conn_id)}"
        ) from None
    return context
