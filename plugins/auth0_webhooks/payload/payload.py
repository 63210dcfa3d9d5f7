"""What one POST carries: an event, or a batch of them as a JSON array or as JSON lines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from auth0_webhooks.model.checkpoint import MAX_ACKNOWLEDGED
from auth0_webhooks.model.deep_json import is_deep
from auth0_webhooks.model.events import LogEvent
from auth0_webhooks.payload.envelope import NO_ENVELOPE, Envelope

Form = Literal["event", "array", "lines"]

MOST_EVENTS = 500
"""Events in one POST at the most; also how many may be under way, or remembered beyond the first missing one, in batches."""


class Message(NamedTuple):
    """One POST. ``id`` is its ``webhook-id``, the same on every try; ``what`` names it in an error, without its content."""

    id: str
    body: str
    log_ids: tuple[str, ...]

    @property
    def deep(self) -> bool:
        """Whether it is one event, nested more deeply than every webhook's parser takes."""
        return len(self.log_ids) == 1 and is_deep(self.body)

    @property
    def what(self) -> str:
        """The event, or the batch, in words."""
        if len(self.log_ids) == 1:
            return f"event {self.log_ids[0]}"
        return f"batch of {len(self.log_ids)} events, {self.log_ids[0]} to {self.log_ids[-1]}"


@dataclass(frozen=True)
class Payload:
    """How a route's events are put into POSTs.

    :param max_events: in one POST, 1 to ``MOST_EVENTS``; does not count for single events.
    :param max_bytes: of one POST's body before compression; a single event may be larger.
    :param envelope: what each event is wrapped in.
    """

    form: Form = "event"
    max_events: int = 100
    max_bytes: int = 1_000_000
    envelope: Envelope = NO_ENVELOPE

    @property
    def most_outstanding(self) -> int:
        """How many events may be under way, or acknowledged beyond the first one that is missing."""
        return MAX_ACKNOWLEDGED if self.form == "event" else MOST_EVENTS

    @property
    def content_type(self) -> str:
        """The media type of a POST's body."""
        if self.form == "lines":
            return "application/x-ndjson"
        if self.envelope.kind == "cloudevents":
            return f"application/cloudevents{'-batch' if self.form == 'array' else ''}+json"
        return "application/json"

    def groups(self, events: Sequence[LogEvent]) -> list[int]:
        """Where the POST that each event belongs to ends, as an index into ``events``.

        It depends on the events alone, not on which of them are done, so that a later try makes the same POSTs.
        """
        if self.form == "event":
            return list(range(1, len(events) + 1))
        ends: list[int] = []
        start, size, alone = 0, 0, False
        for index, event in enumerate(events):
            more = self.envelope.size(event) + 1
            # A parser that breaks over one event would break over all that is with it.
            alone, before = is_deep(event.body), alone
            full = index - start >= self.max_events or size + more >= self.max_bytes
            if index > start and (full or alone or before):
                ends += [index] * (index - start)
                start, size = index, 0
            size += more
        return ends + [len(events)] * (len(events) - start)

    def message(self, events: Sequence[LogEvent]) -> Message:
        """The POST of these events."""
        log_ids = tuple(event.log_id for event in events)
        if self.form == "event":
            return Message(log_ids[0], self.envelope.wrap(events[0]), log_ids)
        texts = [self.envelope.wrap(event) for event in events]
        if self.form == "lines":
            # A line break inside an event's JSON can only be a blank between its parts.
            body = "".join(text.replace("\r", " ").replace("\n", " ") + "\n" for text in texts)
        else:
            body = f"[{','.join(texts)}]"
        return Message(batch_id(log_ids), body, log_ids)


def batch_id(log_ids: Sequence[str]) -> str:
    """The ``webhook-id`` of a batch: its first log id, its count, and a digest of all its log ids."""
    digest = hashlib.sha256(",".join(log_ids).encode()).hexdigest()[:16]
    return f"{log_ids[0]}-{len(log_ids)}-{digest}"
