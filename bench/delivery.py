"""How fast ``deliver`` sends, compared with a bare load generator and the usual hand-written loop."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pycurl
import requests

from auth0_webhooks.delivery.delivery import Delivery
from auth0_webhooks.delivery.progress import MOST_REPEATED
from auth0_webhooks.model.batch import Batch, batches
from auth0_webhooks.model.checkpoint import Checkpoint
from auth0_webhooks.model.events import LogEvent, Position
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.webhook.endpoint import Endpoint
from auth0_webhooks.webhook.tls import Tls
from bench.support import syslog_ng
from bench.support.results import Figure, Part, at_least, draw
from bench.support.sink import Sink, sink
from simulation.events import event_text

CALLS = (1, 5, 20, 50)
AT_ONCE, HTTPS = "at once", "at once, https"
SLOW = 0.05
"""Seconds that the slow receiver waits before it answers."""
ROUNDS, SLOW_ROUNDS = 3, 2
SAVE, NOTE = 0.0085, 10e-6
"""Seconds in which Airflow stores a Variable, at the median; and about those in which an event of an array is noted."""
MOST_IN_ARRAYS = MOST_REPEATED / (SAVE + MOST_REPEATED * NOTE)
"""Events per second that the saves allow."""
START = Position(None, "1970-01-01T00:00:00.000Z")
SINGLE, ARRAYS = Payload(), Payload("array", max_events=100)


class Memory:
    """Keeps the checkpoint in memory for as long as Airflow takes to store a Variable."""

    on_hold = ""

    def load(self) -> Checkpoint | None:
        """Return None: no checkpoint is stored."""
        return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Wait as long as a real save takes."""
        del checkpoint
        time.sleep(SAVE)


def make_log(count: int) -> list[LogEvent]:
    """Failed logins as the simulated tenant logs them."""
    made, previous = [], START
    for number in range(count):
        log_id, date = f"900{number:053d}", "2026-11-22T21:14:11.176Z"
        made.append(LogEvent(log_id, date, "fp", event_text(log_id, date, "fp", number), previous))
        previous = made[-1].position
    return made


def _mean(log: list[LogEvent]) -> float:
    return sum(len(event.body) for event in log) / len(log)


def ours(where: Sink, log: list[LogEvent], calls: int = 5, payload: Payload = SINGLE) -> float:
    """Seconds that this project's delivery takes for a log, including the checkpoint."""
    url, end = where.url, log[-1].position
    endpoint = Endpoint(url=url, name=url, headers={"Content-Type": "application/json"}, tls=Tls(ca_file=where.certificate))
    delivery = Delivery(endpoint, Memory(), start=START, end=end, first=True, concurrent_calls=calls, payload=payload)
    cut = list(batches(log))

    def give() -> Iterable[Batch]:
        return iter(cut)

    return _seconds(lambda: delivery.run(give))


def requests_loop(where: Sink, log: list[LogEvent]) -> float:
    """Seconds for the usual hand-written loop, with a kept-alive connection."""

    def loop() -> None:
        with requests.Session() as session:
            for event in log:
                headers = {"Content-Type": "application/json", "webhook-id": event.log_id}
                session.post(where.url, data=event.body, headers=headers, timeout=30, verify=where.certificate).raise_for_status()

    return _seconds(loop)


def plain_requests(where: Sink, log: list[LogEvent]) -> float:
    """Seconds for the same without a session: a new connection each time, as in most examples."""

    def loop() -> None:
        for event in log:
            headers = {"Content-Type": "application/json", "webhook-id": event.log_id}
            requests.post(where.url, data=event.body, headers=headers, timeout=30).raise_for_status()

    return _seconds(loop)


def bare(where: Sink, log: list[LogEvent], calls: int) -> float:
    """Seconds for bare aiohttp: the usual asynchronous client."""

    async def send() -> None:
        left = iter(log)
        tls = ssl.create_default_context(cafile=where.certificate) if where.certificate else True
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=calls, ssl=tls)) as session:

            async def worker() -> None:
                for event in left:
                    headers = {"Content-Type": "application/json", "webhook-id": event.log_id}
                    async with session.post(where.url, data=event.body.encode(), headers=headers) as response:
                        await response.read()

            await asyncio.gather(*(worker() for _ in range(calls)))

    return _seconds(lambda: asyncio.run(send()))


