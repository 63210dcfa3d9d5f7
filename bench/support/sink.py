"""The receiver of the benchmarks: as cheap as Python allows, so that the benchmarks measure the senders.

It runs in a separate process, answers each POST with 200, at once or after a pause, and only counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Counted:
    """What arrived: POSTs, repeats of a ``webhook-id``, and when the first and the last arrived (Unix time)."""

    posts: int = 0
    repeats: int = 0
    first: float = 0.0
    last: float = 0.0


class _Sink(asyncio.Protocol):
    def __init__(self, counted: Counted, seen: set[bytes], delay: float) -> None:
        self._counted, self._seen, self._delay = counted, seen, delay
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Split requests by their Content-Length; parse only that and the id."""
        waiting = self._waiting + data if self._waiting else data
        while (head := waiting.find(b"\r\n\r\n")) >= 0:
            lower = waiting[:head].lower()
            at = lower.find(b"content-length:")
            length = int(lower[at + 15 : lower.find(b"\r", at) if lower.find(b"\r", at) > 0 else head]) if at >= 0 else 0
            if len(waiting) < head + 4 + length:
                break
            self._count(lower)
            waiting = waiting[head + 4 + length :]
        self._waiting = waiting

    def _count(self, head: bytes) -> None:
        counted, now = self._counted, time.time()
        counted.posts += 1
        counted.first, counted.last = counted.first or now, now
        at = head.find(b"webhook-id:")
        if at >= 0:
            log_id = head[at + 11 : head.find(b"\r", at)].strip()
            counted.repeats += log_id in self._seen
            self._seen.add(log_id)
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(ANSWER)


def _serve(pipe: Connection, delay: float, certificate: str | None) -> None:
    counted, seen = Counted(), set[bytes]()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if certificate else None
    if tls and certificate:
        tls.load_cert_chain(certificate)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Sink(counted, seen, delay), "127.0.0.1", 0, ssl=tls)
        pipe.send(server.sockets[0].getsockname()[1])
        while (said := await asyncio.to_thread(pipe.recv)) != "end":
            pipe.send(Counted(**vars(counted)))
            if said == "forget":
                counted.__init__()  # type: ignore[misc]
                seen.clear()

    uvloop.run(main())


class Sink:
    """The receiver, as seen from the measuring process. ``certificate`` is the file to trust, if it is reached over https."""

    def __init__(self, pipe: Connection, port: int, delay: float, certificate: str | None) -> None:
        self._pipe, self.delay, self.certificate = pipe, delay, certificate
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{port}"

    def counted(self) -> Counted:
        """What has arrived since the last :meth:`forget`."""
        return self._ask("counted")

    def forget(self) -> Counted:
        """The same, and reset the counts."""
        return self._ask("forget")

    def _ask(self, what: str) -> Counted:
        self._pipe.send(what)
        answer: Counted = self._pipe.recv()
        return answer


@contextlib.contextmanager
def sink(delay: float = 0.0, *, https: bool = False) -> Iterator[Sink]:
    """A receiver in a separate process that answers after ``delay`` seconds."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    with tempfile.TemporaryDirectory() as folder:
        certificate = _certificate(Path(folder)) if https else None
        process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, delay, certificate), daemon=True)
        process.start()
        try:
            yield Sink(ours, ours.recv(), delay, certificate)
        finally:
            ours.send("end")
            process.join(10)
            process.kill()


def _certificate(folder: Path) -> str:
    """A file with a key and its certificate for 127.0.0.1."""
    command = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
    ]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "both.pem").write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return str(folder / "both.pem")
