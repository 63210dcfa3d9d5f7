"""The checkpoint's Variable where others write to it, too.

A store in memory stands in for Airflow's: a write that arrives while its answer is lost cannot be asked of the real one. The
real one is used in tests/runs and tests/live.
"""

from __future__ import annotations

import json

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from auth0_webhooks.delivery.checkpoint_keeper import CheckpointMovedError
from auth0_webhooks.errors import AirflowUnavailableError, SettingError, SupersededError
from auth0_webhooks.model.checkpoint import Checkpoint, parse_checkpoint
from auth0_webhooks.model.events import Position
from auth0_webhooks.state import variables
from tests.support.factory import log_id

KEY = "r_checkpoint"


class Store:
    """Variables in memory; ``unreachable`` and ``answers_lost`` are the faults."""

    def __init__(self):
        self.values = {}
        self.unreachable = self.answers_lost = False

    def get(self, key):
        # As Airflow has it: an API server that cannot be reached looks like a Variable that is not there.
        if self.unreachable or key not in self.values:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND))
        return self.values[key]

    def keys(self, prefix):
        if self.unreachable:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))
        return [key for key in self.values if key.startswith(prefix)]

    def set(self, key, value, description=None):
        if self.unreachable:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))
        self.values[key] = value
        if self.answers_lost:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))


@pytest.fixture
def store(monkeypatch):
    made = Store()
    monkeypatch.setattr(variables, "Variable", made)
    return made


def at(number):
    return Checkpoint(Position(log_id(number), "2026-11-22T10:00:00.000Z", seen=True))


def variable(by="run try 1"):
    made = variables.CheckpointVariable(KEY, description="d", saved_by=by, reread_seconds=0.0)
    made.load()
    return made


def test_what_is_saved_is_read_again_and_says_who_saved_it(store):
    variable().save(at(1))
    assert variable().load() == at(1)
    assert json.loads(store.values[KEY])["saved_by"] == "run try 1"


def test_a_variable_that_cannot_be_read_is_not_taken_for_one_that_is_not_there(store):
    assert variables.read_variable(KEY) is None
    store.unreachable = True
    with pytest.raises(AirflowUnavailableError, match="cannot be read"):
        variables.read_variable(KEY)


def test_a_change_by_hand_is_noticed_and_handed_on(store):
    mine = variable()
    mine.save(at(5))
    store.values[KEY] = log_id(2)
    with pytest.raises(CheckpointMovedError) as caught:
        mine.save(at(6))
    assert caught.value.found == Checkpoint(Position(log_id(2), None))
    assert store.values[KEY] == log_id(2)


def test_a_hand_edit_of_what_another_task_saved_counts_as_made_by_hand(store):
    mine = variable()
    mine.save(at(5))
    variable("other try 1").save(at(7))
    store.values[KEY] = json.dumps({**json.loads(store.values[KEY]), "log_id": log_id(3)})
    with pytest.raises(CheckpointMovedError):
        mine.save(at(6))


@pytest.mark.parametrize("later", ["run try 2", "another run try 1"])
def test_a_task_that_began_later_is_given_way_to_and_one_that_began_earlier_is_not(store, later):
    old = variable()
    old.save(at(5))
    new = variable(later)
    new.save(at(7))
    with pytest.raises(SupersededError):
        old.save(at(6))
    assert parse_checkpoint(store.values[KEY], key=KEY) == at(7)
    old._look_for_others = lambda: None
    old.save(at(6))
    with pytest.raises(CheckpointMovedError):
        new.save(at(8))


def test_a_save_that_arrived_although_it_seemed_to_fail_is_not_taken_for_anothers(store):
    mine = variable()
    mine.save(at(1))
    store.answers_lost = True
    with pytest.raises(AirflowUnavailableError, match="the checkpoint cannot be saved"):
        mine.save(at(2))
    store.answers_lost = False
    mine.save(at(3))
    assert parse_checkpoint(store.values[KEY], key=KEY) == at(3)


def test_a_checkpoint_that_is_gone_or_unreadable_stops_the_run(store):
    for value in (None, "last tuesday"):
        mine = variable()
        mine.save(at(1))
        store.values.pop(KEY)
        if value:
            store.values[KEY] = value
        with pytest.raises(CheckpointMovedError) as caught:
            mine.save(at(2))
        assert caught.value.found is None
        assert store.values.get(KEY) == value
        store.values.clear()


def test_an_environment_variable_that_hides_it_is_refused(monkeypatch):
    monkeypatch.setenv("AIRFLOW_VAR_R_CHECKPOINT", "x")
    with pytest.raises(SettingError, match="AIRFLOW_VAR_R_CHECKPOINT hides the route's checkpoint"):
        variables.CheckpointVariable(KEY, description="d")
