"""Log events as Auth0's Management API answers them, of any type, made from their shapes.

Each type has a few variants, built when first needed: the JSON text of an event with gaps for what differs in each event
(ids, dates, users, addresses). An event is a variant with its gaps filled, which costs microseconds, whatever its size.
The same number gives the same event.
"""

from __future__ import annotations

import functools
import json
import random
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from simulation.event_shapes import PUBLISHED, shape
from simulation.event_values import Values
from simulation.management_calls import management_call

VARIANTS = 8

_NAMES = tuple(
    (json.dumps(name)[1:-1], quote(name))
    for name in ("ada", "grace", "edsger", "barbara", "alan", "linus", "zoë", "josé", "李雷")
)
_FAMILIES = ("Lovelace", "Hopper", "Dijkstra", "Liskov", "Turing", "Johnson", "Torvalds", "Hamilton")
_CLIENTS = (
    ("Shop", "aaiBEsqSYMhkTTcVYqgQhHSXoTnaRFYT"),
    ("Back office", "Zk3vTq9xYpL2mN8sRw5uJc7hBd1fGa4e"),
    ("iPhone app", "u8QhW2eRt5yUi7oPa3sDf6gHj9kLz1xC"),
)
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile Safari",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
)
_PLACES = tuple(
    json.dumps(dict(zip(("country_code", "country_code3", "country_name", "city_name", "latitude", "longitude", "time_zone",
                         "continent_code"), place, strict=True)))
    for place in (
        ("NL", "NLD", "Netherlands", "Utrecht", 52.09, 5.1, "Europe/Amsterdam", "EU"),
        ("US", "USA", "United States", "Chicago", 41.88, -87.63, "America/Chicago", "NA"),
        ("JP", "JPN", "Japan", "Osaka", 34.69, 135.5, "Asia/Tokyo", "AS"),
    )
)  # fmt: skip
_FAILURES = ("Wrong email or password.", "No message could be sent to ~user~.", "The token is expired or was revoked.")
_LOGINS = {"f", "fp", "fu"}
_CALLS = {"sapi", "fapi", "mgmt_api_read"}

PERSONAL = (
    *("user", "user_in_url", "username", "new_username", "given", "family"),
    *("user_id", "identity", "phone", "session", "ip", "agent"),
)
"""The gaps that are filled with a user's data."""
# The gaps: ~name~ in a text, "~#name~" for a number or an object.
_GAP = re.compile(r'"~#(\w+)~"|~(\w+)~')


def filling(log_id: str, date: str, log_type: str, number: int) -> dict[str, Any]:
    """What the gaps of an event are filled with, as it stands in JSON."""
    chance = random.Random(number)
    digits = f"{chance.getrandbits(512):0128x}"
    given, in_url = chance.choice(_NAMES)
    family = chance.choice(_FAMILIES)
    client, client_id = chance.choice(_CLIENTS)
    identity, agent = digits[:24], int(digits[126], 16) % 3
    return {
        "log_id": log_id, "date": date, "type": log_type, "number": int(digits[24:28], 16) % 5000,
        "millis": 1700000000000 + number, "small": int(digits[122:124], 16), "token": digits[68:90], "trace": digits[90:122],
        "user": f"{given}.{number}@example.com", "user_in_url": f"{in_url}.{number}%40example.com",
        "given": given, "family": family, "username": f"{family.lower()}_{number}", "new_username": f"{number}{family.lower()}",
        "user_id": f"auth0|{identity}", "identity": identity, "session": digits[28:68],
        "phone": f"+316{chance.randrange(10_000_000, 99_999_999)}", "ip": f"203.0.113.{int(digits[124:126], 16)}",
        "agent": _AGENTS[agent], "mobile": "true" if agent == 1 else "false",
        "client_name": client, "client_id": client_id, "place": _PLACES[int(digits[127], 16) % 3],
        "variant": chance.randrange(VARIANTS),
    }  # fmt: skip


def event_text(log_id: str, date: str, log_type: str, number: int) -> str:
    """One event's JSON; ``number`` decides its user, its variant and all else."""
    filled = filling(log_id, date, log_type, number)
    return _variant(log_type, filled["variant"]) % filled


def make_event(log_id: str, date: str, log_type: str, number: int, **more: Any) -> dict[str, Any]:
    """One event, with ``more`` fields in place of its own."""
    event: dict[str, Any] = json.loads(event_text(log_id, date, log_type, number))
    return {**event, **more}


def one_of_each(number: int = 0) -> Iterator[dict[str, Any]]:
    """An event of each published type; another ``number`` gives others."""
    for place, log_type in enumerate(PUBLISHED):
        at = number * len(PUBLISHED) + place
        yield make_event(f"90020261122211411176{at:036d}", "2026-11-22T21:14:11.176Z", log_type, at)


@functools.cache
def _variant(log_type: str, variant: int) -> str:
    """A template for ``%``; the first one has every field that the type may have."""
    chance = random.Random(f"{log_type} {variant}")
    kinds = {key: kind for key, kind in shape(log_type).items() if key != "is_mobile?"}
    event = Values(chance, complete=variant == 0).fields(kinds)
    # The API spells one field otherwise than the schemas, and adds three.
    event |= {"type": "~type~", "log_id": "~log_id~", "_id": "~log_id~", "isMobile": "~#mobile~", "location_info": "~#place~"}
    failed = log_type.startswith("f") or "fail" in log_type
    event |= {"date": "~date~", "$event_schema": {"version": "1.0.0"}, "description": "~failure~" if failed else ""}
    if log_type in _CALLS:
        event["details"] = management_call(log_type, chance)
    failure = _FAILURES[0] if log_type in _LOGINS else chance.choice(_FAILURES)
    text = json.dumps(event).replace("%", "%%").replace("~failure~", failure)
    return _GAP.sub(lambda gap: f"%({gap[1] or gap[2]})s", text)
