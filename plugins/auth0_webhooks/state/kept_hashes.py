"""Kept hashes: 8 bytes of each event that a route's runs are done with, for the audit.

They are files, in the place of the route's dead letters: ``kept_hashes/ROUTE/DAY/NAME.hashes``. On a disk a try of ``deliver``
adds to one file; an object store cannot add to an object, so there it writes some.
The first line of a file says as JSON which run wrote it, and of a live run what it read from where to where, by which filter. The
rest is the hashes. A file is only ever written by the try that made it, so tries and runs that overlap do not disturb each other.

A hash is written before the checkpoint that passes its event. So whatever is killed: an event before the checkpoint has its hash,
unless nobody sent it. Only a power cut can cost the last ones, at most what a second delivers.
"""

from __future__ import annotations

import hashlib
import json
import logging
import struct
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from auth0_webhooks.errors import KeptHashesError, SettingError
from auth0_webhooks.reading.window import LONGEST_RETENTION_DAYS
from auth0_webhooks.state.stored_files import folder_of, make_folder, paths_in, remove_folder, write_on
from auth0_webhooks.times import iso

if TYPE_CHECKING:
    from auth0_webhooks.delivery.checkpoint_keeper import CheckpointKeeper
    from auth0_webhooks.model.checkpoint import Checkpoint
    from auth0_webhooks.model.events import Position
    from auth0_webhooks.settings.route import Route

log = logging.getLogger(__name__)

FOLDER, SUFFIX = "kept_hashes", ".hashes"
SIZE = 8
"""The bytes of a hash. Its last bit says whether the event was set aside."""
PART = 4096
"""The most hashes in an object: with each save the last object of a try is written again."""
DURABLE_SECONDS = 1.0
"""How often, at most, hashes are made to survive a power cut, which takes about as long as a save of the checkpoint."""
READERS = 8
"""So many files are read at a time: an object store takes longer for each than a disk."""
FILTER = ("log_level", "exclude_types", "where", "api_endpoints")
"""The settings that, with the wanted log types, decide which events a route wants."""


def hash_of(log_id: str) -> int:
    """What is kept of an event that was delivered; one more if it was set aside."""
    return int.from_bytes(hashlib.blake2b(log_id.encode(), digest_size=SIZE).digest(), "little") & ~1


