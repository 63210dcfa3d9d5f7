"""What one POST carries: an event, or a batch of them as a JSON array or as JSON lines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from auth0_webhooks.model.checkpoint import MAX_ACKNOWLEDGED
from auth0_webhooks.model.deep_json import is_deep
from auth0_webhooks.model.events import LogEvent
from auth0_webhooks.payload.body import Body
from auth0_webhooks.payload.envelope import NO_ENVELOPE, Envelope

Form = Literal["event", "array", "lines"]

MOST_EVENTS = 500
"""The most events in one POST; with batches, also the most that may be in flight, or remembered beyond the first missing one."""


class Message(NamedTuple):
    """One POST. ``id`` is its ``webhook-id``, the same on every try; ``what`` names it in errors, without its content."""

    id: str
    body: str
    log_ids: tuple[str, ...]

    @property
    def deep(self) -> bool:
        """Whether it is one event, nested so deeply that some webhooks' parsers fail."""
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

    :param max_events: the most events in one POST, 1 to ``MOST_EVENTS``; has no effect on single events.
    :param max_bytes: the largest body of one POST before compression; a single event may be larger.
    :param envelope: the envelope around each event.
    :param body: makes the JSON that is sent of each event, instead of an envelope.
    :param media_type: the ``Content-Type``, if it is not the form's own.
    """

    form: Form = "event"
    max_events: int = 100
    max_bytes: int = 1_000_000
    envelope: Envelope = NO_ENVELOPE
    body: Body | None = None
    media_type: str | None = None

    @property
    def most_outstanding(self) -> int:
        """How many events may be in flight, or acknowledged beyond the first missing one."""
        return MAX_ACKNOWLEDGED if self.form == "event" else MOST_EVENTS

    @property
    def content_type(self) -> str:
        """The media type of a POST's body."""
        if self.media_type:
            return self.media_type
        if self.form == "lines":
            return "application/x-ndjson"
        if self.envelope.kind == "cloudevents":
            return f"application/cloudevents{'-batch' if self.form == 'array' else ''}+json"
        return "application/json"

    def groups(self, events: Sequence[LogEvent]) -> list[int]:
        """For each event, the index in ``events`` at which its POST ends.

        The result depends only on the events, not on which of them are done, so a later try makes the same POSTs. Of what
        ``body`` makes the size is not known yet: the events themselves are counted.
        """
        if self.form == "event":
            return list(range(1, len(events) + 1))
        ends: list[int] = []
        start, size, alone = 0, 0, False
        for index, event in enumerate(events):
            more = self.envelope.size(event) + 1
            # A parser that fails on one event would fail on every event in the same POST.
            alone, before = is_deep(event.body), alone
            full = index - start >= self.max_events or size + more >= self.max_bytes
            if index > start and (full or alone or before):
                ends += [index] * (index - start)
                start, size = index, 0
            size += more
        return ends + [len(events)] * (len(events) - start)

    def text(self, event: LogEvent) -> str:
        """The JSON that is sent of one event.

        :raises NoBodyError: when ``body`` makes nothing of it.
        """
        return self.body.of(event) if self.body else self.envelope.wrap(event)

    def message(self, events: Sequence[LogEvent], texts: Sequence[str] | None = None) -> Message:
        """The POST of these events.

        :param texts: what :meth:`text` gives for each of them, if it is known.
        :raises NoBodyError: as :meth:`text`.
        """
        log_ids = tuple(event.log_id for event in events)
        texts = texts or [self.text(event) for event in events]
        if self.form == "event":
            return Message(log_ids[0], texts[0], log_ids)
        if self.form == "lines":
            # In JSON text a raw line break can only be whitespace between tokens.
            body = "".join(text.replace("\r", " ").replace("\n", " ") + "\n" for text in texts)
        else:
            body = f"[{','.join(texts)}]"
        return Message(batch_id(log_ids), body, log_ids)


def batch_id(log_ids: Sequence[str]) -> str:
    """The ``webhook-id`` of a batch: its first log id, its count, and a digest of all its log ids."""
    digest = hashlib.sha256(",".join(log_ids).encode()).hexdigest()[:16]
    return f"{log_ids[0]}-{len(log_ids)}-{digest}"
