from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth0_webhooks.filtering.log_types import levels
from auth0_webhooks.filtering.selection import Selection, Tally, select
from auth0_webhooks.filtering.where import Where
from tests.support.factory import events, one_batch
from tests.support.shapes import shaped_events

kinds = st.sampled_from([*levels(), "brand_new", ""])
selections = st.builds(Selection, st.integers(0, 4), st.frozensets(kinds, max_size=4), st.frozensets(kinds, max_size=3))


@given(st.lists(kinds, min_size=1, max_size=40), selections)
def test_every_event_is_either_kept_in_order_or_counted_with_its_reason(types, selection):
    batch, tally = one_batch(shaped_events(types)), Tally()
    kept = select(batch, selection, tally)
    wanted = [
        event
        for event in batch.events
        if event.type not in selection.exclude_types
        and (event.type not in levels() or levels()[event.type] >= selection.log_level)
        and (not selection.log_types or event.type in selection.log_types)
    ]
    assert kept.events == wanted
    assert (kept.start, kept.end) == (batch.start, batch.end)
    assert tally.read == len(types) == tally.selected_types.total() + tally.dropped.total()
    assert tally.unknown_types.total() == sum(kind not in levels() for kind in types)


@pytest.mark.parametrize(
    ("selection", "log_type", "reason"),
    [
        (Selection(), "s", None),
        (Selection(exclude_types=frozenset({"sapi"}), log_types=frozenset({"sapi"})), "sapi", "excluded"),
        (Selection(log_level=3), "s", "below_level"),
        (Selection(log_level=3), "f", None),
        (Selection(log_level=4), "brand_new", None),
        (Selection(log_types=frozenset({"f"})), "brand_new", "other_type"),
        (Selection(log_level=4, log_types=frozenset({"f"})), "f", "below_level"),
        (Selection(log_types=frozenset({"F"})), "f", "other_type"),
    ],
)
def test_exclusion_comes_first_and_level_and_type_must_both_fit(selection, log_type, reason):
    assert selection.reason_to_drop(log_type) == reason


def test_where_is_asked_last_and_what_it_cannot_tell_is_kept_and_counted():
    made = events(["s", "s", "s", "sapi"])
    made[2] = made[2]._replace(body='{"number": "three"}')
    tally = Tally()
    kept = select(one_batch(made), Selection(exclude_types=frozenset({"sapi"}), where=Where("number < `2`")), tally)
    assert kept.events == [made[0], made[2]]
    assert tally.dropped == {"not_matching": 1, "excluded": 1}
    assert tally.undecided == 1


def test_what_stays_remembers_the_place_before_what_was_dropped():
    made = events(["s", "sapi", "sapi", "s"])
    kept = select(one_batch(made), Selection(exclude_types=frozenset({"sapi"})), Tally())
    assert kept.events[1].previous == made[2].position
