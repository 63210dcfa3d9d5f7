"""A webhook that records and checks what arrives, and misbehaves when told to.

Run by itself it prints what it gets:  python -m demo.receiver --port 8091 [--answer 503 --times 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from demo.server import Server


@dataclass
class Post:
    """One POST as it arrived. ``answer`` is what was sent back: a status code, or the name of a fault."""

    path: str
    headers: dict[str, str]
    body: str
    at: float
    answer: int | str = 200
    event: dict[str, Any] = field(default_factory=dict)

    @property
    def log_id(self) -> str:
        """The event's own log id."""
        return str(self.event.get("log_id", ""))


class Receiver(Server):
    """Records every POST in ``posts``.

    ``behave`` decides the answer: a status code; ``(status, headers)``; or ``"reset"`` (after the request was read),
    ``"hang"``, ``"half"`` (the answer breaks off), ``("slow", seconds)`` before a 200. ``delay`` gives the seconds before any
    answer. ``problems`` lists what was wrong with a POST.
    """

    def __init__(self, port: int = 0, behave: Callable[[Post], Any] | None = None, **server: Any) -> None:
        super().__init__(port, **server)
        self.behave: Callable[[Post], Any] = behave or (lambda _post: 200)
        self.delay: Callable[[Post], float] = lambda _post: 0.0
        self.posts: list[Post] = []
        self.problems: list[str] = []
        self.most_at_once = 0
        self.connections: set[Any] = set()
        self._under_way = 0

    @property
    def accepted(self) -> list[str]:
        """The log ids answered with 2xx, in the order of their arrival."""
        return [post.log_id for post in self.posts if isinstance(post.answer, int) and 200 <= post.answer < 300]

    @property
    def repeats(self) -> int:
        """How many accepted events came again after they had been accepted."""
        accepted = self.accepted
        return len(accepted) - len(set(accepted))

    def by_type(self) -> Counter[str]:
        """How many accepted events there are of each log type."""
        ok = (post for post in self.posts if isinstance(post.answer, int) and 200 <= post.answer < 300)
        return Counter(str(post.event.get("type")) for post in ok)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Record, check, answer."""
        self.connections.add(request.transport.get_extra_info("peername") if request.transport else None)
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            body = (await request.read()).decode("utf-8")
            post = Post(request.path_qs, dict(request.headers), body, time.time())
            self._check(request, post)
            answer = self.behave(post)
            await asyncio.sleep(self.delay(post))
            return await self._answer(request, post, answer)
        finally:
            self._under_way -= 1

    def _check(self, request: web.BaseRequest, post: Post) -> None:
        self.posts.append(post)
        try:
            post.event = json.loads(post.body)
        except ValueError:
            self.problems.append("a body that is not JSON")
            return
        if request.method != "POST":
            self.problems.append(f"a {request.method} instead of a POST")
        if request.content_type != "application/json":
            self.problems.append(f"content type {request.content_type}")
        if not post.log_id or post.headers.get("webhook-id") != post.log_id:
            self.problems.append("webhook-id is not the log id")

    async def _answer(self, request: web.BaseRequest, post: Post, answer: Any) -> web.StreamResponse:
        headers: dict[str, str] = {}
        if isinstance(answer, tuple) and answer[0] == "slow":
            await asyncio.sleep(answer[1])
            answer = 200
        if isinstance(answer, tuple):
            answer, headers = answer
        post.answer = answer
        if isinstance(answer, int):
            return web.Response(status=answer, headers=headers)
        if answer == "hang":
            await asyncio.sleep(120)
        if answer == "half":
            response = web.StreamResponse(headers={"Content-Length": "100"})
            await response.prepare(request)
            await response.write(b"half")
            post.answer = 200
        if request.transport:
            request.transport.abort()
        return web.Response(status=500)


def main() -> None:
    """Serve until interrupted, printing a line per POST."""
    parser = argparse.ArgumentParser(description="A webhook receiver that shows what arrives.")
    parser.add_argument("--port", type=int, default=8091)
    parser.add_argument("--answer", type=int, default=200, help="status code to answer with")
    parser.add_argument("--times", type=int, help="answer so this many times, then 200")
    asked = parser.parse_args()
    count = 0

    def behave(post: Post) -> int:
        nonlocal count
        count += 1
        answer: int = asked.answer if asked.times is None or count <= asked.times else 200
        print(f"{post.event.get('date')}  {post.event.get('type', '?'):<12} {post.log_id}  -> {answer}", flush=True)
        return answer

    receiver = Receiver(asked.port, behave)
    receiver.start()
    print(f"receiver at {receiver.url}", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
