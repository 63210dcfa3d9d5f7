"""Auth0's log types: what each code means, and its level.

The table is ``log_types.json`` beside this file. ``source`` says where a level comes from: ``webtask`` (the 37 levels of
auth0-auth-api-hooks, unchanged), ``log-extension-tools``, ``auth0-docs`` or ``inferred`` from the description.
"""

from __future__ import annotations

import difflib
import functools
import json
from pathlib import Path
from typing import NamedTuple

from auth0_webhooks.wording import did_you_mean

LEVELS = ("debug", "info", "warning", "error", "critical")
"""Names of the levels 0 to 4, in this order."""


class LogType(NamedTuple):
    """One row of the table. ``level`` is 0 (debug) to 4 (critical)."""

    code: str
    description: str
    level: int
    category: str
    source: str


@functools.cache
def log_types() -> dict[str, LogType]:
    """All known log types by code, in the order of their codes."""
    rows = json.loads(Path(__file__).with_name("log_types.json").read_text(encoding="utf-8"))
    return {code: LogType(code, row["description"], row["level"], row["category"], row["source"]) for code, row in rows.items()}


@functools.cache
def levels() -> dict[str, int]:
    """The level of each known log type."""
    return {code: log_type.level for code, log_type in log_types().items()}


def types_of(category: str) -> list[str]:
    """The log types in one of Auth0's categories, such as ``auth.login.fail``; ``auth.login`` includes all categories below it.

    :raises ValueError: when there is no such category.
    """
    found = [code for code, kind in log_types().items() if f"{kind.category}.".startswith(f"{category}.")]
    if not found:
        known = ", ".join(sorted({kind.category for kind in log_types().values()}))
        raise ValueError(f"there is no category {category!r}{did_you_mean(category, categories())}; there are {known}")
    return found


def categories() -> list[str]:
    """Every name that :func:`types_of` accepts: the categories, and those that include others."""
    names = set()
    for kind in log_types().values():
        parts = kind.category.split(".")
        names |= {".".join(parts[: count + 1]) for count in range(len(parts))}
    return sorted(names)


def parse_level(value: object) -> int:
    """Turn ``3``, ``"3"`` or ``"error"`` into 3.

    :raises ValueError: for anything that is not a level.
    """
    if isinstance(value, str):
        text = value.strip().lower()
        if text in LEVELS:
            return LEVELS.index(text)
        if text.isascii() and text.isdigit():
            value = int(text)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(LEVELS):
        return value
    meant = did_you_mean(value, LEVELS) if isinstance(value, str) else ""
    raise ValueError(f"expected 0 to 4 or one of {', '.join(LEVELS)}{meant}")


def unknown_type_warning(code: str) -> str | None:
    """The warning for a setting that names ``code``, or None if the table has that code."""
    if code in log_types():
        return None
    close = difflib.get_close_matches(code.lower(), log_types(), n=1, cutoff=0.5)
    hint = f"; the closest known one is {close[0]!r} ({log_types()[close[0]].description})" if close else ""
    return f"log type {code!r} is not in the table of known types{hint}; it is used as written"


def as_markdown() -> str:
    """The table for ``docs/log-types.md``."""
    rows = [
        f"| `{kind.code}` | {kind.level} {LEVELS[kind.level]} | {kind.description} | {kind.category} | {kind.source} |"
        for kind in log_types().values()
    ]
    head = [
        "# Log types",
        "",
        f"The {len(rows)} known types, from `plugins/auth0_webhooks/filtering/log_types.json` (`make docs` writes this page).",
        "A level comes from the webtask, Auth0's log-extension-tools or Auth0's docs, or is inferred from the description.",
        "Auth0 adds types often: one that is not here passes every level, and the report counts it. The category is the",
        "one in Auth0's catalogue of log types; a route's `include_types` takes it.",
        "",
        "| type | level | description | category | level from |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows])


if __name__ == "__main__":
    print(as_markdown())
