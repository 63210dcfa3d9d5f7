"""The tenant's rate limit: a backlog on each of Auth0's plans, beside the watch, and many routes that are woken at once."""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from bench.support.results import Figure, Part, at_least, at_most
from simulation.tenant import CLIENT_ID, CLIENT_SECRET, Tenant
from simulation.tenant_limits import PLANS, Bucket

EVENTS = 1_300
"""Enough to wait for two windows of a minute, wherever in a minute the measurement begins."""
ROUTES = 20
BETWEEN_RUNS = 3.0
"""Seconds between two runs, which is what Airflow, filter and deliver take."""
WATCH = 3.0
CONN_ID = "auth0_bench"
CONNECTION = f"AIRFLOW_CONN_{CONN_ID.upper()}"
"""The environment variable of the connection to the tenant."""
CASES = [(plan, kind) for plan in PLANS for kind in ("drip", "window")]
WORDS = {"drip": "bit by bit", "window": "in windows"}


def run(say: Callable[[str], None]) -> list[Part]:
    """Measure without Airflow: the runs' own reading, over HTTP, with the simulated tenant in this process."""
    return [_backlogs(say), _at_once(say)]


def _backlogs(say: Callable[[str], None]) -> Part:
    part = Part(
        "The tenant's rate limit",
        f"A backlog of {EVENTS:,} events, read by runs one after the other, {BETWEEN_RUNS:g} s apart, with the watch beside them "
        f"(`watch: {WATCH:g}`). The bucket is full at the start. What 80 % allow: the whole requests that use less than 80 % of "
        "the bucket, and that share of the refill, for the runs and the watch together.",
        (
            "plan: bucket, refill",
            "requests of runs",
            "of the watch",
            "429s",
            "warnings",
            "runs",
            "seconds",
            "seconds at what 80 % allow",
            "longest wait of a run, s",
        ),
    )
    limited = warned = 0
    shares = []
    # Each waits more than it works, so all go at the same time, each in a process of its own.
    with ProcessPoolExecutor(len(CASES), multiprocessing.get_context("spawn")) as pool:
        backlogs = [pool.submit(_backlog, plan, kind) for plan, kind in CASES]
    for (plan, kind), backlog in zip(CASES, backlogs, strict=True):
        measured, bucket = backlog.result()
        limited, warned = limited + bucket.limited, warned + bucket.warned
        ideal = _at_80_percent(bucket, int(measured["requests"] + measured["watch"]), measured["began"])
        # Reading takes time, too: where the limit does not slow it down, there is no share to speak of.
        if ideal > measured["reading"] / 2:
            shares.append((ideal or 0.1) / measured["seconds"])
        part.rows.append(
            (
                f"{plan}: {bucket.size}, {bucket.refill:g} in {bucket.seconds:g} s {WORDS[kind]}",
                *(f"{measured[what]:g}" for what in ("requests", "watch")),
                f"{bucket.limited}",
                f"{bucket.warned}",
                f"{measured['runs']:g}",
                f"{measured['seconds']:.1f}",
                f"{ideal:.1f}",
                f"{measured['longest']:.1f}",
            )
        )
        say(f"{' | '.join(part.rows[-1])}")
    part.targets += [
        at_most(Figure("429s in backlogs on each plan", (float(limited),)), 0),
        at_most(Figure("warnings in backlogs on each plan", (float(warned),)), 0),
        at_least(Figure("speed of a backlog / what 80 % of the plan allow, the least", (min(shares, default=1.0),)), 0.7),
    ]
    return part


def _backlog(plan: str, kind: str) -> tuple[dict[str, float], Bucket]:
    """What the backlog took, and the bucket with its counts."""
    with _tenant() as tenant:
        tenant.add_many(EVENTS)
        tenant.limit(plan, kind)
        measured = _drain(EVENTS)
    return measured, tenant.bucket


def _at_80_percent(bucket: Bucket, requests: int, began: float) -> float:
    """Seconds that so many requests take at the least, from a full bucket on; ``began`` is when (Unix time)."""
    usable = max(1, math.ceil(bucket.size * 0.8) - 1)
    more = max(0, requests - usable)
    if bucket.kind == "window":
        windows = math.ceil(more / min(usable, bucket.refill))
        return windows * bucket.seconds - began % bucket.seconds if windows else 0.0
    return more * bucket.seconds / (bucket.refill * usable / bucket.size)


