"""Sends the events that are not accounted for, as a run of their route would, with the same ``webhook-id``."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from auth0_webhooks.delivery.delivery import Delivery
from auth0_webhooks.delivery.progress import State
from auth0_webhooks.errors import EndpointHeldError
from auth0_webhooks.hooks.webhook import endpoint_of, payload_of, redaction_of
from auth0_webhooks.model.batch import Batch
from auth0_webhooks.state.dead_letters import DeadLetterStore
from auth0_webhooks.state.kept_hashes import KeepsHashesToo, KeptHashes
from auth0_webhooks.times import iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auth0_webhooks.audit.outcome import Outcome
    from auth0_webhooks.model.checkpoint import Checkpoint, Hold
    from auth0_webhooks.model.events import LogEvent
    from auth0_webhooks.settings.route import Route
    from auth0_webhooks.waits import Waits

MOST_EVENTS, MOST_CHARACTERS = 500, 4_000_000
"""So many events are collected before they are sent: no more of the log is held at a time."""


class Sender:
    """Sends events of one route, and keeps their hashes: the next audit, or a second try of this one, sends none of them again.

    :param hold: the hold of the route's checkpoint: until then nothing is sent.
    :raises WebhookRouteError: when the route's webhook or its connection cannot be used.
    """

    def __init__(self, route: Route, run_id: str, hold: Hold | None, *, outcome: Outcome, waits: Waits) -> None:
        if hold and hold.until > datetime.now(timezone.utc):
            raise EndpointHeldError(f"the webhook is on hold until {iso(hold.until)} ({hold.reason}): send after that")
        self._route, self._outcome, self._waits = route, outcome, waits
        self._payload, self._redaction = payload_of(route), redaction_of(route)
        self._endpoint = endpoint_of(route, self._payload, timeout=waits.answer)
        self._letters = DeadLetterStore(route) if route.on_reject == "dead_letter" else None
        self._hashes = KeptHashes(route, run_id)
        self._delivery: Delivery | None = None
        self._events: list[LogEvent] = []
        self._characters = 0

    def add(self, event: LogEvent) -> None:
        """Send it, now or with later ones. Raises what :meth:`send` raises."""
        self._events.append(event)
        self._characters += len(event.body)
        if len(self._events) >= MOST_EVENTS or self._characters >= MOST_CHARACTERS:
            self.send()

    def send(self) -> None:
        """Send what was added.

        :raises WebhookRouteError: when the webhook does not take an event; what it took is counted.
        """
        events, self._events, self._characters = self._events, [], 0
        if not events:
            return
        if self._redaction:
            events = [event._replace(body=self._redaction.body(event)) for event in events]
        start, end = events[0].previous, events[-1].position
        delivery = self._delivery = Delivery(
            self._endpoint,
            KeepsHashesToo(NoCheckpoint(), self._hashes),
            start=start,
            end=end,
            first=True,
            by_time=True,
            payload=self._payload,
            concurrent_calls=self._route.concurrent_calls,
            max_per_second=self._route.max_per_second,
            dead_letters=self._letters,
            note=lambda event, state: self._hashes.note(event.log_id, set_aside=state is State.DEAD_LETTERED),
            waits=self._waits,
        )
        batches: Sequence[Batch] = [Batch(start, end, events)]
        try:
            delivery.run(lambda: batches)
        finally:
            self._hashes.end()
            counts = delivery.progress.counts()
            self._outcome.sent += counts[State.DELIVERED_NOW]
            self._outcome.dead_lettered += counts[State.DEAD_LETTERED]

    def stop(self, reason: str) -> None:
        """Start no new POST. Safe to call from a signal handler."""
        if self._delivery:
            self._delivery.stop(reason)


class NoCheckpoint:
    """An audit sends beside the live runs and moves no checkpoint: the hashes alone say what was sent."""

    on_hold = "run the audit again after that time to send the rest"

    def load(self) -> Checkpoint | None:
        """None is stored."""
        return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Nothing is stored."""
