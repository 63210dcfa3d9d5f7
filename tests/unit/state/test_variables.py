"""The checkpoint's Variable where others write to it, too.

A store in memory stands in for Airflow's: a write that arrives while its answer is lost cannot be asked of the real one. The
real one is used in tests/runs and tests/live.
"""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from auth0_webhooks.delivery.checkpoint_keeper import CheckpointMovedError
from auth0_webhooks.errors import AirflowUnavailableError, SettingError, SupersededError
from auth0_webhooks.model.checkpoint import Checkpoint, Hold, parse_checkpoint, writer_of
from auth0_webhooks.model.events import Position
from auth0_webhooks.state import variables
from tests.conftest import PROJECT
from tests.support.factory import log_id

KEY = "r_checkpoint"


class Store:
    """Variables in memory; ``unreachable`` and ``answers_lost`` are the faults."""

    def __init__(self):
        self.values = {}
        self.frozen = {}
        self.unreadable = set()
        self.unreachable = self.answers_lost = False

    def get(self, key):
        if key in self.unreadable:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND))
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
        if (key, threading.get_ident()) in self.frozen:
            arrived, go_on = self.frozen.pop((key, threading.get_ident()))
            arrived.set()
            assert go_on.wait(60)
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


READS = pytest.mark.parametrize("read", [variables.read_variable, variables.read_rare_variable])


@READS
def test_a_variable_that_cannot_be_read_is_not_taken_for_one_that_is_not_there(store, read):
    assert read(KEY) is None
    store.values[KEY] = "kept"
    assert read(KEY) == "kept"
    store.unreadable.add(KEY)
    with pytest.raises(AirflowUnavailableError, match="is there but could not be read just now"):
        read(KEY)
    store.unreachable = True
    with pytest.raises(AirflowUnavailableError, match="cannot be read"):
        read(KEY)


def test_a_variable_that_is_rarely_there_costs_one_request_where_it_is_not(store, monkeypatch):
    monkeypatch.setattr(store, "get", lambda _key: pytest.fail("a second request"))
    assert variables.read_rare_variable(KEY) is None


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
    new.save(at(8))
    assert parse_checkpoint(store.values[KEY], key=KEY) == at(8)


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


RECORD = "r_checkpoint_writer"


class Frozen:
    """A save that is held between its look-up and its write of one of the two Variables, until ``go_on``."""

    def __init__(self, store, mine, checkpoint, key=KEY):
        self.arrived, self.event, self.pool = threading.Event(), threading.Event(), ThreadPoolExecutor(1)

        def save():
            store.frozen[key, threading.get_ident()] = (self.arrived, self.event)
            mine.save(checkpoint)

        self.saving = self.pool.submit(save)
        assert self.arrived.wait(60)

    def go_on(self):
        self.event.set()
        try:
            return self.saving.exception(60)
        finally:
            self.pool.shutdown()


def written(store, key=KEY):
    return parse_checkpoint(store.values[key], key=key)


def test_a_late_save_of_an_older_try_is_not_used_and_replaced(store):
    old = variable()
    old.save(at(1))
    frozen = Frozen(store, old, at(347))
    new = variable("run try 2")
    new.save(at(3000))
    new.close()
    assert isinstance(frozen.go_on(), SupersededError)
    assert written(store) == at(347)
    third = variables.CheckpointVariable(KEY, description="d", saved_by="next try 1")
    assert third.load() == at(3000)
    assert written(store) == at(3000)
    assert f"airflow variables set {KEY} {log_id(347)}" in third.note
    assert log_id(3000) in third.note


def test_a_try_after_one_that_left_its_record_open_records_every_save(store):
    old = variable()
    old.save(at(1))
    frozen = Frozen(store, old, at(347))
    new = variable("run try 2")
    for number in (900, 1800, 3000):
        new.save(at(number))
    frozen.go_on()  # and the second try is killed before it saves again
    assert variable("run try 3").load() == at(3000)


def test_a_try_after_one_that_closed_its_record_writes_it_at_its_start_and_its_end_only(store):
    first = variable()
    first.save(at(1))
    first.close()
    second = variable("next try 1")
    second.save(at(2))
    second.save(at(3))
    assert written(store, RECORD) == at(2)
    second.close()
    assert written(store, RECORD) == at(3)


