"""The simulated tenant's events have the shapes that Auth0 publishes of its log types."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from simulation.event_shapes import PUBLISHED, TABLE, part, shape
from simulation.events import event_text, make_event, one_of_each
from tests.conftest import PROJECT

ROUNDS = 10
# What the Management API adds to the published fields, or spells otherwise.
ANSWERED = {"_id", "isMobile", "location_info"}
FORMS = {"hex32": r"[a-f0-9]{32}", "token27": r"[A-Za-z0-9_-]{27}", "cns22": r"cns_[A-Za-z0-9_-]{22}"}
TYPES: dict[str, Any] = {
    "string": str, "number": (int, float), "boolean": bool, "null": type(None), "object": dict, "any": object,
}  # fmt: skip
SCHEMAS = os.environ.get("AUTH0_LOG_SCHEMAS", "")
WITHOUT = "AUTH0_LOG_SCHEMAS names no checkout of auth0/auth0-log-schemas"


def is_text(kind: str, text: str) -> bool:
    """Whether a text is of one of the table's kinds of texts."""
    if kind == "ip":
        return ip_address(text) is not None
    if kind == "time":
        return datetime.fromisoformat(text.replace("Z", "+00:00")).tzinfo is not None
    return re.fullmatch(FORMS[kind], text) is not None


def is_of(kind: str, value: Any) -> bool:
    """Whether a value is of a plain kind of the table."""
    if kind.startswith("@"):
        return not wrong(part(kind), value)
    if kind.startswith("="):
        return value in kind[1:].split()
    if kind in {"ip", "time", *FORMS}:
        return isinstance(value, str) and is_text(kind, value)
    return isinstance(value, TYPES[kind]) and (kind != "number" or not isinstance(value, bool))


def wrong(kind: Any, value: Any, where: str = "event") -> list[str]:
    """What of a value is not as the table has it."""
    if isinstance(kind, dict):
        return wrong_fields(kind, value, where)
    if isinstance(kind, list) and kind[0] != "|":
        if not isinstance(value, list):
            return [f"{where} is no list: {value!r}"]
        return [problem for item in value for problem in wrong(kind[0], item, f"{where}[]")]
    if isinstance(kind, list):
        return [] if any(not wrong(one, value) for one in kind[1:]) else [f"{where} is none of {kind}: {value!r}"]
    kinds = [kind] if kind.startswith("=") else kind.split("|")
    return [] if any(is_of(one, value) for one in kinds) else [f"{where} is no {kind}: {value!r}"]


def wrong_fields(kinds: dict[str, Any], value: Any, where: str) -> list[str]:
    """What of an object's fields is not as the table has it."""
    if not isinstance(value, dict):
        return [f"{where} is no object: {value!r}"]
    if "*" in kinds:
        return [problem for key, item in value.items() for problem in wrong(kinds["*"], item, f"{where}.{key}")]
    problems = [f"{where}.{key} is missing" for key in kinds if not key.endswith("?") and key not in value]
    for key, item in value.items():
        if key in kinds or f"{key}?" in kinds:
            problems += wrong(kinds.get(key, kinds.get(f"{key}?")), item, f"{where}.{key}")
        elif not (where == "event" and key in ANSWERED):
            problems.append(f"{where}.{key} is not in the table")
    return problems


def never_made(kind: Any, values: list[Any], where: str) -> list[str]:
    """Fields of a kind that none of these values has."""
    if isinstance(kind, str) and "@" in kind:
        return never_made(part(next(one for one in kind.split("|") if "@" in one)), values, where)
    if isinstance(kind, list) and kind[0] == "|":
        chosen = [(one, [value for value in values if not wrong(one, value)]) for one in kind[1:]]
        return [problem for one, those in chosen for problem in never_made(one, those, where)]
    if isinstance(kind, list):
        return never_made(kind[0], [item for value in values if isinstance(value, list) for item in value], f"{where}[]")
    if not isinstance(kind, dict) or "*" in kind:
        return []
    problems = []
    for key, of in kind.items():
        name = key.rstrip("?")
        inside = [value[name] for value in values if isinstance(value, dict) and name in value]
        # The API spells it otherwise; and an actor's actor's actor may have none.
        if not inside and name not in {"is_mobile", "act"}:
            problems.append(f"{where}.{name}")
        problems += never_made(of, inside, f"{where}.{name}") if inside else []
    return problems


def test_every_published_type_has_a_shape_in_the_table():
    assert len(PUBLISHED) == 166
    assert {"s", "fp", "sapi", "gd_send_sms", "ss_sso_failure"} < set(PUBLISHED)


def test_every_field_in_the_table_has_a_kind():
    named = {name.rstrip("?") for fields, _ in TABLE["fields"] for name in fields.split()}
    assert named <= set(TABLE["kinds"])


@pytest.mark.parametrize("number", range(ROUNDS))
def test_events_of_every_published_type_are_as_the_table_has_them(number):
    events = list(one_of_each(number))
    assert [event["type"] for event in events] == list(PUBLISHED)
    assert [problem for event in events for problem in wrong(shape(event["type"]), event, "event")] == []


