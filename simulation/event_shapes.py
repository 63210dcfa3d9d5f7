"""The fields of Auth0's log events, by type: which there are, which are always there, and of which kind their values are.

The facts are in ``event_shapes.json``, taken from the schemas that Auth0 publishes of its log types (auth0/auth0-log-schemas on
GitHub, July 2026), and written down in this notation:

- ``string``, ``number``, ``boolean``, ``null``, ``object`` (any), ``any``; ``ip``: an address; ``time``: an ISO 8601 time;
  ``hex32``, ``token27`` and ``cns22``: texts of that form and length; ``a|b``: either; ``=a b c``: one of these words;
  ``@x``: the part of that name.
- ``{"field": kind, "field?": kind}``: an object, a question mark after what may be missing; ``{"*": kind}``: any fields.
- ``[kind]``: a list of any length; ``["|", kind, kind]``: either.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

TABLE: dict[str, Any] = json.loads(Path(__file__).with_name("event_shapes.json").read_text(encoding="utf-8"))

# What a type has of which Auth0 publishes no schema: the fields of a login, and details of a request.
_COMMON = (
    "auth0_client? client_id? client_name? connection? connection_id? hostname? identity_user_id? ip? organization_id? "
    "organization_name? security_context? strategy? strategy_type? user_id? user_name?"
)
_COMMON_DETAILS = {"request": "@endpoint", "response": {"statusCode": "number"}, "session_id?": "string", "error?": "@message"}
# Without a schema, yet of a known shape: the same call as ``sapi``, refused.
_LIKE = {"fapi": "sapi"}


def _by_type(rows: list[list[Any]]) -> dict[str, list[Any]]:
    return {log_type: row[:-1] for row in rows for log_type in row[-1].split()}


_FIELDS, _DETAILS = _by_type(TABLE["fields"]), _by_type(TABLE["details"])
PUBLISHED = tuple(sorted(_FIELDS))


@functools.cache
def shape(log_type: str) -> dict[str, Any]:
    """The kinds of an event's fields, in the notation above; of a type without a schema, a common shape."""
    log_type = _LIKE.get(log_type, log_type)
    fields, details = _FIELDS.get(log_type, [_COMMON])[0], _DETAILS.get(log_type)
    if log_type not in _FIELDS:
        details = ["details", _COMMON_DETAILS]
    kinds = {name: TABLE["kinds"][name.rstrip("?")] for name in f"{TABLE['every']} {fields}".split() if name != "type"}
    return {"type": "string", **kinds, **({details[0]: details[1]} if details else {})}


def part(kind: str) -> Any:
    """What ``@x`` stands for."""
    return TABLE["parts"][kind.removeprefix("@")]