def bare_libcurl(where: Sink, log: list[LogEvent], calls: int) -> float:
    """Seconds for libcurl with the same number of connections, and nothing around it."""

    def loop() -> None:
        multi, left = pycurl.CurlMulti(), iter(log)
        multi.setopt(pycurl.M_MAXCONNECTS, calls)

        def start(curl: pycurl.Curl) -> None:
            if event := next(left, None):
                curl.setopt(pycurl.HTTPHEADER, ["Content-Type: application/json", f"webhook-id: {event.log_id}"])
                curl.setopt(pycurl.POSTFIELDS, event.body)
                multi.add_handle(curl)

        for _ in range(calls):
            curl = pycurl.Curl()
            curl.setopt(pycurl.URL, where.url)
            curl.setopt(pycurl.WRITEFUNCTION, len)
            start(curl)
        under_way = 1
        while under_way:
            multi.select(1.0)
            _, under_way = multi.perform()
            _, ended, failed = multi.info_read()
            if failed:
                raise RuntimeError(f"libcurl: {failed[0][2]}")
            for curl in ended:
                multi.remove_handle(curl)
                start(curl)
            under_way += len(ended)
        multi.close()

    return _seconds(loop)


def wrk(url: str, body: str, calls: int, seconds: int = 1) -> float:
    """POSTs a second of a load generator written in C, which reads no answers and keeps no records."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(f"wrk.method = 'POST'\nwrk.body = [[{body}]]\nwrk.headers['Content-Type'] = 'application/json'\n")
        command = [str(shutil.which("wrk")), "-t1", f"-c{calls}", f"-d{seconds}s", "-s", str(script), url]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return float(next(line.split()[1] for line in said.splitlines() if line.startswith("Requests/sec:")))


def run(say: Callable[[str], None]) -> list[Part]:
    """Measure in turn what is compared, in several rounds."""
    ceiling_name = "wrk" if shutil.which("wrk") else "bare aiohttp"
    log = make_log(4_000)
    part = Part(
        "Delivery",
        f"Events per second of the deliver step alone ({_mean(log) / 1000:.1f} kB each, the checkpoint saved as often as in "
        f"production, and as slowly as Airflow stores it), in the same run as a bare load generator ({ceiling_name}) and "
        f"`requests` in a loop. Median of {ROUNDS} rounds, {SLOW_ROUNDS} where the receiver is slow; spread behind it.",
        ("receiver", "calls", "deliver, events/s", f"{ceiling_name}, POSTs/s", "deliver / that", "bare aiohttp, POSTs/s"),
    )
    with sink() as fast, sink(https=True) as safe, sink(SLOW) as slow:
        places = [(AT_ONCE, fast, calls) for calls in CALLS] + [(HTTPS, safe, 5)] + [("50 ms", slow, calls) for calls in CALLS]
        speeds = {(name, calls): _side_by_side(where, log, calls, say) for name, where, calls in places}
        arrays = [_rate(ours, fast, log, 5, ARRAYS) for _ in range(ROUNDS)]
        libcurl = Figure("", tuple(_rate(bare_libcurl, fast, log, 5) for _ in range(ROUNDS)))
        in_c = [syslog_ng.rate(fast, log, 5) for _ in range(ROUNDS)] if syslog_ng.program() else []
        loops = {
            (AT_ONCE, "kept-alive `requests` loop", 8): [_rate(requests_loop, fast, log[:1500]) for _ in range(ROUNDS)],
            (AT_ONCE, "plain `requests.post` loop", 8): [_rate(plain_requests, fast, log[:700]) for _ in range(ROUNDS)],
            (HTTPS, "kept-alive `requests` loop", 8): [_rate(requests_loop, safe, log[:1500]) for _ in range(ROUNDS)],
        }
    for (name, calls), measured in speeds.items():
        deliver, ceiling, python = (tuple(values) for values in zip(*measured, strict=True))
        ratio = Figure(f"deliver / {ceiling_name}, {calls} calls", tuple(a / b for a, b in zip(deliver, ceiling, strict=True)))
        part.rows.append(
            (name, str(calls), *(str(Figure("", values)) for values in (deliver, ceiling)), str(ratio), str(Figure("", python)))
        )
        for (place, kind, wanted), values in loops.items() if calls == 5 else ():
            if place == name:
                part.rows.append((name, "1", f"{kind}: {Figure('', tuple(values))}", "", "", ""))
                over = ", https" if name == HTTPS else ""
                ratios = tuple(a / b for a, b in zip(deliver, values, strict=True))
                why = f"the loop takes {_us(values):.0f} us for a POST. {_profile(deliver, libcurl.values)}"
                part.targets.append(at_least(Figure(f"deliver, 5 calls / {kind}{over}", ratios, "times"), wanted, why))
        if name == AT_ONCE and calls == 5:
            why = f"{ceiling_name} takes {_us(ceiling):.0f} us for a POST. {_profile(deliver, libcurl.values)}"
            part.targets.append(at_least(ratio, 0.15, why))
            part.rows.append((name, "5", f"bare libcurl: {libcurl}", "", "", ""))
            in_arrays = Figure("deliver in arrays of 100", tuple(arrays), "events/s")
            part.rows.append((name, "5", f"arrays of 100: {Figure('', tuple(arrays))}", "", "", ""))
            if in_c:
                part.rows.append((name, "5", f"syslog-ng, http(): {Figure('', tuple(in_c))}", "", "", ""))
            times = tuple(a / b for a, b in zip(arrays, deliver, strict=True))
            why = (
                f"{MOST_REPEATED} unsaved events for each save of {SAVE * 1e3:g} ms, and {NOTE * 1e6:g} us each, allow "
                f"{MOST_IN_ARRAYS:,.0f}: more would repeat more after a crash."
            )
            most = MOST_IN_ARRAYS / statistics.median(deliver)
            part.targets.append(
                at_least(
                    Figure("deliver in arrays of 100 / in single POSTs", times, "times"),
                    8,
                    f"single POSTs are fast: the most that the saves allow (see the next line) is {most:.1f} times as many.",
                )
            )
            part.targets.append(at_least(in_arrays, 60_000, why))
        if name == "50 ms" and calls == 5:
            # The load generator shows what 5 calls of 50 ms really allow: a timer is never exact.
            part.targets.append(at_least(Figure(f"{ratio.name}, answers after 50 ms", ratio.values), 0.95))
    lines = {
        f"{who}, {name}": [(calls, Figure("", tuple(one[which] for one in speeds[name, calls])).median) for calls in CALLS]
        for name in (AT_ONCE, "50 ms")
        for which, who in ((0, "deliver"), (1, ceiling_name))
    }
    part.pictures.append(
        draw("delivery", "Delivery, by concurrent calls", "concurrent calls", "events a second", lines, log=True)
    )
    return [part]


def _us(rates: Sequence[float]) -> float:
    """Microseconds for a POST, at the median."""
    return 1e6 / statistics.median(rates)


def _profile(deliver: Sequence[float], libcurl: Sequence[float]) -> str:
    return (
        f"`deliver` takes {_us(deliver):.0f} us, on one core: {_us(libcurl):.0f} us with libcurl and nothing around it, "
        "over http and called from Python, and the rest for the checkpoint, headers, counts and the event loop."
    )


def _side_by_side(where: Sink, log: list[LogEvent], calls: int, say: Callable[[str], None]) -> list[tuple[float, float, float]]:
    """Events per second of deliver, the ceiling, and bare aiohttp; one row per round."""
    rows = []
    probe = log if not where.delay else log[: int(calls / SLOW)]
    for _ in range(SLOW_ROUNDS if where.delay else ROUNDS):
        deliver = _rate(ours, where, probe, calls)
        python = _rate(bare, where, probe, calls)
        ceiling = wrk(where.url, log[0].body, calls) if shutil.which("wrk") else python
        rows.append((deliver, ceiling, python))
    say(f"delivery, {calls} calls, {where.delay * 1000:.0f} ms: {rows[-1][0]:,.0f} events/s")
    return rows


def _rate(send: Callable[..., float], where: Sink, log: list[LogEvent], *more: Any) -> float:
    where.forget()
    seconds = send(where, log, *more)
    counted = where.counted()
    posts = len(log) // ARRAYS.max_events if ARRAYS in more else len(log)
    if counted.posts != posts or counted.repeats:
        raise RuntimeError(f"{send.__name__}: {counted.posts} POSTs and {counted.repeats} repeats for {len(log)} events")
    return len(log) / seconds


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
