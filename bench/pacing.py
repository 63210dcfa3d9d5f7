"""``concurrent_calls: auto`` beside fixed numbers, with receivers that a sender has to get to know."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
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


@dataclass(frozen=True)
class Measured:
    """The best fixed number; of each round events per second with it and with "auto", and the 429s of "auto"; those of 50."""

    best: int
    fixed: tuple[float, ...]
    auto: tuple[float, ...]
    refused: tuple[float, ...]
    refused_of_50: int


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
        f"{', '.join(map(str, FIXED))}; each fixed number once, then the best one and `auto` in {ROUNDS} rounds. All but the "
        "first receiver are measured at the same time, each with a sender of its own. The time that `auto` takes to find its "
        "number is included. The receivers of 20, 50 and 200 ms take any number at a time.",
        ("receiver", "best fixed number", "with it, events/s", "`auto`, events/s", "`auto` / best", "429s: `auto` / fixed 50"),
    )
    # The first is so quick that its sender needs a core; the others wait more than they work, so they go at the same time.
    quick, *others = RECEIVERS
    measured = [_measure(quick)]
    with ProcessPoolExecutor(len(others), multiprocessing.get_context("spawn")) as pool:
        measured += pool.map(_measure, others)
    for receiver, of_it in zip(RECEIVERS, measured, strict=True):
        fixed, auto = Figure("", of_it.fixed), Figure("", of_it.auto)
        ratios = tuple(one / other for one, other in zip(of_it.auto, of_it.fixed, strict=True))
        ratio = Figure(f"auto / best fixed number, {receiver.name}", ratios)
        part.rows.append(
            (
                receiver.name,
                str(of_it.best),
                str(fixed),
                str(auto),
                str(ratio),
                f"{Figure('', of_it.refused)} / {of_it.refused_of_50}" if receiver.most else "",
            )
        )
        why = (
            "`auto` begins with one call at a time, and allows one more after each round of answers: 100 only after 100 rounds, "
            f"{receiver.latency * 100:g} s. The best number sends all {receiver.events:,} events in "
            f"{receiver.events / fixed.median:.1f} s."
        )
        part.targets.append(at_least(ratio, 0.5, why))
        if receiver.most:
            shares = tuple(count / max(of_it.refused_of_50, 1) for count in of_it.refused)
            share = Figure("429s of auto / of a fixed 50", shares)
            part.targets.append(at_most(share, 0.5))
        say(f"pacing, {receiver.name}: {ratio} of the best fixed number ({of_it.best})")
    return [part]


def _measure(receiver: Receiver) -> Measured:
    with _running(receiver) as (url, refused):
        counts = {calls: min(receiver.events, 20 + int(LOOK_SECONDS * calls / receiver.latency)) for calls in FIXED}
        first = {calls: _rate(url, calls, count) for calls, count in counts.items()}
        best = max(first, key=lambda calls: first[calls])
        rounds = []
        for _ in range(ROUNDS):
            fixed = _rate(url, best, receiver.events)
            refused()
            rounds.append((fixed, _rate(url, "auto", receiver.events), float(refused())))
        if receiver.most:
            _rate(url, 50, receiver.events)
        at_best, at_auto, refusals = (tuple(figures) for figures in zip(*rounds, strict=True))
        return Measured(best, at_best, at_auto, refusals, refused())


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
