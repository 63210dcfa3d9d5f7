"""Dead letters: events that the webhook refused, set aside one file each.

A file's first line says as JSON what happened; the rest is the event, to the letter. Files lie under any path that Airflow's
``ObjectStoragePath`` takes: a local folder, or the like of ``s3://CONNECTION@bucket/folder``.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowNotFoundException

from auth0_webhooks.errors import DeadLetterStoreError, SettingError
from auth0_webhooks.model.events import LogEvent, Position
from auth0_webhooks.privacy.redaction import redaction_mark
from auth0_webhooks.times import iso

if TYPE_CHECKING:
    from auth0_webhooks.settings.route import Route
    from auth0_webhooks.webhook.answers import Answer

DEFAULT_FOLDER = "auth0_webhook_dead_letters"
"""Below AIRFLOW_HOME, where a route names no other place."""
NAMED = 20
"""How many of the events that a run set aside its report names; it counts them all."""


@dataclass(frozen=True)
class DeadLetter:
    """What happened to one event. ``at`` is the time of the last try (ISO 8601, UTC); ``answer_body`` is cut short.

    ``redaction`` tells by what rules the event was redacted before it was written; empty: by none.
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
    """The dead letters of one route. ``set_aside`` names the first that were put there through this object.

    :raises SettingError: when the path cannot be used, or is a folder of this machine while tasks may run on others.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self.set_aside: list[dict[str, Any]] = []
        try:
            place = ObjectStoragePath(dead_letter_path(route))
            self._folder = place / route.name
            local = place.protocol in {"", "file", "local"}
            place.fs  # noqa: B018 - finds out whether anything serves this scheme, and its connection
        except (ValueError, ImportError, OSError, AirflowNotFoundException) as error:
            raise SettingError(
                f"route {route.name!r}: key 'dead_letter_path': no object storage can be reached by it "
                f"({type(error).__name__}): expected a folder or a URL such as s3://CONNECTION@bucket/folder"
            ) from None
        if local and not route.dead_letter_path_shared and not _tasks_stay_here():
            raise SettingError(
                f"route {route.name!r}: key 'dead_letter_path' is a folder of this machine, but the executor runs tasks on "
                "several: name an object storage URL, or a folder that every worker sees and set dead_letter_path_shared: true"
            )

    def put(self, event: LogEvent, answer: Answer, tries: int) -> None:
        """Store one event, as it was sent, durably: written under a temporary name, then moved, so a file is whole or not there.

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
        content = json.dumps(asdict(letter)) + "\n" + event.body
        path, temporary = self._path(event.log_id), self._folder / f".{event.log_id}.{os.getpid()}.tmp"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:  # type: ignore[no-untyped-call]
                file.write(content.encode())
                file.flush()
                with contextlib.suppress(AttributeError, OSError, ValueError):  # object storage has no file descriptor
                    os.fsync(file.fileno())
            temporary.fs.mv(temporary.path, path.path)
        except Exception as error:
            raise DeadLetterStoreError(
                f"event {event.log_id} was refused, and cannot be set aside under {self._folder}: {type(error).__name__}; "
                "the checkpoint stays before it. Mend the store, or the route's dead_letter_path"
            ) from error
        if len(self.set_aside) < NAMED:
            self.set_aside.append(letter.summary())

    def letters(self) -> Iterator[tuple[DeadLetter, LogEvent]]:
        """Everything that is set aside, by log id."""
        if not self._folder.exists():
            return
        for path in sorted(self._folder.iterdir(), key=lambda path: path.name):
            if path.name.endswith(".letter"):
                head, _, body = path.read_bytes().decode().partition("\n")
                letter = DeadLetter(**json.loads(head))
                yield letter, LogEvent(letter.log_id, letter.date, letter.type, body, Position(None, None))

    def remove(self, log_id: str) -> None:
        """Forget one, after it was delivered."""
        self._path(log_id).unlink()

    def _path(self, log_id: str) -> Any:
        return self._folder / f"{log_id}.letter"


def dead_letter_path(route: Route) -> str:
    """Where the route's dead letters lie: as it says, or below AIRFLOW_HOME."""
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return route.dead_letter_path or f"file://{home / DEFAULT_FOLDER}"


def _tasks_stay_here() -> bool:
    from airflow.sdk.configuration import conf

    executors = conf.get("core", "executor").split(",")
    return all(name.split(":")[-1].rsplit(".", 1)[-1] == "LocalExecutor" for name in executors)
