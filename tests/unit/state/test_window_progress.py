"""A window's progress: for which events it counts. A store in memory stands in for Airflow's; tests/live has the real one."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from auth0_webhooks.errors import AirflowUnavailableError
from auth0_webhooks.model.checkpoint import Checkpoint, Hold
from auth0_webhooks.model.events import Position
from auth0_webhooks.state.window_progress import WindowProgress
from auth0_webhooks.times import parse_time
from tests.support.factory import log_id

PLACE = Checkpoint(Position(log_id(7), "2026-11-22T10:00:00.000Z", seen=True), (log_id(9),))


class Store(dict):
    """Task state in memory."""

    def set(self, key, value):
        self[key] = value


class Broken:
    """Task state that Airflow cannot reach."""

    def get(self, key):
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))

    def set(self, key, value):
        self.get(key)


def test_a_later_try_and_a_cleared_run_go_on_where_the_window_stopped():
    store = Store()
    WindowProgress(store, fingerprint="a", fetch="1").save(PLACE)
    assert WindowProgress(store, fingerprint="a", fetch="1").load() == PLACE
    assert WindowProgress(store, fingerprint="a", fetch="2").load() == PLACE


def test_progress_with_other_events_is_ignored():
    store = Store()
    WindowProgress(store, fingerprint="a", fetch="1").save(PLACE)
    assert WindowProgress(store, fingerprint="b", fetch="2").load() is None


def test_a_window_that_was_delivered_is_delivered_anew_when_it_is_fetched_anew():
    store = Store()
    progress = WindowProgress(store, fingerprint="a", fetch="1")
    progress.save(PLACE)
    progress.finish()
    assert WindowProgress(store, fingerprint="a", fetch="2").load() is None
    assert WindowProgress(store, fingerprint="a", fetch="1").load() == PLACE


def test_nothing_stored_and_nothing_delivered_is_a_beginning():
    store = Store()
    progress = WindowProgress(store, fingerprint="a", fetch="1")
    assert progress.load() is None
    progress.finish()
    assert store == {}


def test_a_hold_is_not_kept():
    store = Store()
    progress = WindowProgress(store, fingerprint="a", fetch="1")
    progress.save(Checkpoint(PLACE.position, PLACE.acknowledged, Hold(parse_time("2026-11-22T10:00:00Z"), "x")))
    assert progress.load() == PLACE


@pytest.mark.parametrize("call", [lambda progress: progress.load(), lambda progress: progress.save(PLACE)])
def test_state_that_cannot_be_reached_is_an_error_and_never_no_progress(call):
    with pytest.raises(AirflowUnavailableError, match="the window's progress cannot be"):
        call(WindowProgress(Broken(), fingerprint="a", fetch="1"))
