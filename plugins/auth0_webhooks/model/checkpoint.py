"""The checkpoint: how far a route's work is done, as a text that people can read, seed and rewind."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

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


class Writer(NamedTuple):
    """Which save of which try wrote a checkpoint. The later of two is the greater: ``since`` orders tries, ``save`` their saves.

    :param since: when the try began (UTC), and always after every try whose checkpoint it found.
    :param save: the number of the save within the try, from 1.
    :param by: the run and the try, for people.
    """

    since: datetime
    save: int
    by: str


@dataclass(frozen=True)
class Checkpoint:
    """Everything up to ``position`` is done, and so are the events in ``acknowledged`` beyond it."""

    position: Position
    acknowledged: tuple[str, ...] = ()
    hold: Hold | None = None

    def dump(self, writer: Writer | None = None, *, start_from: str | None = None, closed: bool = False) -> str:
        """The text that is stored: JSON, a key a line, under 8 kB; of a route with batches that has failed under 40 kB.

        :param writer: who stores it, for :func:`writer_of`.
        :param start_from: the route's setting at this time, for :func:`stored_start_from`.
        :param closed: whether this is the last save of its try, for a :class:`Record`.
        """
        log_id, date, seen = self.position
        # saved_as tells a later edit of log_id apart: what was remembered counts only for the place it was written for.
        stored: dict[str, Any] = {"log_id": log_id, "date": date, "seen": seen, "saved_as": log_id}
        if self.hold:
            stored["hold_until"] = iso(self.hold.until)
            stored["hold_reason"] = self.hold.reason
        if self.acknowledged:
            stored["acknowledged"] = self.acknowledged
        if start_from:
            stored["start_from"] = start_from
        if closed:
            stored["closed"] = True
        if writer:
            stored |= {"saved_by": writer.by, "saved_since": writer.since.isoformat(), "save": writer.save}
            stored["sum"] = _sum(stored)
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
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise SettingError(
            f"Variable {key!r} is not a checkpoint ({error}): set it to a log id, to a date-time such as "
            '2026-11-22T10:00:00Z, or to {"log_id": "...", "date": "..."}, under Admin > Variables or with '
            f"'airflow variables set {key} ...'; delete it to start again as the route's start_from says"
        ) from None


def writer_of(text: str | None) -> Writer | None:
    """Who stored this text; None if a person wrote or changed it, or a version without ``sum`` did."""
    try:
        stored = json.loads(text or "")
        if stored["sum"] != _sum(stored):
            return None
        return Writer(parse_time(stored["saved_since"]), int(stored["save"]), str(stored["saved_by"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


class Record(NamedTuple):
    """A checkpoint of the last try that took over, by which an older try's is known. ``closed``: that try saves no more."""

    checkpoint: Checkpoint
    writer: Writer
    closed: bool

    def supersedes(self, text: str | None) -> bool:
        """Whether an older save has left this checkpoint. A checkpoint without a writer was set by a person and always counts."""
        writer = writer_of(text)
        return writer is not None and writer[:2] < self.writer[:2]


def parse_record(text: str | None, *, key: str) -> Record | None:
    """Read what the Variable ``key`` holds; None if there is none, or if a person or another version wrote it.

    Without a record the stored checkpoint counts. It may be old, so events may be repeated, but none is lost.
    """
    writer = writer_of(text)
    if text is None or writer is None:
        return None
    try:
        return Record(parse_checkpoint(text, key=key), writer, closed=json.loads(text).get("closed") is True)
    except (SettingError, OverflowError):
        return None


def _sum(stored: dict[str, Any]) -> str:
    """A digest of all other keys, by which a change by hand shows. Spaces and the order of keys do not count."""
    content = {key: value for key, value in stored.items() if key != "sum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def stored_start_from(text: str | None) -> str | None:
    """The route's ``start_from`` when this text was stored; None if that is unknown."""
    try:
        value = json.loads(text or "", parse_int=str)["start_from"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return value if isinstance(value, str) else None


def before(one: Position, other: Position) -> bool:
    """Whether ``one`` is before ``other`` in the log. Without both ids their times are compared."""
    if one.log_id is not None and other.log_id is not None:
        return log_id_order(one.log_id) < log_id_order(other.log_id)
    if one.log_id is None and other.log_id is None:
        return _time(one) < _time(other)
    # An id carries the time of ingestion, a bare time comes from start_from: only that start has no id,
    # and every id read from there is after it.
    return one.log_id is None


def time_order(position: Position) -> tuple[datetime, tuple[int, str]]:
    """Sort key of a place in a window, which goes by date first; a position without an id comes before all events of its time."""
    return _time(position), log_id_order(position.log_id or "")


def before_in_time(one: Position, other: Position) -> bool:
    """Whether ``one`` is before ``other`` in a window."""
    return time_order(one) < time_order(other)


def _time(position: Position) -> datetime:
    return parse_time(position.date)