def test_a_late_write_of_the_record_does_no_harm_and_its_try_ends(store):
    frozen = Frozen(store, variable(), at(1), RECORD)
    new = variable("run try 2")
    new.save(at(3000))
    new.close()
    assert isinstance(frozen.go_on(), SupersededError)
    assert (written(store), written(store, RECORD)) == (at(3000), at(1))
    third = variable("next try 1")
    assert third.load() == at(3000)
    assert third.note is None


def test_a_kill_between_the_two_writes_leaves_what_is_acknowledged(store):
    variable().save(at(1))
    new = variable("run try 2")
    frozen = Frozen(store, new, at(50))
    assert variable("run try 3").load() == at(50)
    frozen.go_on()


@pytest.mark.parametrize("running", [True, False])
def test_a_late_save_is_replaced_by_the_try_that_runs(store, running):
    old = variable()
    old.save(at(1))
    frozen = Frozen(store, old, at(347))
    new = variable("run try 2")
    new.save(at(500))
    if not running:
        new.close()
    frozen.go_on()
    new.save(at(600))
    assert written(store) == at(600)


AN_ID, ANOTHER = (
    "90020261122100000000000000000000000000000000000000000005",
    "90020261122100000000000000000000000000000000000000000007",
)
DATE = "2026-11-22T10:00:00.000Z"
BY = '"saved_by": "demo try 1",\n "saved_since": "2026-11-22T21:14:27.604513+00:00",\n "start_from": "oldest"\n}'


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (AN_ID, Checkpoint(Position(AN_ID, None))),
        (f'{{"log_id": "{AN_ID}"}}', Checkpoint(Position(AN_ID, None))),
        ("2026-11-22T10:00:00Z", Checkpoint(Position(None, DATE))),
        # As a version stored them that kept no record and no sum.
        (
            f'{{\n "log_id": "{AN_ID}",\n "date": "{DATE}",\n "seen": true,\n "saved_as": "{AN_ID}",\n {BY}',
            Checkpoint(Position(AN_ID, DATE, seen=True)),
        ),
        (
            f'{{\n "log_id": "{AN_ID}",\n "date": "{DATE}",\n "seen": false,\n "saved_as": "{AN_ID}",\n {BY}',
            Checkpoint(Position(AN_ID, DATE, seen=False)),
        ),
        (
            f'{{\n "log_id": null,\n "date": "{DATE}",\n "seen": false,\n "saved_as": null,\n {BY}',
            Checkpoint(Position(None, DATE)),
        ),
        (
            (
                f'{{\n "log_id": "{AN_ID}",\n "date": "{DATE}",\n "seen": true,\n "saved_as": "{AN_ID}",\n'
                f' "hold_until": "2026-11-22T11:00:00.000Z",\n "hold_reason": "webhook answered 410 Gone",\n'
                f' "acknowledged": [\n  "{ANOTHER}"\n ],\n {BY}'
            ),
            Checkpoint(
                Position(AN_ID, DATE, seen=True),
                (ANOTHER,),
                Hold(datetime(2026, 11, 22, 11, tzinfo=timezone.utc), "webhook answered 410 Gone"),
            ),
        ),
    ],
)
def test_what_a_person_or_a_former_version_set_counts_whatever_the_record_says(store, text, meant):
    store.values[KEY] = text
    assert variable().load() == meant
    mine = variable()
    mine.save(at(3000))
    mine.close()
    store.values[KEY] = text
    after = variable("next try 1")
    assert after.load() == meant
    assert store.values[KEY] == text
    after.save(at(6))
    assert variable("third try 1").load() == at(6)


def test_a_restored_backup_counts_once_its_sum_or_the_record_is_gone(store):
    mine = variable()
    mine.save(at(5))
    backup = store.values[KEY]
    mine.close()
    variable("next try 1").save(at(3000))
    store.values[KEY] = backup
    assert variable("b").load() == at(3000)
    store.values[KEY] = json.dumps({key: value for key, value in json.loads(backup).items() if key != "sum"})
    assert variable("c").load() == at(5)
    store.values[KEY] = backup
    del store.values[RECORD]
    assert variable("d").load() == at(5)


