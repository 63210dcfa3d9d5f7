"""Makes log events, batches and a checkpoint keeper for tests."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence

from auth0_webhooks.delivery.checkpoint_keeper import ON_LIVE_HOLD, CheckpointMovedError
from auth0_webhooks.delivery.delivery import Delivery
from auth0_webhooks.delivery.progress import MOST_REPEATED, MOST_UNSAVED
from auth0_webhooks.model.batch import Batch
from auth0_webhooks.model.checkpoint import Checkpoint
from auth0_webhooks.model.events import LogEvent, Position
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.waits import Waits
from auth0_webhooks.webhook.endpoint import Endpoint

START = Position(None, "2026-01-01T00:00:00.000Z")
UNTIL_STALLED = (1.0, 20.0, 120.0)
"""Seconds without progress, to try in turn: a busy machine may not get as far in the first as to where something hangs."""
QUICK = Waits(post_retries=30.0, first_back_off=0.02, tenant_back_off=0.01, settle=0.0)
"""Tries come soon, and last longer than a slow machine needs for a few of them."""


def log_id(number: int) -> str:
    """A log id as Auth0 makes them: 56 digits."""
    return f"90020261122100000000{number:036d}"


def events(types: Sequence[str] | int, *, first: int = 1) -> list[LogEvent]:
    """Events with consecutive log ids; a number makes so many logins."""
    types = ["s"] * types if isinstance(types, int) else types
    made: list[LogEvent] = []
    for number, kind in enumerate(types, first):
        date = f"2026-11-22T10:{number // 60 % 60:02d}:{number % 60:02d}.000Z"
        body = json.dumps({"date": date, "type": kind, "log_id": log_id(number), "number": number})
        made.append(LogEvent(log_id(number), date, kind, body, made[-1].position if made else START))
    return made


def one_batch(made: list[LogEvent]) -> Batch:
    """All of them in one batch."""
    return Batch(made[0].previous, made[-1].position, made)


class Keeper:
    """A checkpoint in memory that behaves like the Variable: last writer wins, a change by another hand is noticed."""

    on_hold = ON_LIVE_HOLD

    def __init__(self, stored: Checkpoint | None = None) -> None:
        self.stored, self._known = stored, stored
        self.history: list[Checkpoint] = []
        self.before_save: Callable[[Checkpoint], None] = lambda _checkpoint: None
        self._lock = threading.Lock()

    def load(self) -> Checkpoint | None:
        self._known = self.stored
        return self.stored

    def save(self, checkpoint: Checkpoint) -> None:
        assert self._lock.acquire(blocking=False), "two saves at a time"
        try:
            self.before_save(checkpoint)
            if self.stored != self._known:
                self._known = self.stored
                raise CheckpointMovedError(self.stored)
            self.stored = self._known = checkpoint
            self.history.append(checkpoint)
        finally:
            self._lock.release()


def most_repeated(calls: int, in_one_post: int = 1) -> int:
    """How many events may come twice after a crash: the unsaved acknowledgements and what is under way."""
    return min(MOST_UNSAVED + calls * in_one_post, MOST_REPEATED)


def endpoint(url: str, **fields: object) -> Endpoint:
    """An endpoint without credentials."""
    fields.setdefault("headers", {"Content-Type": fields.pop("content_type", "application/json")})
    return Endpoint(**{"url": url, "name": "test", **fields})  # type: ignore[arg-type]


def delivery(url: str, keeper: Keeper, made: list[LogEvent], **settings: object) -> Delivery:
    """A delivery of these events that was read from the checkpoint that ``keeper`` holds, or from the start."""
    payload, waits = settings.get("payload", Payload()), settings.setdefault("waits", QUICK)
    sent_to = endpoint(url, content_type=payload.content_type, gzip=settings.pop("gzip", False), timeout=waits.answer)  # type: ignore[attr-defined]
    usual = {"start": START, "end": made[-1].position, "first": keeper.stored is None}
    return Delivery(sent_to, keeper, **{**usual, **settings})  # type: ignore[arg-type]


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about in time"
        time.sleep(0.01)
