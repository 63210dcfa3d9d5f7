"""Dead letters: events that the webhook refused, set aside one file each.

A file's first line says as JSON what happened; the rest is the event, unchanged. The files are under any path that Airflow's
``ObjectStoragePath`` takes: a local folder, or a URL such as ``s3://CONNECTION@bucket/folder``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from auth0_webhooks.errors import DeadLetterStoreError
from auth0_webhooks.model.deep_json import read_object
from auth0_webhooks.model.events import LogEvent, Position
from auth0_webhooks.privacy.redaction import redaction_mark
from auth0_webhooks.state.stored_files import folder_of, paths_in, write_whole
from auth0_webhooks.times import iso

if TYPE_CHECKING:
    from auth0_webhooks.settings.route import Route
    from auth0_webhooks.webhook.answers import Answer

log = logging.getLogger(__name__)

SUFFIX = ".letter"
"""How the name of a dead letter's file ends; before it comes the log id."""
NAMED = 20
"""How many of the events that a run set aside its report names; it counts them all."""


@dataclass(frozen=True)
class DeadLetter:
    """What happened to one event. ``at`` is the time of the last try (ISO 8601, UTC); ``answer_body`` is cut short.

    ``redaction`` identifies the rules by which the event was redacted before it was written; empty: none.
    """

    log_id: str
    type: str
    date: str
    route: str
    answer: str
    answer_body: str
    tries: int
    at: str
    redaction: str = ""

    def summary(self) -> dict[str, Any]:
        """All but the answer's body, which can repeat the event: for reports and lists."""
        return {key: value for key, value in asdict(self).items() if key != "answer_body"}


class DeadLetterStore:
    """The dead letters of one route.

    ``set_aside`` names the first that were put there through this object. ``unreadable`` is how many files the last
    :meth:`letters` skipped.

    On a local disk files and folders are made for their owner alone (0600, 0700): all that read or send them run as one user.

    :raises SettingError: when the path cannot be used, or is a folder of this machine while tasks may run on others.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self.set_aside: list[dict[str, Any]] = []
        self.unreadable = 0
        self._folder: Any = folder_of(route) / route.name

    def put(self, event: LogEvent, answer: Answer, tries: int) -> None:
        """Store one event, as it was sent, durably: written under a temporary name, then moved, so a file is complete or absent.

        :raises DeadLetterStoreError: when it cannot be stored; then the event must not count as done.
        """
        letter = DeadLetter(
            event.log_id,
            event.type,
            event.date,
            self._route.name,
            str(answer),
            answer.body,
            tries,
            iso(datetime.now(timezone.utc)),
            redaction_mark(self._route.redact),
        )
        content = (json.dumps(asdict(letter)) + "\n" + event.body).encode()
        try:
            write_whole(self._path(event.log_id), content)
        except Exception as error:
            raise DeadLetterStoreError(
                f"event {event.log_id} was refused, and cannot be stored as a dead letter under {self._folder}: "
                f"{type(error).__name__}; the checkpoint stays before it. Repair the store, or change the route's "
                "dead_letter_path"
            ) from error
        if len(self.set_aside) < NAMED:
            self.set_aside.append(letter.summary())

    def letters(self) -> Iterator[tuple[DeadLetter, LogEvent]]:
        """Everything that is set aside and can be read, by log id. What cannot be read is counted, logged, and left as it is.

        :raises DeadLetterStoreError: when the files cannot be listed.
        """
        self.unreadable = 0
        for path in self._files():
            try:
                found = _read(path)
            except FileNotFoundError:
                continue  # removed since the files were listed
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one file, the others are read
                self.unreadable += 1
                log.error("%s", _of_unreadable(path, error))  # noqa: TRY400 - its trace helps nobody
                continue
            yield found

    def remove(self, log_id: str) -> None:
        """Remove one, after it was delivered.

        :raises DeadLetterStoreError: when it cannot be removed, so that it would be sent again.
        """
        path = self._path(log_id)
        try:
            path.unlink()
        except FileNotFoundError:
            pass  # it is gone, as it should be
        except Exception as error:
            raise DeadLetterStoreError(
                f"event {log_id} was delivered, but its dead letter {path} cannot be removed ({type(error).__name__}): "
                "remove it by hand, or it is sent again"
            ) from error

    def _files(self) -> list[Any]:
        try:
            return [path for path in paths_in(self._folder) if path.name.endswith(SUFFIX)]
        except Exception as error:
            raise DeadLetterStoreError(
                f"the dead letters of route {self._route.name!r} under {self._folder} cannot be listed ({type(error).__name__}): "
                "give the user that runs the tasks access to it, or repair the store"
            ) from error

    def _path(self, log_id: str) -> Any:
        return self._folder / f"{log_id}{SUFFIX}"


def _read(path: Any) -> tuple[DeadLetter, LogEvent]:
    """Read one file.

    :raises ValueError: what is wrong, without any of the file's content.
    :raises OSError: when it cannot be read.
    """
    try:
        head, _, body = path.read_bytes().decode().partition("\n")
        stored = json.loads(head)
    except (ValueError, RecursionError):
        raise ValueError("its first line is not the JSON that says what happened") from None
    # A later version may add keys.
    known = {key: value for key, value in stored.items() if key in _FIELDS} if isinstance(stored, dict) else {}
    if not known.keys() >= _REQUIRED or not all(isinstance(known[key], _FIELDS[key]) for key in known):
        raise ValueError("its first line lacks a key, or holds a value of another type")
    letter = DeadLetter(**known)
    if path.name != f"{letter.log_id}{SUFFIX}":
        raise ValueError("its name is not that of its event")
    if not _is_whole(body):
        raise ValueError("its event is incomplete, or is not JSON")
    return letter, LogEvent(letter.log_id, letter.date, letter.type, body, Position(None, None))


_FIELDS = {field.name: int if field.name == "tries" else str for field in fields(DeadLetter)}
_REQUIRED = _FIELDS.keys() - {"redaction"}


def _is_whole(body: str) -> bool:
    """Whether a text is a JSON object from its first to its last character."""
    try:
        try:
            # Numbers stay texts, because Python parses none of more than 4,300 digits.
            return isinstance(json.loads(body, parse_int=str, parse_float=str), dict)
        except RecursionError:
            _, end = read_object(body, 0)
            return not body[end:].strip()
    except ValueError:
        return False


def _of_unreadable(path: Any, error: Exception) -> str:
    if isinstance(error, PermissionError):
        reason = "the user that runs the tasks may not read it: give it to that user"
    elif isinstance(error, IsADirectoryError):
        reason = "it is a folder: remove it"
    else:
        what = str(error) if type(error) is ValueError else f"{type(error).__name__}: try again, and if that does not help"
        reason = (
            f"{what}: restore it from a backup, or remove it and replay the time in which event {path.name.removesuffix(SUFFIX)} "
            "happened, while the tenant keeps its log"
        )
    return f"the dead letter {path} cannot be read and is skipped: {reason}"