def test_a_checkpoint_copied_to_the_name_of_another_route_is_continued_from(store):
    """A route is renamed: docs/checkpoint.md."""
    variable().save(at(30))
    store.values["renamed_checkpoint"] = store.values[KEY]
    renamed = variables.CheckpointVariable("renamed_checkpoint", description="")
    assert renamed.load() == at(30)
    renamed.save(at(31))
    assert variables.CheckpointVariable("renamed_checkpoint", description="").load() == at(31)


def resealed(text, **changes):
    """The text with other values, as a version that writes them would store it."""
    stored = {key: value for key, value in {**json.loads(text), **changes}.items() if key != "sum"}
    digest = hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()[:16]
    return json.dumps({**stored, "sum": digest}, indent=1)


@pytest.mark.parametrize(
    "changed",
    [
        lambda _: log_id(2),
        lambda text: text.replace(log_id(5), log_id(2)),
        lambda text: text[:40],
        lambda _: "",
        lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != "sum"}),
        lambda text: json.dumps({**json.loads(text), "sum": "of another kind"}),
        lambda text: resealed(text, saved_since=17),
        lambda text: resealed(text, log_id="a place of another kind"),
        lambda text: resealed(text, hold_until="0001-01-01T00:00:00+23:00"),
    ],
    ids=["a log id", "edited", "cut", "empty", "no sum", "another sum", "another time", "another place", "no such time"],
)
def test_a_record_that_a_person_or_a_newer_version_changed_is_replaced_and_the_checkpoint_counts(store, changed):
    mine = variable()
    mine.save(at(5))
    mine.close()
    store.values[RECORD] = changed(store.values[RECORD])
    after = variables.CheckpointVariable(KEY, description="d", saved_by="next try 1")
    assert after.load() == at(5)
    assert f"Variable {RECORD!r} was changed" in after.note
    after.save(at(6))
    after.close()
    third = variables.CheckpointVariable(KEY, description="d")
    assert third.load() == at(6)
    assert third.note is None


def test_a_record_of_a_newer_version_with_more_in_it_still_tells_a_late_save(store):
    mine = variable()
    mine.save(at(5))
    late = store.values[KEY]
    mine.save(at(9))
    mine.close()
    store.values.update({KEY: late, RECORD: resealed(store.values[RECORD], also={"known": "later"})})
    assert variable("next try 1").load() == at(9)


def test_a_record_that_cannot_be_read_just_now_is_tried_again_by_airflow(store):
    mine = variable()
    mine.save(at(5))
    store.unreadable.add(RECORD)
    with pytest.raises(AirflowUnavailableError, match=f"Variable {RECORD!r} is there but could not be read just now"):
        variable("next try 1")


@pytest.mark.parametrize("at_save", [1, 2])
def test_a_record_that_is_deleted_while_a_try_runs_is_there_again_after_it(store, at_save):
    mine = variable()
    for number in (1, 2, 3):
        mine.save(at(number))
        if number == at_save:
            del store.values[RECORD]
    mine.close()
    assert (written(store), written(store, RECORD)) == (at(3), at(3))
    assert variable("next try 1").load() == at(3)


def test_a_place_set_by_hand_before_a_late_save_arrives_is_gone_on_from_once_a_run_has_read_it(store):
    old = variable()
    old.save(at(1))
    frozen = Frozen(store, old, at(347))
    store.values[KEY] = log_id(100)
    new = variable("next try 1")
    frozen.go_on()
    assert written(store) == at(347)
    new.save(at(101))
    assert written(store) == at(101)
    assert variable("third try 1").load() == at(101)


def test_a_try_on_a_machine_whose_time_is_behind_is_later_than_what_it_finds(store):
    ahead = variables.CheckpointVariable(KEY, description="d")
    ahead._writer = ahead._writer._replace(since=ahead._writer.since.replace(year=2100))
    ahead.load()
    ahead.save(at(1))
    behind = variable("run try 2")
    behind.save(at(2))
    assert variable("run try 3").load() == at(2)


def test_the_sample_in_the_docs_is_one_that_a_try_stored():
    text = (PROJECT / "docs" / "checkpoint.md").read_text(encoding="utf-8")
    sample = text.split("airflow variables get auth0_log_webhooks_checkpoint\n")[1].split("\n```")[0]
    writer = writer_of(sample)
    assert writer
    assert parse_checkpoint(sample, key=KEY).dump(writer, start_from="oldest") == sample
