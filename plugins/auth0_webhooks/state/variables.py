"""What is kept in Airflow Variables: a route's checkpoint, a tenant's token."""

from __future__ import annotations

import logging
import os
import time
from datetime import datetime, timezone

from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType

from auth0_webhooks.delivery.checkpoint_keeper import ON_LIVE_HOLD, CheckpointMovedError
from auth0_webhooks.errors import AirflowUnavailableError, SettingError, SupersededError
from auth0_webhooks.model.checkpoint import Checkpoint, parse_checkpoint, saved_since, stored_start_from
from auth0_webhooks.names import token_key

log = logging.getLogger(__name__)

REREAD_SECONDS = 1.0


def read_variable(key: str) -> str | None:
    """Read a Variable; None only when it is certain that there is none.

    ``Variable.get`` answers "not found" when the API server cannot be reached, too; listing the keys does raise then.

    :raises AirflowUnavailableError: when it cannot be told.
    """
    try:
        return str(Variable.get(key))
    except AirflowRuntimeError as error:
        if error.error.error != ErrorType.VARIABLE_NOT_FOUND:
            raise AirflowUnavailableError(f"Variable {key!r} cannot be read: {error.error.error}") from None
    try:
        present = key in list(Variable.keys(prefix=key))
    except AirflowRuntimeError as error:
        raise AirflowUnavailableError(f"Variable {key!r} cannot be read: {error.error.error}") from None
    if present:
        raise AirflowUnavailableError(f"Variable {key!r} is there but could not be read just now")
    return None


class CheckpointVariable:
    """A route's checkpoint in its Variable.

    There is no compare-and-set for Variables, so before a save it is looked up, at most once a second, whether someone
    else has stored something in the meantime.

    :param saved_by: which try of which run saves, for people who look at the Variable.
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
        self._key, self._description, self._saved_by, self._start_from = key, description, saved_by, start_from
        self._since, self._reread_seconds = datetime.now(timezone.utc), reread_seconds
        self._text: str | None = None
        self._attempted: str | None = None
        self._read_at = 0.0
        if f"AIRFLOW_VAR_{key.upper()}" in os.environ:
            raise SettingError(
                f"the environment variable AIRFLOW_VAR_{key.upper()} hides the route's checkpoint: what is saved would "
                f"never be read again. Unset it, and set the Variable {key!r} itself where a start is to be given"
            )

    def load(self) -> Checkpoint | None:
        """Read it; None means that there is none. Raises what :func:`read_variable` and ``parse_checkpoint`` raise."""
        # Wall time: a frozen machine's monotonic clock may stand still, and it is just then that others take over.
        self._text, self._read_at = read_variable(self._key), time.time()
        return None if self._text is None else parse_checkpoint(self._text, key=self._key)

    @property
    def former_start_from(self) -> str | None:
        """The route's ``start_from`` when the checkpoint was stored last, where it differs from today's."""
        former = stored_start_from(self._text)
        return former if former != self._start_from else None

    def save(self, checkpoint: Checkpoint) -> None:
        """Store it.

        :raises CheckpointMovedError: when someone else stored another one.
        :raises SupersededError: when that was a task that began later than this one.
        :raises AirflowUnavailableError: when it cannot be stored.
        """
        if abs(time.time() - self._read_at) >= self._reread_seconds:
            self._look_for_others()
        self._attempted = checkpoint.dump(saved_by=self._saved_by, saved_since=self._since, start_from=self._start_from)
        try:
            Variable.set(self._key, self._attempted, description=self._description)
        except AirflowRuntimeError as error:
            raise AirflowUnavailableError(f"the checkpoint cannot be saved: {error.error.error}") from None
        self._text = self._attempted

    def _look_for_others(self) -> None:
        known = self._text
        try:
            found = self.load()
        except SettingError as error:
            log.warning("%s", error)
            raise CheckpointMovedError(None) from None
        if self._text in {known, self._attempted}:
            return  # a save that seemed to fail may have arrived all the same
        other = saved_since(self._text)
        if other and other > self._since:
            raise SupersededError("a later try, or a later run, has taken over: this one ends and leaves it the rest")
        raise CheckpointMovedError(found)


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
