"""``concurrent_calls: auto`` beside fixed numbers, with receivers that a sender has to get to know."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal

from aiohttp import web

from auth0_webhooks.delivery.delivery import Delivery
from auth0_webhooks.model.batch import batches
from auth0_webhooks.webhook.endpoint import Endpoint
from bench.delivery import START, Memory, make_log
from bench.support.results import Figure, Part, at_least, at_most

FIXED = (1, 5, 10, 20, 50, 100)
ROUNDS = 2
LOOK_SECONDS = 0.8
"""About how long each fixed number is tried at first."""


@dataclass(frozen=True)
class Receiver:
    """How a receiver answers.

    ``latency``: after so many seconds. ``most``: with 429 to more POSTs in a second than this. ``slower``: so many seconds
    later for each other POST that is open.
    """

    name: str
    events: int
    latency: float
    most: int | None = None
    slower: float = 0.0


RECEIVERS = (
    Receiver("20 ms", 4_000, 0.02),
    Receiver("50 ms", 4_000, 0.05),
    Receiver("200 ms", 1_000, 0.2),
    Receiver("20 ms, 429 above 300 a second", 1_200, 0.02, most=300),
    Receiver("20 ms, and 2 ms more for each other one", 1_200, 0.02, slower=0.002),
)


def run(say: Callable[[str], None]) -> list[Part]:
    """Measure each receiver with fixed numbers once, and with the best of them and "auto" in turn."""
    part = Part(
        "Pacing",
        "Events per second of the deliver step with `concurrent_calls: auto`, beside the best of the fixed numbers "
        f"{', '.join(map(str, FIXED))}; each fixed number once, then the best one and `auto` in {ROUNDS} rounds. The time that "
        "`auto` takes to find its number is included. The receivers of 20, 50 and 200 ms take any number at a time.",
        ("receiver", "best fixed number", "with it, events/s", "`auto`, events/s", "`auto` / best", "429s: `auto` / fixed 50"),
    )
    for receiver in RECEIVERS:
        with _running(receiver) as (url, refused):
            counts = {calls: min(receiver.events, 20 + int(LOOK_SECONDS * calls / receiver.latency)) for calls in FIXED}
            first = {calls: _rate(url, calls, count) for calls, count in counts.items()}
            best = max(first, key=lambda calls: first[calls])
            pairs, refusals = [], []
            for _ in range(ROUNDS):
                fixed = _rate(url, best, receiver.events)
                refused()
                auto = _rate(url, "auto", receiver.events)
                pairs.append((fixed, auto))
                refusals.append(refused())
            refused()
            if receiver.most:
                _rate(url, 50, receiver.events)
            of_50 = refused()
        ratio = Figure(f"auto / best fixed number, {receiver.name}", tuple(auto / fixed for fixed, auto in pairs))
        said = Figure("", tuple(map(float, refusals)))
        part.rows.append(
            (
                receiver.name,
                str(best),
                str(Figure("", tuple(fixed for fixed, _ in pairs))),
                str(Figure("", tuple(auto for _, auto in pairs))),
                str(ratio),
                f"{said} / {of_50}" if receiver.most else "",
            )
        )
        why = (
            "`auto` begins with one call at a time, and allows one more after each round of answers: 100 only after 100 rounds, "
            f"{receiver.latency * 100:g} s. The best number sends all {receiver.events:,} events in "
            f"{receiver.events / statistics.median(fixed for fixed, _ in pairs):.1f} s."
        )
        part.targets.append(at_least(ratio, 0.5, why))
        if receiver.most:
            share = Figure("429s of auto / of a fixed 50", tuple(count / max(of_50, 1) for count in refusals))
            part.targets.append(at_most(share, 0.5))
        say(f"pacing, {receiver.name}: {ratio} of the best fixed number ({best})")
    return [part]


def _rate(url: str, calls: int | Literal["auto"], count: int) -> float:
    """Events per second of a delivery."""
    log = make_log(count)
    endpoint = Endpoint(url=url, name=url, headers={"Content-Type": "application/json"})
    delivery = Delivery(endpoint, Memory(), start=START, end=log[-1].position, first=True, concurrent_calls=calls)
    cut = list(batches(log))
    began = time.perf_counter()
    delivery.run(lambda: iter(cut))
    return count / (time.perf_counter() - began)


@contextlib.contextmanager
def _running(receiver: Receiver) -> Iterator[tuple[str, Callable[[], int]]]:
    """Its URL, and what gives and forgets the number of its answers 429."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, receiver), daemon=True)
    process.start()
    try:
        url = ours.recv()

        def refused() -> int:
            ours.send("refused")
            count: int = ours.recv()
            return count

        yield url, refused
    finally:
        ours.send("end")
        process.join(10)
        process.kill()


def _serve(pipe: Connection, receiver: Receiver) -> None:
    recent: deque[float] = deque()
    now = {"open": 0, "refused": 0}

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        if receiver.most:
            moment = time.monotonic()
            while recent and recent[0] <= moment - 1:
                recent.popleft()
            if len(recent) >= receiver.most:
                now["refused"] += 1
                return web.Response(status=429)
            recent.append(moment)
        now["open"] += 1
        await asyncio.sleep(receiver.latency + receiver.slower * (now["open"] - 1))
        now["open"] -= 1
        return web.Response()

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pipe.send(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        while await asyncio.to_thread(pipe.recv) != "end":
            pipe.send(now["refused"])
            now["refused"] = 0

    asyncio.run(main())
