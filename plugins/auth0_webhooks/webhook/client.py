"""The HTTP client: POSTs over libcurl, which keeps the connections to a webhook alive."""

from __future__ import annotations

import errno
import io
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pycurl

from auth0_webhooks.errors import EndpointWrongError
from auth0_webhooks.times import parse_retry_after
from auth0_webhooks.webhook.addresses import is_public
from auth0_webhooks.webhook.answers import Answer
from auth0_webhooks.webhook.transfers import Transfers

if TYPE_CHECKING:
    from auth0_webhooks.webhook.endpoint import Endpoint

CONNECT_SECONDS = 10.0
"""How long one POST waits for its connection."""
_KEPT, _READ = 500, 65_536
"""How many bytes of an answer's body are kept; and how many are read, so that its connection can be used again."""

_CLOSED = "the connection was closed before the answer"
_NO_ANSWER = {
    pycurl.E_COULDNT_RESOLVE_HOST: "the endpoint's name does not resolve",
    pycurl.E_COULDNT_RESOLVE_PROXY: "the proxy's name does not resolve",
    pycurl.E_SSL_CONNECT_ERROR: "TLS failed",
    pycurl.E_PEER_FAILED_VERIFICATION: "the endpoint's TLS certificate is not trusted",
    pycurl.E_GOT_NOTHING: _CLOSED,
    pycurl.E_SEND_ERROR: _CLOSED,
    pycurl.E_RECV_ERROR: _CLOSED,
    pycurl.E_SEND_FAIL_REWIND: _CLOSED,  # libcurl would have sent it again
}


class Client:
    """Connections to one endpoint. Make it inside an event loop.

    libcurl does with its defaults what a webhook needs: no redirects, no cookies, no ``~/.netrc``, HTTP/2 where the endpoint
    offers it. A kept connection that the endpoint has closed is replaced, after one failed POST if that happened just now.

    :param kept: how many connections are kept for later POSTs.
    """

    def __init__(self, endpoint: Endpoint, kept: int) -> None:
        self._endpoint = endpoint
        self._transfers = Transfers(kept)
        self._idle: list[_Call] = []
        # Without "Expect:" libcurl would let a large body wait for "100 Continue", which few webhooks send.
        self._headers = [*(_header(name, value) for name, value in endpoint.headers.items()), b"Expect:"]

    def close(self) -> None:
        """Close all connections."""
        self._transfers.close()

    async def post(self, headers: Sequence[str], body: bytes) -> Answer:
        """POST once. A failure of the network or the endpoint is an :class:`Answer`, not an exception.

        :param headers: of this request, beside the endpoint's own, as ``name: value`` in ASCII.
        :raises EndpointWrongError: when the endpoint's address is not allowed.
        """
        call = self._idle.pop() if self._idle else _Call(self._endpoint)
        try:
            call.prepare([*self._headers, *headers], body)
            return call.answer(await self._transfers.run(call.curl))
        finally:
            self._idle.append(call)


