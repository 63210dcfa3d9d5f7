from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth0_webhooks.errors import SettingError
from auth0_webhooks.model.checkpoint import MAX_ACKNOWLEDGED, Checkpoint, Hold, before, parse_checkpoint
from auth0_webhooks.model.events import Position
from auth0_webhooks.times import parse_time
from tests.support.factory import log_id

ids = st.integers(0, 10**30).map(log_id)


@given(ids, st.lists(ids, max_size=3), st.booleans(), st.booleans())
def test_a_checkpoint_comes_back_as_it_was_stored(at, acknowledged, seen, held):
    hold = Hold(datetime(2026, 11, 22, 10, tzinfo=timezone.utc), "webhook answered 410 Gone") if held else None
    stored = Checkpoint(Position(at, "2026-11-22T10:00:00.000Z", seen), tuple(acknowledged), hold)
    assert parse_checkpoint(stored.dump(), key="k") == stored


@pytest.mark.parametrize(
    ("text", "position"),
    [
        (log_id(7), Position(log_id(7), None)),
        (f'"{log_id(7)}"', Position(log_id(7), None)),
        (f'{{"log_id": {log_id(7)}}}', Position(log_id(7), None)),
        ("2026-11-22T10:00:00Z", Position(None, "2026-11-22T10:00:00.000Z")),
        ("2026-11-22 11:00:00+01:00", Position(None, "2026-11-22T10:00:00.000Z")),
        (' {"date": "2026-11-22"} ', Position(None, "2026-11-22T00:00:00.000Z")),
    ],
)
def test_a_person_may_write_just_a_log_id_or_just_a_time(text, position):
    assert parse_checkpoint(text, key="k") == Checkpoint(position)


@pytest.mark.parametrize("text", ["", "yesterday", "{}", "[]", '{"log_id": "x"}', "null", '{"log_id": 1.5}', "{", '{"date": 5}'])
def test_anything_else_is_an_error_that_says_what_to_write(text):
    with pytest.raises(
        SettingError, match=r"Variable 'r_checkpoint' is not a checkpoint (?s:.*)airflow variables set r_checkpoint"
    ):
        parse_checkpoint(text, key="r_checkpoint")


def test_what_was_remembered_counts_only_for_the_place_it_was_written_for():
    stored = json.loads(Checkpoint(Position(log_id(50), "d", seen=True), (log_id(52),)).dump())
    rewound = parse_checkpoint(json.dumps({**stored, "log_id": log_id(10)}), key="k")
    assert rewound == Checkpoint(Position(log_id(10), "d", seen=False))


def test_a_full_checkpoint_stays_under_8_kb():
    hold = Hold(datetime.now(timezone.utc), "webhook answered 429 Too Many Requests")
    full = Checkpoint(
        Position(log_id(1), "2026-11-22T10:00:00.000Z", seen=True), tuple(map(log_id, range(MAX_ACKNOWLEDGED))), hold
    )
    assert len(full.dump()) < 8000


@given(ids, ids)
def test_places_with_ids_compare_by_id(one, other):
    assert before(Position(one, None), Position(other, "2020")) == (int(one) < int(other))


def test_places_without_an_id_compare_by_time_and_lie_before_those_with_one():
    early, late = Position(None, "2026-01-01T00:00:00Z"), Position(None, "2026-01-01T00:00:00.001Z")
    assert before(early, late)
    assert not before(late, early)
    assert before(late, Position("1", "2020-01-01T00:00:00Z"))
    assert not before(Position("1", None), late)


@pytest.mark.parametrize("text", ["2026-11-22T10:00:00Z", "2026-11-22T10:00:00.5z", "2026-11-22T12:00:00.500000000+02:00"])
def test_times_are_read_as_utc_with_any_number_of_decimals(text):
    moment = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
    assert parse_time(text) - moment in {timedelta(0), timedelta(milliseconds=500)}
