"""A webhook that records and checks what arrives, and can simulate faults.

Run as a program it prints what it receives:  python -m simulation.receiver --port 8091 [--answer 503 --times 3]
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

from simulation.server import Server


@dataclass
class Post:
    """One POST as it arrived. ``answer`` is the answer: a status code, or the name of a fault."""

    path: str
    headers: dict[str, str]
    body: str
    at: float
    answer: int | str = ""
    event: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def log_id(self) -> str:
        """The event's log id; for a batch, the first event's."""
        return str(self.event.get("log_id", ""))

    @property
    def log_ids(self) -> list[str]:
        """The log ids of all its events."""
        return [str(event.get("log_id", "")) for event in self.events]

    @property
    def was_accepted(self) -> bool:
        """Whether it was answered with 2xx."""
        return isinstance(self.answer, int) and 200 <= self.answer < 300


_FORMS = {
    "application/json": "json",
    "application/x-ndjson": "lines",
    "application/cloudevents+json": "json",
    "application/cloudevents-batch+json": "json",
}


def _unwrapped(item: Any) -> dict[str, Any]:
    """The log event, taken out of its envelope if it has one."""
    inside = item.get("data") if isinstance(item, dict) else None
    return inside if isinstance(inside, dict) and ("type" in item or item.keys() == {"log_id", "data"}) else item


class Receiver(Server):
    """Records every POST in ``posts``.

    ``behave`` decides the answer: a status code; ``(status, headers)``; or ``"reset"`` (after the request was read),
    ``"hang"``, ``"half"`` (the answer breaks off), ``("slow", seconds)`` before a 200, ``("after", condition, answer)`` to
    answer only once a condition is met (after 30 seconds at most). ``delay`` gives the seconds before any answer.
    ``problems`` lists the faults found in POSTs.
    """

    def __init__(self, port: int = 0, behave: Callable[[Post], Any] | None = None, **server: Any) -> None:
        super().__init__(port, **server)
        self.behave: Callable[[Post], Any] = behave or (lambda _post: 200)
        self.delay: Callable[[Post], float] = lambda _post: 0.0
        self.posts: list[Post] = []
        self.problems: list[str] = []
        self.most_at_once = 0
        self.connections: set[Any] = set()
        self._messages: dict[str, list[str]] = {}
        self.under_way = 0

    @property
    def accepted(self) -> list[str]:
        """The log ids answered with 2xx, in order of arrival."""
        return [log_id for post in self.posts if post.was_accepted for log_id in post.log_ids]

    @property
    def repeats(self) -> int:
        """How many events arrived again after they had been accepted."""
        accepted = self.accepted
        return len(accepted) - len(set(accepted))

    def by_type(self) -> Counter[str]:
        """The number of accepted events per log type."""
        return Counter(str(event.get("type")) for post in self.posts if post.was_accepted for event in post.events)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Record, check, answer."""
        self.connections.add(request.transport.get_extra_info("peername") if request.transport else None)
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            # Without this aiohttp answers 413 to more than 1 MB; only ``behave`` decides what is too large.
            body = (await request.clone(client_max_size=0).read()).decode("utf-8")
            post = Post(request.path_qs, dict(request.headers), body, time.time())
            self._check(request, post)
            answer = self.behave(post)
            await asyncio.sleep(self.delay(post))
            return await self._answer(request, post, answer)
        finally:
            self.under_way -= 1

    def _check(self, request: web.BaseRequest, post: Post) -> None:
        self.posts.append(post)
        form = _FORMS.get(request.content_type)
        if form is None:
            self.problems.append(f"content type {request.content_type}")
        try:
            content = [json.loads(line) for line in post.body.splitlines()] if form == "lines" else json.loads(post.body)
        except ValueError:
            self.problems.append("a body that is not JSON")
            return
        in_batch = isinstance(content, list)
        post.events = [_unwrapped(item) for item in (content if in_batch else [content])]
        post.event = post.events[0] if post.events else {}
        if request.method != "POST":
            self.problems.append(f"a {request.method} instead of a POST")
        message_id = post.headers.get("webhook-id", "")
        if not in_batch and (not post.log_id or message_id != post.log_id):
            self.problems.append("webhook-id is not the log id")
        if self._messages.setdefault(message_id, post.log_ids) != post.log_ids:
            self.problems.append("a webhook-id arrived again with other events")

    async def _answer(self, request: web.BaseRequest, post: Post, answer: Any) -> web.StreamResponse:
        headers: dict[str, str] = {}
        if isinstance(answer, tuple) and answer[0] == "after":
            _, condition, answer = answer
            deadline = time.monotonic() + 30
            while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110 - another thread meets the condition
                await asyncio.sleep(0.01)
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
        for event in post.events:
            print(f"{event.get('date')}  {event.get('type', '?'):<12} {event.get('log_id')}  -> {answer}", flush=True)
        return answer

    receiver = Receiver(asked.port, behave)
    receiver.start()
    print(f"receiver at {receiver.url}", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
