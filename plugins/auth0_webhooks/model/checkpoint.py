"""The checkpoint: how far a route's work is done, as a text that people can read, seed and rewind."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auth0_webhooks.errors import SettingError
from auth0_webhooks.model.events import Position, log_id_order
from auth0_webhooks.times import iso, parse_time

MAX_ACKNOWLEDGED = 100
"""How many acknowledgements beyond the checkpoint are remembered with it: about 6 kB of ids. Batches have more, see payload."""


@dataclass(frozen=True)
class Hold:
    """The webhook asked not to be called before ``until`` (UTC); ``reason`` says how."""

    until: datetime
    reason: str


@dataclass(frozen=True)
class Checkpoint:
    """Everything up to ``position`` needs no more work, and neither do the events in ``acknowledged`` beyond it."""

    position: Position
    acknowledged: tuple[str, ...] = ()
    hold: Hold | None = None

    def dump(self, *, saved_by: str | None = None, saved_since: datetime | None = None, start_from: str | None = None) -> str:
        """The text that is stored: JSON, a key a line, under 8 kB; of a route with batches that has failed under 40 kB.

        :param saved_by: which try of which run stores it, for people.
        :param saved_since: when that try began, for :func:`saved_since`.
        :param start_from: the route's setting at this time, for :func:`stored_start_from`.
        """
        log_id, date, seen = self.position
        # saved_as tells a later edit of log_id apart: what was remembered counts only for the place it was written for.
        stored: dict[str, Any] = {"log_id": log_id, "date": date, "seen": seen, "saved_as": log_id}
        if self.hold:
            stored["hold_until"] = iso(self.hold.until)
            stored["hold_reason"] = self.hold.reason
        if self.acknowledged:
            stored["acknowledged"] = self.acknowledged
        if saved_by and saved_since:
            stored["saved_by"], stored["saved_since"] = saved_by, saved_since.isoformat()
        if start_from:
            stored["start_from"] = start_from
        return json.dumps(stored, indent=1)


def parse_checkpoint(text: str, *, key: str) -> Checkpoint:
    """Read a stored or hand-written checkpoint.

    Besides what :meth:`Checkpoint.dump` writes, a person may write just a log id, just a date-time, or JSON with one of
    the two. A log id given by hand is a position (``seen`` false): its event is never asked for.

    :param key: the Variable's name, for the error.
    :raises SettingError: when the text is none of these.
    """
    text = text.strip()
    try:
        # parse_int=str: a log id typed without quotes must not become a number.
        stored = json.loads(text, parse_int=str) if text.startswith(("{", '"')) else text
        if isinstance(stored, str):
            stored = {"log_id": stored} if stored.isdigit() else {"date": stored}
        log_id, date = stored.get("log_id"), stored.get("date")
        acknowledged = stored.get("acknowledged") or []
        if log_id is not None and not re.fullmatch(r"[0-9]+", log_id):
            raise ValueError("log_id is not made of digits")
        if log_id is None:
            date = iso(parse_time(date))
        if not all(isinstance(other, str) for other in acknowledged):
            raise ValueError("acknowledged is not a list of log ids")
        if stored.get("saved_as") != log_id:
            stored["seen"], acknowledged = False, []
        hold = None
        if stored.get("hold_until"):
            hold = Hold(parse_time(stored["hold_until"]), str(stored.get("hold_reason") or "set by hand"))
        return Checkpoint(Position(log_id, date, seen=stored.get("seen") is True), tuple(acknowledged), hold)
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingError(
            f"Variable {key!r} is not a checkpoint ({error}): set it to a log id, to a date-time such as "
            '2026-11-22T10:00:00Z, or to {"log_id": "...", "date": "..."}, under Admin > Variables or with '
            f"'airflow variables set {key} ...'; delete it to start anew as the route's start_from says"
        ) from None


def saved_since(text: str | None) -> datetime | None:
    """When the try began that stored this text; None where a person has written it, or has changed it since."""
    try:
        stored = json.loads(text or "", parse_int=str)
        return parse_time(stored["saved_since"]) if stored["saved_as"] == stored["log_id"] else None
    except (ValueError, TypeError, KeyError):
        return None


def stored_start_from(text: str | None) -> str | None:
    """The route's ``start_from`` when this text was stored; None where that is not known."""
    try:
        value = json.loads(text or "", parse_int=str)["start_from"]
    except (ValueError, TypeError, KeyError):
        return None
    return value if isinstance(value, str) else None


def before(one: Position, other: Position) -> bool:
    """Whether ``one`` lies before ``other`` in the log. Without both ids their times are compared."""
    if one.log_id is not None and other.log_id is not None:
        return log_id_order(one.log_id) < log_id_order(other.log_id)
    if one.log_id is None and other.log_id is None:
        return _time(one) < _time(other)
    # An id carries the time of ingestion, a bare time comes from start_from: only that start has no id,
    # and every id read from there lies after it.
    return one.log_id is None


def time_order(position: Position) -> tuple[datetime, tuple[int, str]]:
    """Sort key of a place in a window, which goes by date first; a place without an id lies before all of its moment."""
    return _time(position), log_id_order(position.log_id or "")


def before_in_time(one: Position, other: Position) -> bool:
    """Whether ``one`` lies before ``other`` in a window."""
    return time_order(one) < time_order(other)


def _time(position: Position) -> datetime:
    return parse_time(position.date)
