"""What is kept in Airflow Variables: a route's checkpoint, a tenant's token."""

from __future__ import annotations

import logging
import os
import time
from datetime import datetime, timedelta, timezone

from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType

from auth0_webhooks.delivery.checkpoint_keeper import ON_LIVE_HOLD, CheckpointMovedError
from auth0_webhooks.errors import AirflowUnavailableError, SettingError, SupersededError
from auth0_webhooks.model.checkpoint import (
    Checkpoint,
    Record,
    Writer,
    parse_checkpoint,
    parse_record,
    stored_start_from,
    writer_of,
)
from auth0_webhooks.names import record_key, token_key

log = logging.getLogger(__name__)

REREAD_SECONDS = 1.0
TAKEN_OVER = "a later try, or a later run, has taken over: this one ends and leaves the rest to it"
TICK = timedelta(microseconds=1)
RECORD = (
    "A checkpoint of the try that took over last, to tell an older try's late save. Without it the checkpoint counts as it is."
)


def read_variable(key: str) -> str | None:
    """Read a Variable; None only if it is certain that there is none.

    ``Variable.get`` answers "not found" when the API server cannot be reached, too; listing the keys does raise then.

    :raises AirflowUnavailableError: if that is unknown.
    """
    try:
        return str(Variable.get(key))
    except AirflowRuntimeError as error:
        if error.error.error != ErrorType.VARIABLE_NOT_FOUND:
            raise AirflowUnavailableError(f"Variable {key!r} cannot be read: {error.error.error}") from None
    if _is_stored(key):
        raise AirflowUnavailableError(f"Variable {key!r} is there but could not be read just now")
    return None


def read_rare_variable(key: str) -> str | None:
    """The same, for a Variable that is rarely there: where it is not, this makes one request instead of two."""
    return read_variable(key) if _is_stored(key) else None


def _is_stored(key: str) -> bool:
    try:
        return key in list(Variable.keys(prefix=key))
    except AirflowRuntimeError as error:
        raise AirflowUnavailableError(f"Variable {key!r} cannot be read: {error.error.error}") from None