@pytest.mark.parametrize(
    ("log_type", "change", "problem"),
    [
        ("s", {"tenant_name": 5}, "event.tenant_name is no string: 5"),
        ("s", {"isMobile": True, "connection": None}, "event.connection is no string: None"),
        ("s", {"surplus": 1}, "event.surplus is not in the table"),
        ("fp", {"details": {}}, "event.details.error is missing"),
        ("sapi", {"details": {"request": [], "response": {}}}, "event.details.request is no object: []"),
        ("passkey_challenge_failed", {"details": {"purpose": "guess"}}, "event.details.purpose is no =register login: 'guess'"),
    ],
)
def test_an_event_that_is_not_as_the_table_has_it_is_found_out(log_type, change, problem):
    event = make_event("900", "2026-11-22T21:14:11.176Z", log_type, 1, **change)
    assert wrong(shape(log_type), event) == [problem]


def published_schemas() -> dict[str, Any]:
    folder = Path(SCHEMAS) / "schemas" / "log-types"
    return {file.name.removesuffix(".schema.json"): json.loads(file.read_text("utf-8")) for file in folder.glob("*.schema.json")}


@pytest.mark.skipif(not SCHEMAS, reason=WITHOUT)
def test_events_are_valid_by_the_published_schemas():
    from jsonschema import Draft7Validator

    schemas = published_schemas()
    assert set(schemas) == set(PUBLISHED)
    check = {name: Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER) for name, schema in schemas.items()}
    problems = [
        f"{event['type']} {'.'.join(map(str, problem.path))}: {problem.message[:200]}"
        for number in range(ROUNDS)
        for event in one_of_each(number)
        for problem in check[event["type"]].iter_errors(event)
    ]
    assert problems == []


@pytest.mark.parametrize("log_type", ["fapi", "brand_new_type", "admin_update_launch"])
def test_a_type_without_a_schema_has_the_common_fields(log_type):
    event = make_event("900", "2026-11-22T21:14:11.176Z", log_type, 7)
    assert event["type"] == log_type
    assert wrong(shape(log_type), event) == []
    assert {"tenant_name", "environment_name", "details"} < set(event)


def test_an_event_is_as_the_management_api_answers_it():
    event = make_event("900", "2026-11-22T21:14:11.176Z", "s", 3)
    assert (event["log_id"], event["_id"], event["date"]) == ("900", "900", "2026-11-22T21:14:11.176Z")
    assert isinstance(event["isMobile"], bool)
    assert "is_mobile" not in event


@pytest.mark.parametrize("log_type", ["sapi", "mgmt_api_read"])
def test_a_call_of_the_management_api_takes_5_to_20_kb(log_type):
    sizes = [len(event_text("9" * 56, "2026-11-22T21:14:11.176Z", log_type, number)) for number in range(200)]
    assert 5_000 <= min(sizes) <= max(sizes) <= 20_000


def test_a_call_of_the_management_api_names_a_hundred_scopes():
    event = make_event("900", "2026-11-22T21:14:11.176Z", "sapi", 3)
    assert len(event["details"]["request"]["auth"]["credentials"]["scopes"]) >= 100


def test_the_same_number_gives_the_same_event():
    assert list(one_of_each(4)) == list(one_of_each(4))
    assert [event["log_id"] for event in one_of_each(4)] != [event["log_id"] for event in one_of_each(5)]


def test_every_field_of_every_type_is_made():
    made: dict[str, list[Any]] = {log_type: [] for log_type in PUBLISHED}
    for number in range(40):
        for event in one_of_each(number):
            made[event["type"]].append(event)
    assert [problem for log_type, events in made.items() for problem in never_made(shape(log_type), events, log_type)] == []


def test_the_event_that_the_readme_shows_has_fields_of_its_type():
    (body,) = re.findall(
        r"^POST .*?\n\n(\{.*?^\})$", (PROJECT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    event = json.loads(body)
    assert [problem for problem in wrong(shape(event["type"]), event) if not problem.endswith(" is missing")] == []


def published_fields(schema: Any, where: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Each field of a published schema, by its path, and whether it has to be there."""
    for key, inside in schema.get("properties", {}).items():
        yield (*where, key), key in schema.get("required", ())
        yield from published_fields(inside, (*where, key))
    for choice in (*schema.get("anyOf", ()), *schema.get("allOf", ()), *schema.get("oneOf", ())):
        yield from published_fields(choice, where)
    if isinstance(schema.get("items"), dict):
        yield from published_fields(schema["items"], where)


def table_fields(kind: Any, where: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], bool]]:
    """The same of the table; actors as deep as the schemas have them."""
    if isinstance(kind, str):
        for one in kind.split("|"):
            if one.startswith("@") and where.count("act") < 5:
                yield from table_fields(part(one), where)
    elif isinstance(kind, list):
        for one in kind[1:] if kind[0] == "|" else kind:
            yield from table_fields(one, where)
    elif "*" not in kind:
        for key, inside in kind.items():
            if where.count("act") < 4 or key != "act?":
                path = (*where, key.rstrip("?"))
                yield path, not key.endswith("?")
                yield from table_fields(inside, path)


@pytest.mark.skipif(not SCHEMAS, reason=WITHOUT)
def test_the_table_has_the_fields_of_the_published_schemas():
    differ = []
    for log_type, schema in published_schemas().items():
        ours, theirs = set(table_fields(shape(log_type))), set(published_fields(schema))
        differ += [(log_type, *field) for field in sorted(ours ^ theirs) if field[0] != ("type",)]
    assert differ == []
