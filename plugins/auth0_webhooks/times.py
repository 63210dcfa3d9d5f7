"""Parses and formats times."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any


def parse_time(value: Any, *, zone_required: bool = False) -> datetime:
    """Read an ISO 8601 date-time; without a time zone it is UTC, unless ``zone_required``.

    :raises ValueError: when it is not one.
    """
    if isinstance(value, datetime):
        moment = value
    else:
        try:
            # Python 3.10 parses neither "Z" nor every number of decimals.
            text = re.sub(r"\.(\d+)", lambda match: "." + match[1][:6].ljust(6, "0"), value.strip())
            moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
        except (AttributeError, TypeError, ValueError):
            raise ValueError("not a date-time such as 2026-11-22T10:00:00Z") from None
    if zone_required and moment.tzinfo is None:
        raise ValueError("without a time zone: write 2026-11-22T10:00:00Z for UTC, or +01:00 at the end")
    try:
        return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
    except OverflowError:
        raise ValueError("a time outside the years 1 to 9999") from None


def iso(moment: datetime) -> str:
    """A UTC time the way Auth0 writes it: ``2026-11-22T10:00:00.000Z``."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_retry_after(value: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header (RFC 9110, 10.2.3: seconds or an HTTP date), None if absent or unreadable."""
    if not value:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:12])
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