class CheckpointVariable:
    """A route's checkpoint in its Variable.

    There is no compare-and-set for Variables. So before a save, at most once a second, this class reads whether someone
    else has stored something in the meantime. A second Variable, the record, holds a checkpoint of the try that took over
    last: by it a save of an older try that arrives late is recognized.

    The record is written before the checkpoint, with the first save of a try and with its last; with every save if the
    try before did not close its record, because a save of that try may still be in progress. Both hold only what is
    acknowledged, so no event is skipped, whichever of the two is used.

    :param saved_by: which try of which run saves.
    :param start_from: the route's setting, kept beside the checkpoint so that a later change of it is noticed.
    :param reread_seconds: how long what was looked up or saved counts as current.
    """

    on_hold = ON_LIVE_HOLD

    def __init__(
        self,
        key: str,
        *,
        description: str,
        saved_by: str = "",
        start_from: str | None = None,
        reread_seconds: float = REREAD_SECONDS,
    ) -> None:
        self._key, self._description, self._start_from = key, description, start_from
        self._record_key = record_key(key)
        self._writer, self._reread_seconds = Writer(datetime.now(timezone.utc), 0, saved_by), reread_seconds
        self._text: str | None = None
        self._attempted: str | None = None
        self._saved: Checkpoint | None = None
        self._recorded = self._record_always = False
        self._read_at = 0.0
        self.note: str | None = None
        """The note for the report if :meth:`load` found a checkpoint of an older try, or a record that it cannot use."""
        if f"AIRFLOW_VAR_{key.upper()}" in os.environ:
            raise SettingError(
                f"the environment variable AIRFLOW_VAR_{key.upper()} hides the route's checkpoint: what is saved would "
                f"never be read again. Unset it; to give a start, set the Variable {key!r} itself"
            )

    def load(self, *, heal: bool = True) -> Checkpoint | None:
        """Read it; None means that there is none. Raises what :func:`read_variable` and ``parse_checkpoint`` raise.

        :param heal: put the checkpoint of the record in the place of an older try's.
        """
        found, stored = self._read(), read_variable(self._record_key)
        writer, record = writer_of(self._text), parse_record(stored, key=self._record_key)
        # Machines' times differ, so a later try counts as later than everything it finds.
        known = [each.since + TICK for each in (writer, record and record.writer) if each]
        self._writer = self._writer._replace(since=max([self._writer.since, *known]))
        self._record_always = stored is not None and not (record and record.closed)
        if found is None or writer is None or stored is None:
            return found
        if record is None:
            self._tell(f"Variable {self._record_key!r} was changed by hand or by another version: it is not used, and replaced")
            return found
        if not record.supersedes(self._text):
            return found
        self._tell(_passed_over(self._key, found, writer, record))
        if heal:
            self._set(self._key, stored, self._description)
            self._text = stored
        return record.checkpoint

    def _tell(self, note: str) -> None:
        self.note = note
        log.warning("%s", note)

    @property
    def former_start_from(self) -> str | None:
        """The route's ``start_from`` when the checkpoint was stored last, if it differs from today's."""
        former = stored_start_from(self._text)
        return former if former != self._start_from else None

    def save(self, checkpoint: Checkpoint) -> None:
        """Store it.

        :raises CheckpointMovedError: when someone else stored another one.
        :raises SupersededError: when that was a task that began later than this one.
        :raises AirflowUnavailableError: when it cannot be stored.
        """
        began = time.time()
        self._look_for_others()
        self._saved, self._writer = None, self._writer._replace(save=self._writer.save + 1)
        text = checkpoint.dump(self._writer, start_from=self._start_from)
        if self._record_always or not self._recorded:
            self._set(self._record_key, text, RECORD)
            self._recorded = True
            self._look_for_others()  # the worker may have been frozen in between
        self._attempted = text
        self._set(self._key, text, self._description)
        self._text, self._saved = text, checkpoint
        if abs(time.time() - began) >= self._reread_seconds:
            # If the worker was frozen in between, it may have overwritten what a later try saved: only the record shows that.
            last = writer_of(read_variable(self._record_key))
            if last and last.since > self._writer.since:
                self._saved = None
                raise SupersededError(TAKEN_OVER)

    def close(self) -> None:
        """Record the last checkpoint of this try. If that fails, the next run saves its record more often."""
        if self._saved is None:
            return
        try:
            self._look_for_others()
            text = self._saved.dump(self._writer, start_from=self._start_from, closed=True)
            self._set(self._record_key, text, RECORD)
            self._recorded = False  # a later save opens the record again
        except (AirflowUnavailableError, CheckpointMovedError, SupersededError) as error:
            log.info("the record of the last checkpoint is left open: %s", error)

    def _read(self) -> Checkpoint | None:
        # Wall time, because the monotonic clock of a frozen machine may stand still, and then others take over.
        self._text, self._read_at = read_variable(self._key), time.time()
        return None if self._text is None else parse_checkpoint(self._text, key=self._key)

    @staticmethod
    def _set(key: str, text: str, description: str) -> None:
        try:
            Variable.set(key, text, description=description)
        except AirflowRuntimeError as error:
            raise AirflowUnavailableError(f"the checkpoint cannot be saved: {error.error.error}") from None

    def _look_for_others(self) -> None:
        if abs(time.time() - self._read_at) < self._reread_seconds:
            return
        known = self._text
        try:
            found = self._read()
        except SettingError as error:
            log.warning("%s", error)
            self._recorded = False
            raise CheckpointMovedError(None) from None
        if self._text in {known, self._attempted}:
            return  # a save that seemed to fail may have arrived
        other = writer_of(self._text)
        if other and other.since > self._writer.since:
            raise SupersededError(TAKEN_OVER)
        if other and (self._attempted or not _continues(other, known)):
            log.warning("a checkpoint of %s, which is older, arrived late: it is not used, and replaced", other.by)
            self._record_always = True
            return
        self._recorded = False
        raise CheckpointMovedError(found)


def _continues(other: Writer, known: str | None) -> bool:
    """Whether an older try has continued from what was ``known``: it was slow, not frozen, and its save is further on."""
    before = writer_of(known)
    return known is None or (before is not None and before[:2] < other[:2])


def _passed_over(key: str, found: Checkpoint, by: Writer, record: Record) -> str:
    """Says what was found, what is used, and how a person chooses the other."""
    place, used = found.position.log_id or found.position.date, record.checkpoint.position
    return (
        f"Variable {key!r} held {place} ({found.position.date}), saved by {by.by or 'an older try'}, but since then "
        f"{record.writer.by or 'a later one'} has saved: a save that arrived late or was cut off, or a restored backup. It was "
        f"not used; this run continues from {used.log_id or 'start'} ({used.date}). To continue from the other one: pause "
        f"the DAG, 'airflow variables set {key} {place}', unpause"
    )


class TokenVariable:
    """A tenant's access token, encrypted by the hook, in a Variable that all its routes share."""

    def __init__(self, auth0_conn_id: str) -> None:
        self._key = token_key(auth0_conn_id)

    def load(self) -> str | None:
        """The stored text; None also when it cannot be read."""
        try:
            return read_variable(self._key)
        except AirflowUnavailableError:
            return None

    def save(self, text: str) -> None:
        """Store it; a failure costs a token request in the next run, not this one."""
        try:
            Variable.set(self._key, text, description="Auth0 Management API token, kept between runs. Safe to delete.")
        except AirflowRuntimeError as error:
            log.warning("the Auth0 token could not be kept for the next run: %s", error.error.error)
