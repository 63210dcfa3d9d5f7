from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth0_webhooks.errors import BatchesMixedError, BatchMissingError
from auth0_webhooks.model import batch as batch_module
from auth0_webhooks.model.batch import Batch, Label, batches, label_of, pack, unpack
from auth0_webhooks.model.events import LogEvent, Position
from tests.support.factory import START, events, one_batch
from tests.support.shapes import shaped_events, shaped_logs

anything = st.text(alphabet=st.characters(codec=None))


@given(st.lists(st.tuples(st.text("0123456789", min_size=1), anything, anything, anything), max_size=4))
def test_a_batch_comes_back_as_it_was_packed(rows):
    made = [LogEvent(*row, START) for row in rows]
    batch = Batch(START, Position("9", "d", seen=True), made)
    packed = pack(batch, made_by="a try", number=3)
    assert packed.isascii()
    assert unpack(packed, name="x") == batch
    assert label_of(packed, name="x") == Label("a try", 3, batch.start, batch.end)


@given(shaped_logs())
def test_a_batch_of_events_of_every_type_comes_back_to_the_letter(made):
    assert unpack(pack(one_batch(made), made_by="a try", number=0), name="x") == one_batch(made)


@given(st.lists(st.integers(0, 3_000_000), max_size=30), st.integers(1, 7))
def test_batches_hold_every_event_once_in_order_and_keep_to_both_limits(sizes, most):
    made, previous = [], START
    for number, size in enumerate(sizes):
        made.append(LogEvent(str(number + 1), "d", "s", "x" * size, previous))
        previous = made[-1].position
    original = batch_module.MAX_EVENTS
    batch_module.MAX_EVENTS = most
    try:
        cut = list(batches(made))
    finally:
        batch_module.MAX_EVENTS = original
    assert [event for batch in cut for event in batch.events] == made
    assert all(len(batch.events) <= most for batch in cut)
    assert all(len(batch.events) == 1 or sum(len(e.body) for e in batch.events) <= batch_module.MAX_CHARACTERS for batch in cut)
    assert [batch.start for batch in cut] == [batch.events[0].previous for batch in cut]
    assert [batch.end for batch in cut] == [batch.events[-1].position for batch in cut]


@pytest.mark.parametrize("packed", [None, "file:///xcom/batch_00000", "", 5, {"a": 1}, "aGVsbG8=", "\n", '["a",0,1,2]\n'])
def test_what_is_no_batch_is_reported_as_missing(packed):
    with pytest.raises(BatchMissingError, match="batch_00007 is no longer in XCom"):
        unpack(packed, name="batch_00007")


# What version 0.1.0 pushed: no label, all of it compressed.
FORMER = (
    "eAG1kMEKwjAMhl9Fcu4kyWHgnmMn2yIbqyLUKWt7GOK725oePQzBkFPy50v+aD0n7xUwctsg5ewRu0/uEfEI6jz44KzScEAsKiJmyq2tQVDpRA1zT0KnSo9L"
    "KvA/0SHk5U8D0xCdgW5nxOeXSwyo3I3ro+qCFPz9crpOMvqrfyHN6Ta6pZDoBWrj1621b5TkXcQ="
)


def test_a_batch_of_an_earlier_version_is_known_as_one():
    with pytest.raises(
        BatchesMixedError, match="batch_00000 was made by an earlier version .* clear fetch with its downstream tasks"
    ):
        unpack(FORMER, name="batch_00000")


def test_a_damaged_batch_says_what_to_do():
    packed = pack(Batch(START, START, events(1)), made_by="x", number=0)
    with pytest.raises(BatchMissingError, match="batch_00007 is damaged: .* clear fetch"):
        unpack(packed[:-9], name="batch_00007")


def test_a_batch_is_a_fraction_of_its_events():
    made = shaped_events(2000)
    assert len(pack(one_batch(made), made_by="x", number=0)) < sum(len(event.body) for event in made) / 3