class KeptHashes:
    """Keeps the hashes of one try of ``deliver``, or of one audit.

    What cannot be kept does not hold up the delivery. It is logged, and the audit names the events.

    :param passed: where a live run began to read and where it ended; None for a run that moves no checkpoint.
    """

    def __init__(self, route: Route, run_id: str, *, passed: tuple[Position, Position] | None = None) -> None:
        self._route, self._now = route, datetime.now(timezone.utc)
        head: dict[str, Any] = {"route": route.name, "run": run_id, "at": iso(self._now)}
        if passed:
            start, end = passed
            selection = {**route.model_dump(mode="json", include={*FILTER}), "log_types": route.wanted_types}
            head |= {"start": start[:2], "end": end[:2], "selection": selection}
        self._head = json.dumps(head).encode() + b"\n"
        self._hashes, self._written, self._began = bytearray(), 0, False
        self._durable, self._durable_at = 0, 0.0
        self._name = uuid.uuid4().hex
        self._problem = False
        self._folder: Any = None
        try:
            self._folder = _folder_of(route)
        except SettingError as error:
            log.info("no hashes for an audit are kept: %s", error)

    def note(self, log_id: str, *, set_aside: bool) -> None:
        """An event is done: delivered or set aside. :meth:`write` keeps it."""
        self._hashes += (hash_of(log_id) | set_aside).to_bytes(SIZE, "little")

    def write(self) -> None:
        """Store what was noted since the last time."""
        if not self._problem:
            self._write(durable=time.monotonic() - self._durable_at >= DURABLE_SECONDS)

    def end(self) -> None:
        """The same for the last time, and durably: also what could not be stored before."""
        if self._hashes or self._problem:
            self._write(durable=True)

    def _write(self, *, durable: bool) -> None:
        size = len(self._hashes)
        if self._folder is None or (self._began and size == (self._durable if durable else self._written)):
            return
        day = self._folder / self._now.date().isoformat()
        try:
            if not self._began:
                self._begin(day)
                self._written = 0
            if isinstance(day, Path):
                content = bytes(self._hashes[self._written : size])
                content, at = (content, len(self._head) + self._written) if self._began else (self._head + content, 0)
                write_on(day / f"{self._name}{SUFFIX}", content, at, durable=durable)
            else:
                self._put(day, size)
                durable = True
            self._began, self._written, self._problem = True, size, False
            if durable:
                self._durable, self._durable_at = size, time.monotonic()
        except Exception as error:  # noqa: BLE001 - an event that was delivered stays delivered
            self._began, self._problem = False, True  # what comes next writes everything again
            log.warning(
                "the hashes of up to %d events cannot be kept under %s (%s): an audit will name these events as not accounted "
                "for, though they are. Repair the store, or change the route's dead_letter_path",
                (size - self._written) // SIZE,
                self._folder,
                type(error).__name__,
            )

    def _put(self, day: Any, size: int) -> None:
        """Put the objects that differ from the last time."""
        part = PART * SIZE
        for number in range(self._written // part, max(1, -(-size // part))):
            content = self._head + self._hashes[number * part : min(size, (number + 1) * part)]
            (day / f"{self._name}_{number:04d}{SUFFIX}").write_bytes(bytes(content))

    def _begin(self, day: Any) -> None:
        """The first file of a day removes the days that no audit needs any more: the tenant has removed their events, too."""
        if day.exists():
            return
        make_folder(day)
        for old in _days(self._folder):
            if date.fromisoformat(old.name) < self._now.date() - days_kept(self._route):
                remove_folder(old)


class KeepsHashesToo:
    """A checkpoint keeper that writes the hashes before each checkpoint that passes their events."""

    def __init__(self, keeper: CheckpointKeeper, hashes: KeptHashes) -> None:
        self._keeper, self._hashes, self.on_hold = keeper, hashes, keeper.on_hold

    def load(self) -> Checkpoint | None:
        """Read the checkpoint. Raises what the keeper raises."""
        return self._keeper.load()

    def save(self, checkpoint: Checkpoint) -> None:
        """Store both. Raises what the keeper raises."""
        self._hashes.write()
        self._keeper.save(checkpoint)


class HashFile(NamedTuple):
    """One file: what its first line says, and its hashes."""

    head: dict[str, Any]
    hashes: tuple[int, ...]


def days_kept(route: Route) -> timedelta:
    """How long hashes are kept: a day longer than the tenant can have the events."""
    return timedelta(days=(route.retention_days or LONGEST_RETENTION_DAYS) + 1)


def kept_since(route: Route) -> date | None:
    """The first day of which the route has kept hashes; None if it has kept none.

    :raises SettingError: when the route has no place for them.
    :raises KeptHashesError: when they cannot be listed.
    """
    return next((date.fromisoformat(day.name) for day in _listed(route)), None)


def kept_hashes(route: Route, since: date) -> Iterator[HashFile]:
    """The files from a day on.

    :raises SettingError: when the route has no place for them.
    :raises KeptHashesError: when they cannot be read.
    """
    days = [day for day in _listed(route) if date.fromisoformat(day.name) >= since]
    try:
        paths = [path for day in days for path in paths_in(day) if path.name.endswith(SUFFIX)]
        with ThreadPoolExecutor(READERS) as readers:
            for path, content in zip(paths, readers.map(_content, paths), strict=True):
                if found := _parsed(content):
                    yield found
                elif content:
                    log.warning("%s is not what a run writes there, and is not used", path)
    except Exception as error:  # noqa: BLE001 - each store has errors of its own
        raise _unreadable(route, error) from None


def _listed(route: Route) -> list[Any]:
    folder = _folder_of(route)
    try:
        return _days(folder)
    except Exception as error:  # noqa: BLE001 - each store has errors of its own
        raise _unreadable(route, error) from None


def _unreadable(route: Route, error: Exception) -> KeptHashesError:
    return KeptHashesError(
        f"the kept hashes of route {route.name!r} cannot be read ({type(error).__name__}): give the user that runs the tasks "
        f"access to {FOLDER} in the route's dead_letter_path, or repair the store"
    )


def _folder_of(route: Route) -> Any:
    return folder_of(route) / FOLDER / route.name


def _days(folder: Any) -> list[Any]:
    """The folders of the days, the first one first."""
    return [day for day in paths_in(folder) if _is_day(day.name)]


def _is_day(name: str) -> bool:
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


def _content(path: Any) -> bytes:
    try:
        content: bytes = path.read_bytes()
    except FileNotFoundError:
        return b""  # it is too old, and was removed since the files were listed
    return content


def _parsed(content: bytes) -> HashFile | None:
    line, _, packed = content.partition(b"\n")
    try:
        head = json.loads(line)
    except (ValueError, RecursionError):
        return None
    count = len(packed) // SIZE
    return HashFile(head, struct.unpack(f"<{count}Q", packed[: count * SIZE])) if isinstance(head, dict) else None
