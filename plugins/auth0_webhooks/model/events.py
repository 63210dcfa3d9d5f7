"""Log events exactly as Auth0 sent them, and positions in the log."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any, NamedTuple

from auth0_webhooks.errors import TenantAnswerError
from auth0_webhooks.model.deep_json import read_object

# The text of an event is kept and POSTed unchanged; it is parsed only to find its end and three of its fields.
# Numbers stay text: a log may contain numbers that Python would round, refuse or turn into infinity.
_decoder = json.JSONDecoder(parse_int=str, parse_float=str)
_blank = re.compile(r"[ \t\r\n]*")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
LONGEST_WORD = 100
"""An event's date and type are cut to this many characters; Auth0's have at most 24."""


class Position(NamedTuple):
    """A position in the tenant's log: everything up to and including ``log_id`` is before it.

    ``log_id`` is None if only a time is known yet (an empty tenant). ``date`` is ISO 8601 as Auth0 wrote it.
    ``seen`` is true if the event of that id was read, false if someone chose the id as a position.
    """

    log_id: str | None
    date: str | None
    seen: bool = False


class LogEvent(NamedTuple):
    """One event of the tenant's log.

    ``body`` is the event's JSON text exactly as Auth0 sent it. ``previous`` is the position before this event (of the
    last event that was *read*, selected or not): where to continue if this event is the first undelivered one.
    """

    log_id: str
    date: str
    type: str
    body: str
    previous: Position

    @property
    def position(self) -> Position:
        """The position right after this event."""
        return Position(self.log_id, self.date, seen=True)


def log_id_order(log_id: str) -> tuple[int, str]:
    """Sort key of a log id: numeric order, without converting it to a number.

    Auth0 orders by log id so that late events are not skipped (Management API, "Retrieve log events"). Ids have 56
    digits today; if they grow, a longer one is later.
    """
    return len(log_id), log_id


def ingested(log_id: str) -> datetime | None:
    """When Auth0 ingested an event, according to its log id; None for an id in another format.

    The format is not documented, but every id seen since 2020 has it: ``900``, the UTC time to the millisecond, and a tail,
    56 digits in all.
    """
    try:
        if len(log_id) != 56 or not log_id.startswith("900"):
            return None
        date, at = (
            f"{log_id[3:7]}-{log_id[7:9]}-{log_id[9:11]}",
            f"{log_id[11:13]}:{log_id[13:15]}:{log_id[15:17]}.{log_id[17:20]}",
        )
        return datetime.fromisoformat(f"{date}T{at}+00:00")  # eight times as fast as strptime: fetch asks this of every event
    except ValueError:
        return None


def cursor_at(moment: datetime) -> str:
    """A synthetic log id before every event that Auth0 ingests from a time on: ``900``, the time, zeros.

    This is not documented, either; Elastic's Auth0 integration starts with such ids.
    """
    moment = moment.astimezone(timezone.utc)
    return f"900{moment:%Y%m%d%H%M%S}{moment.microsecond // 1000:03d}".ljust(56, "0")


def parse_page(text: str, *, previous: Position) -> list[LogEvent]:
    """Split one page of ``GET /api/v2/logs`` into events.

    :param text: the body of the answer: a JSON array of objects.
    :param previous: the position before this page.
    :raises TenantAnswerError: when the text is not such an array or an event has no usable id.
    """
    events: list[LogEvent] = []
    at = _skip_blank(text, 0)
    if text[at : at + 1] != "[":
        raise TenantAnswerError("the tenant's answer is not a JSON array of log events")
    at = _skip_blank(text, at + 1)
    while text[at : at + 1] != "]":
        start = at
        try:
            try:
                value, at = _decoder.raw_decode(text, at)
            except RecursionError:
                # Like any other event, the webhook may accept or refuse it: only its text is needed.
                value, at = read_object(text, start)
        except ValueError as error:
            # Do not repeat the decoder's whole message: it can quote the text.
            raise TenantAnswerError(
                f"the tenant's answer breaks off or is not JSON at character {getattr(error, 'pos', start)} "
                f"(event {len(events) + 1} of the page)"
            ) from None
        event = _event(value, text[start:at], previous, number=len(events) + 1)
        events.append(event)
        previous = event.position
        at = _skip_blank(text, at)
        if text[at : at + 1] == ",":
            at = _skip_blank(text, at + 1)
            if text[at : at + 1] != "]":
                continue
        elif text[at : at + 1] == "]":
            continue
        raise TenantAnswerError(f"the tenant's answer breaks off after event {len(events)} of the page")
    if _skip_blank(text, at + 1) != len(text):
        raise TenantAnswerError("the tenant's answer continues after the end of its array of log events")
    return events


def _event(value: Any, body: str, previous: Position, number: int) -> LogEvent:
    if not isinstance(value, dict):
        raise TenantAnswerError(f"event {number} of the page is not a JSON object")
    log_id = value.get("log_id", value.get("_id"))
    if not isinstance(log_id, str) or not log_id.isascii() or not log_id.isdigit():
        raise TenantAnswerError(f"event {number} of the page has no log_id made of digits")
    return LogEvent(log_id, _word(value.get("date")), _word(value.get("type")), body, previous)


def _word(value: Any) -> str:
    """A date or a type in a form that Airflow can store anywhere: short, without what PostgreSQL or UTF-8 refuse."""
    return _UNSTORABLE.sub("\ufffd", value[:LONGEST_WORD]) if isinstance(value, str) else ""


def _skip_blank(text: str, at: int) -> int:
    match = _blank.match(text, at)
    return match.end() if match else at
