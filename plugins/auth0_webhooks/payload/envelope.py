"""Envelopes around a log event: none, that of Standard Webhooks, a CloudEvent, or that of Auth0's log streams.

An envelope never changes the text of the event: its keys, their order and its values stay the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from auth0_webhooks.model.events import LogEvent, ingested
from auth0_webhooks.times import parse_time

Kind = Literal["none", "standard", "cloudevents", "log_stream"]

NO_TYPE = "unknown"
"""Replaces the log type of an event that has none."""


@dataclass(frozen=True)
class Envelope:
    """Wraps events.

    :param kind: ``standard`` is ``{type, timestamp, data}`` of Standard Webhooks 1.0.0 ("Payload structure");
        ``cloudevents`` is CloudEvents 1.0.2, JSON format, structured mode; ``log_stream`` is ``{log_id, data}``, as Auth0's
        custom log streams send it (elastic/integrations, packages/auth0, whose pipeline reads both fields).
    :param source: the ``source`` of a CloudEvent: the tenant's URL.
    """

    kind: Kind = "none"
    source: str = ""

    def wrap(self, event: LogEvent) -> str:
        """The event's JSON in its envelope."""
        if self.kind == "none":
            return event.body
        if self.kind == "log_stream":
            return f'{{"log_id": {json.dumps(event.log_id)}, "data": {event.body}}}'
        name = event_type(event.type)
        if self.kind == "standard":
            return f'{{"type": {json.dumps(name)}, "timestamp": {json.dumps(event.date or None)}, "data": {event.body}}}'
        from cloudevents.core.formats.json import JSONFormat
        from cloudevents.core.v1.event import CloudEvent

        attributes: dict[str, str | datetime] = {
            "specversion": "1.0",
            "id": event.log_id,
            "source": self.source,
            "type": f"com.{name}",
            "datacontenttype": "application/json",
        }
        if moment := _time(event):
            attributes["time"] = moment
        # Without its data: the library would serialize the event again, and change some numbers.
        head = JSONFormat().write(CloudEvent(attributes)).decode()
        if not moment:
            # The library would insert the current time, which would differ from try to try.
            head = json.dumps({key: value for key, value in json.loads(head).items() if key != "time"})
        return f'{head.removesuffix("}")}, "data": {event.body}}}'

    def size(self, event: LogEvent) -> int:
        """The most bytes that the event can need in its envelope, computed without wrapping it."""
        size = len(event.body.encode())
        if self.kind == "none":
            return size
        # Six bytes for a character that JSON escapes; the rest is for the attributes' names and punctuation.
        return size + 6 * len(event.type + event.date + self.source) + len(event.log_id) + 250


NO_ENVELOPE = Envelope()


def event_type(log_type: str) -> str:
    """The type's dotted name: ``auth0.log.`` and Auth0's code for it, as in ``auth0.log.limit_wc``."""
    return f"auth0.log.{log_type or NO_TYPE}"


def _time(event: LogEvent) -> datetime | None:
    try:
        return parse_time(event.date)
    except ValueError:
        return ingested(event.log_id)
