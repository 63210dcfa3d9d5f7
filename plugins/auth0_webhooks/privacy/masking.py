"""A log event with its user data masked, to be shown where people look."""

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
"""Keys at the top of an event whose values say nothing about the user. Of all others only the shape is shown."""
MASK = "***"


def masked(body: str) -> str | None:
    """The event's JSON, indented, every value masked but those of ``SHOWN``; None where it cannot be shown.

    Of an object inside, only the keys that look like a name in a program are shown, and nothing deeper: there, keys can be a
    user's data as well (a profile's, a form's).
    """
    try:
        # No number is shown, and Python refuses some that JSON allows.
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
    # A pseudonym tells nobody who it is, and is what a route with pseudonyms sends.
    return value if isinstance(value, str) and re.fullmatch(r"psn_[0-9a-f]{32}", value) else MASK
