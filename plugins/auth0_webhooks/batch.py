"""Batches: how events travel between tasks.

A batch is one compressed text (JSON, zlib, base64) in one XCom entry: ten times smaller than the events, and opaque to a
database that would refuse NUL or reorder keys (PostgreSQL's JSONB).
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from auth0_webhooks.errors import BatchMissingError
from auth0_webhooks.events import LogEvent, Position

MAX_EVENTS = 2_000
MAX_CHARACTERS = 4_000_000


@dataclass
class Batch:
    """A stretch of the log.

    ``start`` and ``end`` are the places before and after everything that was read for it; ``events`` are those of it
    that are still of interest (after the filter: the wanted ones).
    """

    start: Position
    end: Position
    events: list[LogEvent] = field(default_factory=list)


def batches(events: Iterable[LogEvent]) -> Iterator[Batch]:
    """Group events, in their order, into batches of at most 2,000 events and about 4 MB, whichever comes first."""
    batch: Batch | None = None
    characters = 0
    for event in events:
        if batch and (len(batch.events) >= MAX_EVENTS or characters + len(event.body) > MAX_CHARACTERS):
            yield batch
            batch = None
        if batch is None:
            batch, characters = Batch(start=event.previous, end=event.position), 0
        batch.events.append(event)
        batch.end = event.position
        characters += len(event.body)
    if batch:
        yield batch


def pack(batch: Batch) -> str:
    """Turn a batch into one ASCII text."""
    text = json.dumps([batch.start, batch.end, batch.events], separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode("ascii"), level=1)).decode("ascii")


def unpack(packed: Any, *, name: str) -> Batch:
    """Turn what :func:`pack` made back into a batch.

    :param packed: what came out of XCom. Not always a batch: Airflow answers a missing entry with None, and its
        object-storage backend answers a missing file with the file's path.
    :param name: how to call the batch in an error.
    :raises BatchMissingError: when it is not a batch.
    """
    try:
        start, end, events = json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))
        return Batch(
            Position(*start),
            Position(*end),
            [LogEvent(log_id, date, kind, body, Position(*previous)) for log_id, date, kind, body, previous in events],
        )
    except (TypeError, ValueError, zlib.error):
        raise BatchMissingError(
            f"{name} is no longer in XCom: batches are removed when their run ends. To send these events again replay them: "
            "trigger the DAG with since and until, or clear the whole run of a backfill"
        ) from None