class _Call:
    """A handle of libcurl, used for one POST after another, and what it read of the last answer."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._sent = io.BytesIO()
        self._lines: list[bytes] = []
        self._body, self._read, self._not_public = bytearray(), 0, ""
        self.curl = pycurl.Curl()
        options: dict[int, Any] = {
            pycurl.URL: endpoint.url,
            pycurl.POST: 1,
            pycurl.NOSIGNAL: 1,
            pycurl.TIMEOUT_MS: int(endpoint.timeout * 1000),
            pycurl.CONNECTTIMEOUT_MS: int(CONNECT_SECONDS * 1000),
            # Empty, not missing: libcurl would read the environment, which Endpoint has read.
            pycurl.PROXY: endpoint.proxy or "",
            pycurl.NOPROXY: "",
            # A source that cannot be rewound: else libcurl would repeat a POST that was lost with its connection, uncounted.
            pycurl.READFUNCTION: self._send,
            pycurl.HEADERFUNCTION: self._lines.append,
            pycurl.WRITEFUNCTION: self._write,
            **endpoint.tls.options(),
        }
        if not endpoint.allow_private:
            options[pycurl.OPENSOCKETFUNCTION] = self._open
        for option, value in options.items():
            if value is None:
                self.curl.unsetopt(option)
            else:
                self.curl.setopt(option, value)

    def prepare(self, headers: list[str | bytes], body: bytes) -> None:
        """Set the next request."""
        self._lines.clear()
        self._body.clear()
        self._read, self._not_public = 0, ""
        self.curl.setopt(pycurl.HTTPHEADER, headers)
        self.curl.setopt(pycurl.POSTFIELDSIZE, len(body))
        self._sent = io.BytesIO(body)

    def answer(self, code: int) -> Answer:
        """What the endpoint answered.

        The status line is the acknowledgement: nothing that follows it, or does not follow it, revokes it.

        :param code: how the transfer ended, for libcurl.
        :raises EndpointWrongError: when the endpoint's address is not allowed.
        """
        status = self.curl.getinfo(pycurl.RESPONSE_CODE)
        if status >= 200:
            reason, retry_after = _head(self._lines)
            return Answer(status, reason, retry_after, self._body.decode("utf-8", "replace") if self._body else "")
        if self._not_public:
            raise EndpointWrongError(
                f"the webhook at {self._endpoint.name} has no public address, and the route says allow_private_addresses: false; "
                "nothing is sent to it"
            )
        if asked := self.curl.getinfo(pycurl.HTTP_CONNECTCODE):
            return Answer(407, "the proxy asks for a login") if asked == 407 else Answer(None, f"the proxy answered {asked}")
        return Answer(None, self._in_words(code))

    def _in_words(self, code: int) -> str:
        if code == pycurl.E_OPERATION_TIMEDOUT:
            if self.curl.getinfo(pycurl.PRETRANSFER_TIME):
                return f"no answer within {self._endpoint.timeout:.0f} s"
            return f"no connection within {min(CONNECT_SECONDS, self._endpoint.timeout):.0f} s"
        number = self.curl.getinfo(pycurl.OS_ERRNO) if code == pycurl.E_COULDNT_CONNECT else 0
        if number == errno.ECONNRESET:
            code = pycurl.E_RECV_ERROR
        elif number:
            return f"no answer: cannot connect ({os.strerror(number)})"
        return f"no answer: {_NO_ANSWER.get(code) or pycurl.easy_strerror(code)}"

    def _send(self, size: int) -> bytes:
        return self._sent.read(size)

    def _write(self, part: bytes) -> int:
        """Read the answer to its end, so that its connection can be used again, but not an endless one."""
        self._read += len(part)
        self._body += part[: _KEPT - len(self._body)]
        return len(part) if self._read <= _READ else 0  # 0: libcurl closes the connection

    def _open(self, _purpose: int, address: Any) -> socket.socket | int:
        """Open the socket of a new connection, if its address is public.

        The check happens here and not when the name is resolved, because a name server could answer differently in between.
        """
        if not is_public(str(address.addr[0])):
            self._not_public = str(address.addr[0])
            return int(pycurl.SOCKET_BAD)
        return socket.socket(address.family, address.socktype, address.protocol)


def _header(name: str, value: str) -> bytes:
    # For libcurl "name:" means not to send the header.
    return f"{name}: {value}".encode() if value.strip() else f"{name};".encode()


def _head(lines: list[bytes]) -> tuple[str, float | None]:
    """The reason phrase and the Retry-After of the last answer; 1xx answers come before it."""
    retry_after = None
    for line in reversed(lines):
        if line.startswith(b"HTTP/"):
            _, _, reason = line.partition(b" ")[2].partition(b" ")
            return _as_text(reason.strip()), retry_after
        if line[:12].lower() == b"retry-after:":
            retry_after = parse_retry_after(line[12:].decode("latin-1").strip())
    return "", retry_after


def _as_text(reason: bytes, *, limit: int = 100) -> str:
    """A reason phrase as text that every JSON parser and every database can store.

    Bytes that are not UTF-8 are read as Latin-1, as HTTP once defined it (RFC 2616, 2.2). Control characters become question
    marks.
    """
    try:
        text = reason.decode()
    except UnicodeDecodeError:
        text = reason.decode("latin-1")
    text = text[:limit]
    return text if text.isprintable() else "".join(character if character.isprintable() else "?" for character in text)
