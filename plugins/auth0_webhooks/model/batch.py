"""Batches: how events are passed between tasks.

A batch is one text in one XCom entry: a label, which says in plain JSON whose batch it is, and after a line break the events
(zlib, base64): many times smaller than the events, and opaque to a database that would refuse NUL or reorder keys (PostgreSQL's
JSONB). What is compressed is a line of JSON, which has the ids and lengths of the events, and then their texts.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from auth0_webhooks.errors import BatchesMixedError, BatchMissingError
from auth0_webhooks.model.events import LogEvent, Position

MAX_EVENTS = 2_000
MAX_CHARACTERS = 4_000_000
LEVEL = 5
"""How hard zlib tries. Airflow's API server compresses each answer once more, so each byte saved here is saved there, too."""
WHAT_TO_DO = (
    "this run sends nothing more and moves no checkpoint: clear fetch with its downstream tasks. A live run may also be left "
    "as it is, because the next one continues from the checkpoint"
)
"""The end of an error about batches."""


@dataclass
class Batch:
    """A section of the log.

    ``start`` and ``end`` are the positions before and after everything that was read for it; ``events`` are its events
    (after the filter: only the selected ones).
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


class Label(NamedTuple):
    """A batch's description, which can be read without its events.

    ``made_by`` is the id of the try that made it: a try of fetch, or after the filter, both tries. ``number`` counts a try's
    batches from 0. ``start`` and ``end`` are the batch's.
    """

    made_by: str
    number: int
    start: Position
    end: Position


def pack(batch: Batch, *, made_by: str, number: int) -> str:
    """Turn a batch into one ASCII text, with its :class:`Label`."""
    label = json.dumps([made_by, number, batch.start, batch.end], separators=(",", ":"))
    rows: list[list[Any]] = []
    place = batch.start
    for event in batch.events:
        rows.append([event.log_id, event.date, event.type, len(event.body)])
        if event.previous != place:  # the filter left out what is between
            rows[-1].append(event.previous)
        place = event.position
    text = "".join([json.dumps(rows, separators=(",", ":")), "\n", *(event.body for event in batch.events)])
    packed = zlib.compress(text.encode("utf-8", "surrogatepass"), LEVEL)
    return f"{label}\n{base64.b64encode(packed).decode('ascii')}"


def label_of(packed: Any, *, name: str) -> Label:
    """The label of a batch that :func:`pack` made.

    :param packed: the value from XCom. Not always a batch: Airflow answers a missing entry with None, and its
        object-storage backend answers a missing file with the file's path.
    :param name: the name of the batch in errors.
    :raises BatchMissingError: when it is not a batch.
    :raises BatchesMixedError: when an earlier version made it, which wrote no label.
    """
    try:
        if "\n" not in packed:
            zlib.decompress(base64.b64decode(packed, validate=True))
            raise BatchesMixedError(f"{name} was made by an earlier version of auth0_webhooks: {WHAT_TO_DO}")
        made_by, number, start, end = json.loads(packed.partition("\n")[0])
        return Label(str(made_by), int(number), Position(*start), Position(*end))
    except (TypeError, ValueError, zlib.error):
        raise BatchMissingError(
            f"{name} is no longer in XCom: batches are removed when their run ends. The next live run reads undelivered "
            "events again; clear a backfill or replay as a whole. To send delivered events again, trigger the DAG with since and "
            "until"
        ) from None


def unpack(packed: Any, *, name: str) -> Batch:
    """Turn the result of :func:`pack` back into a batch. Parameters and errors are those of :func:`label_of`."""
    label = label_of(packed, name=name)
    try:
        text = zlib.decompress(base64.b64decode(packed.partition("\n")[2], validate=True)).decode("utf-8", "surrogatepass")
        end_of_rows = text.index("\n")  # the bodies are cut out of the text itself: another copy of them is megabytes
        events, at, place = [], end_of_rows + 1, label.start
        for log_id, date, kind, length, *previous in json.loads(text[:end_of_rows]):
            body = text[at : at + length]
            events.append(LogEvent(log_id, date, kind, body, Position(*previous[0]) if previous else place))
            at, place = at + length, events[-1].position
        return Batch(label.start, label.end, events)
    except (TypeError, ValueError, zlib.error):
        raise BatchMissingError(f"{name} is damaged: {WHAT_TO_DO}") from None
