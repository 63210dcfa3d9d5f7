"""The cost of redaction: plain events, realistic Auth0 events, and texts designed to be slow."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

from auth0_webhooks.model.events import LogEvent, Position
from auth0_webhooks.privacy.redaction import Redaction
from bench.support.results import Figure, Part, at_most
from simulation.events import make_event
from simulation.tenant import USUAL_TYPES

ROUNDS = 3
SIZE = 1_000_000
USUAL = 1_000
"""Events of usual size."""
LONGEST = 2.0
"""Seconds that an event of 1 MB may take, whatever it contains."""
RULES: dict[str, Any] = {"user_data": "pseudonym"}
USER = {
    "user_name": "ada@example.com",
    "user_id": "auth0|5f7c1234",
    "ip": "203.0.113.50",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
}


def _again(piece: str) -> Callable[[int], str]:
    return lambda size: (piece * (size // len(piece) + 1))[:size]


def _numbered(piece: str) -> Callable[[int], str]:
    return lambda size: " ".join(piece.format(number) for number in range(size // len(piece.format(10_000))))


def _json_in_texts(size: int) -> str:
    """JSON in a text in JSON, nested as deeply as the escaped quotes allow."""
    text = json.dumps(USER)
    while len(text) < min(size, 40_000) / 3:
        text = json.dumps({"inside": text})
    return _again(text)(size)


PLAIN: dict[str, Callable[[int], str]] = {
    "prose": _again("The user signs in for the third time today, from a new device. "),
    "prose with a user's data": _again("Wrong password for ada@example.com from 203.0.113.50. "),
}
HOSTILE: dict[str, Callable[[int], str]] = {
    "%252525...": lambda size: "%" + "25" * (size // 2),
    "%2525 again and again": _again("%252525 "),
    "percent-encoded letters": _again("%41"),
    "percent-encoded UTF-8": _again("%C3%A9"),
    "one letter": _again("a"),
    "@@@@": _again("@"),
    "a@a@a@": _again("a@"),
    "ab@ab@ab@": _again("ab@"),
    "a.a.a.": lambda size: "x@" + _again("a.")(size),
    "many addresses": _numbered("user{}@example.com"),
    "one address many times": _again("ada@example.com "),
    "many IP addresses": _numbered("2001:db8::{:x}"),
    "colons": _again(":"),
    "1:2: 1:2:": _again("1:2: "),
    "dots": _again("."),
    "&amp;amp;...": lambda size: "&" + "amp;" * (size // 4),
    "entities": _again("&lt;&#x41;"),
    "ampersands": _again("&a"),
    "encodings by turns": _again("%26amp%3B"),
    "digits with gaps": _again("1-2 3."),
    "zeros with gaps": _again("0 1 "),
    "phone numbers": _numbered("+1 555 {:07d}"),
    "digits": _again("1234567890"),
    "backslashes": _again("\\"),
    "quotes": _again('"@'),
    "JSON in texts": _json_in_texts,
    "ids of users, cut short": _again("auth0|"),
    "paths": _again("/users/"),
}


def _around(text: Callable[[int], str]) -> Callable[[int], dict[str, Any]]:
    """A failed login that contains such a text."""
    return lambda size: {"type": "fp", "log_id": "1", **USER, "details": {"qs": {"redirect_uri": text(size)}}}


def many_values(size: int) -> dict[str, Any]:
    """As many names as redaction searches for, all with the same start, and a text in which each could begin anywhere."""
    users = [{"user_name": f"{'a' * 16}{number}"} for number in range(min(size // 100, 1_900))]
    return {"type": "sapi", "details": {"users": users, "text": _again("a")(size // 2)}}


def many_keys(size: int) -> dict[str, Any]:
    """User data in keys."""
    return {"type": "sapi", "details": {f"user{number}@example.com": number for number in range(size // 30)}}


def schema_shaped(size: int) -> dict[str, Any]:
    """Many typical events combined into one."""
    kinds, left = list(USUAL_TYPES), size
    events: list[dict[str, Any]] = []
    while left > 0:
        number = len(events)
        events.append(make_event(str(number), "2026-11-22T10:00:00.000Z", kinds[number % len(kinds)], number % 50))
        left -= len(json.dumps(events[-1]))
    return {"type": "sapi", "log_id": "1", "details": {"response": {"body": events}}}


EVENTS: dict[str, Callable[[int], dict[str, Any]]] = {
    **{name: _around(text) for name, text in (PLAIN | HOSTILE).items()},
    "many names that begin alike": many_values,
    "addresses as keys": many_keys,
    "usual events, in one": schema_shaped,
}


def event_of(made: dict[str, Any]) -> LogEvent:
    """The event as a run would read it."""
    return LogEvent("1", "", str(made["type"]), json.dumps(made), Position(None, None))


def usual_events(count: int) -> list[LogEvent]:
    """Events in the proportions of a usual day."""
    kinds = random.Random(1).choices(list(USUAL_TYPES), list(USUAL_TYPES.values()), k=count)
    return [event_of(make_event(f"{number}", "2026-11-22T10:00:00.000Z", kind, number)) for number, kind in enumerate(kinds)]


def run(say: Callable[[str], None]) -> list[Part]:
    """Redact each kind of 1 MB event, and some events of usual size."""
    usual = usual_events(USUAL)
    characters = sum(len(event.body) for event in usual)
    part = Part(
        "Redaction",
        f"One event of 1 MB with the preset `user_data: pseudonym`, and {USUAL:,} events of a usual day of the simulated tenant. "
        f"Processor time; the slowest of 1 MB in {ROUNDS} rounds, median and spread.",
        ("1 MB of", "s", "MB/s"),
    )
    events = {name: event_of(make(SIZE)) for name, make in EVENTS.items()}
    took: dict[str, tuple[float, ...]] = {name: (_seconds([event]),) for name, event in events.items()}
    slowest = max(took, key=lambda name: took[name])
    took[slowest] += tuple(_seconds([events[slowest]]) for _ in range(ROUNDS - 1))
    part.rows += [_row(name, took[name], len(event.body)) for name, event in events.items()]
    part.rows.append(_row(f"usual events, {characters / USUAL / 1000:.1f} kB each", (_seconds(usual),), characters))
    say("redaction is measured")
    part.targets.append(at_most(Figure(f"redaction of 1 MB, the slowest ({slowest})", took[slowest], "s"), LONGEST))
    return [part]


def _seconds(events: list[LogEvent]) -> float:
    redaction, began = Redaction(RULES, b"k" * 32), time.process_time()
    for event in events:
        redaction.body(event)
    return time.process_time() - began


def _row(name: str, took: tuple[float, ...], size: int) -> tuple[str, ...]:
    return name, str(Figure("", took)), str(Figure("", tuple(size / 1e6 / seconds for seconds in took)))
