"""A webhook that answers with given bytes, which no web server would send."""

from __future__ import annotations

import contextlib
import re
import socketserver
import threading
from collections.abc import Iterator


class _Handler(socketserver.StreamRequestHandler):
    answer = b""

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n") and (line := self.rfile.readline()):
            head += line
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        self.rfile.read(int(length[1]) if length else 0)
        self.wfile.write(self.answer)


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Serve; gives the URL. Each connection gets one answer."""
    handler = type("Handler", (_Handler,), {"answer": answer})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