def _drain(count: int) -> dict[str, float]:
    """Read everything with runs as Airflow would start them; returns what it took."""
    from auth0_webhooks.hooks.auth0 import TenantHook
    from auth0_webhooks.model.events import Position
    from auth0_webhooks.reading.live import Reading

    ended, looked = threading.Event(), [0]
    watch = threading.Thread(target=_watch, args=(ended, looked))
    place, read, store = Position("0", None), 0, Store()
    figures: dict[str, float] = {"began": time.time(), "requests": 0, "runs": 0, "longest": 0.0, "reading": 0.0}
    began = time.monotonic()
    watch.start()
    while True:
        hook = TenantHook(CONN_ID, store)
        reading, start = Reading(hook, place, 20_000, settle=0.0), time.monotonic()
        read += sum(1 for _ in reading.events())
        place = reading.end
        figures["runs"] += 1
        figures["requests"] += hook.api_requests
        figures["longest"] = max(figures["longest"], hook.budget.waited)
        figures["reading"] += time.monotonic() - start - hook.budget.waited
        if reading.stopped is None:
            break
        time.sleep(BETWEEN_RUNS)
    figures["seconds"] = time.monotonic() - began
    ended.set()
    watch.join()
    if read < count:
        raise RuntimeError(f"{read} of {count} events were read")
    return {**figures, "watch": looked[0]}


def _watch(ended: threading.Event, looked: list[int]) -> None:
    """Look as the watch does, until ``ended``; counts the requests in ``looked``."""
    from auth0_webhooks.errors import BudgetUsedError
    from auth0_webhooks.hooks.auth0 import TenantHook
    from auth0_webhooks.triggers import log_watch

    hook = TenantHook(CONN_ID, Store(), tries=1, waits=log_watch.WAITS_OF_A_LOOK)
    look = log_watch.Look(hook, [])
    pause = WATCH
    while not ended.wait(pause):
        try:
            look()
            pause = max(WATCH, min(hook.budget.seconds_to_share(log_watch.SHARE), log_watch.LONGEST_PAUSE))
        except BudgetUsedError as error:
            pause = log_watch.pause_after(0, WATCH, error.retry_after or 0.0)
        looked[0] = hook.api_requests


def _at_once(say: Callable[[str], None]) -> Part:
    part = Part(
        "Many routes at once, and the rate limit",
        f"{ROUTES} processes, each a route's `fetch` that finds one new event, start in the same moment.",
        ("bucket", "429s", "warnings", "routes that had read after their first run", "seconds until the last had read"),
    )
    limited = warned = 0
    for plan in ("free", "self-service"):
        with _tenant() as tenant:
            tenant.add("s")
            tenant.limit(plan, "drip")
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["auth0_webhooks.hooks.auth0", "auth0_webhooks.reading.live"])
            barrier, found, connection = context.Barrier(ROUTES), context.Queue(), os.environ[CONNECTION]
            routes = [context.Process(target=_route, args=(barrier, found, connection)) for _ in range(ROUTES)]
            for route in routes:
                route.start()
            took = [found.get(timeout=300) for _ in routes]
            for route in routes:
                route.join()
        bucket = tenant.bucket
        limited, warned = limited + bucket.limited, warned + bucket.warned
        at_first = sum(1 for _, read in took if read)
        part.rows.append((f"{bucket.size}", f"{bucket.limited}", f"{bucket.warned}", f"{at_first}", f"{max(took)[0]:.1f}"))
        say(f"{ROUTES} routes at once: {' | '.join(part.rows[-1])}")
    part.targets += [
        at_most(Figure(f"429s when {ROUTES} routes read at once", (float(limited),)), 0),
        at_most(Figure(f"warnings when {ROUTES} routes read at once", (float(warned),)), 0),
    ]
    return part


def _route(barrier: Any, found: Any, connection: str) -> None:
    """One route's reading, in a process of its own."""
    from auth0_webhooks.hooks.auth0 import TenantHook
    from auth0_webhooks.model.events import Position
    from auth0_webhooks.reading.live import Reading

    os.environ[CONNECTION] = connection  # the fork server has the environment of its start
    barrier.wait()
    began = time.monotonic()
    read = sum(1 for _ in Reading(TenantHook(CONN_ID), Position("0", None), 20_000, settle=0.0).events())
    found.put((time.monotonic() - began, read))


class Store:
    """What is kept with the token, in memory."""

    text: str | None = None

    def load(self) -> str | None:
        """The text."""
        return self.text

    def save(self, text: str) -> None:
        """Keep a text."""
        self.text = text


@contextlib.contextmanager
def _tenant() -> Iterator[Any]:
    """A tenant, and the connection to it in the environment."""
    tenant = Tenant()
    tenant.log_token_requests = False
    with tenant.running():
        fields = {"conn_type": "http", "host": tenant.url, "login": CLIENT_ID, "password": CLIENT_SECRET}
        os.environ[CONNECTION] = json.dumps(fields)
        yield tenant
