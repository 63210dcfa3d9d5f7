"""Masks the user data in a log event, for places where people see it."""

from __future__ import annotations

import json
import re
from typing import Any

SHOWN = frozenset(
    {
        "log_id", "_id", "date", "type", "connection", "connection_id", "client_id", "client_name", "strategy", "strategy_type",
        "hostname", "isMobile", "is_mobile", "environment_name", "tenant_name",
    }
)  # fmt: skip
"""Top-level keys of an event whose values say nothing about the user. Of all others only the structure is shown."""
MASK = "***"


def masked(body: str) -> str | None:
    """The event's JSON, indented, every value masked but those of ``SHOWN``; None where it cannot be shown.

    Of a nested object, only keys that look like identifiers are shown, and nothing below them: keys can be user data, too
    (in a profile or a form).
    """
    try:
        # Numbers are never shown, and Python refuses some that JSON allows.
        event = json.loads(body, parse_int=len, parse_float=len)
        shown = {key: value if key in SHOWN and isinstance(value, str | bool) else _shape(value) for key, value in event.items()}
        return json.dumps(shown, indent=2)
    except (ValueError, AttributeError, RecursionError):
        return None


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key if re.fullmatch(r"[A-Za-z_]{1,40}", key) else MASK: MASK for key in value}
    if isinstance(value, list):
        return [MASK] if value else []
    # A pseudonym does not reveal the user, and a route with pseudonyms sends it anyway.
    return value if isinstance(value, str) and re.fullmatch(r"psn_[0-9a-f]{32}", value) else MASK
