"""The bounds of what can be sent twice, as a model: random answers, crashes at any moment."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from auth0_webhooks.delivery.progress import DONE, MOST_REPEATED, MOST_UNSAVED, Progress, State
from auth0_webhooks.model.batch import Batch
from auth0_webhooks.model.checkpoint import MAX_ACKNOWLEDGED, Checkpoint, parse_checkpoint, time_order
from auth0_webhooks.payload.payload import Payload
from tests.support.factory import START, events, most_repeated, one_batch


def cut(made, size):
    return [one_batch(made[at : at + size]) for at in range(0, len(made), size)]


def in_time(made, chance):
    """The events of a window: by date, many of them at the same moment, their ids in any order."""
    moments = sorted(f"2026-11-22T10:00:00.{chance.randrange(len(made) // 3 + 1):03d}Z" for _ in made)
    chance.shuffle(made)
    placed = [event._replace(date=date) for event, date in zip(made, moments, strict=True)]
    placed.sort(key=lambda event: time_order(event.position))
    starts = [START, *(event.position for event in placed)]
    return [event._replace(previous=start) for event, start in zip(placed, starts, strict=False)]


@settings(deadline=None)
@given(
    st.integers(1, 800),
    st.integers(1, 600),
    st.integers(1, 100),
    st.one_of(st.none(), st.integers(1, 500)),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_whatever_crashes_nothing_is_lost_and_little_is_repeated(count, size, calls, in_one_post, by_time, chance):
    made = in_time(events(count), chance) if by_time else events(count)
    payload = Payload(form="array", max_events=in_one_post) if in_one_post else Payload()
    bound = most_repeated(calls, in_one_post or 1)
    sent, saved = [], Checkpoint(START)
    for _ in range(5):
        sent_before, unsaved_done = len(sent), 0
        progress, crashed = Progress(saved, by_time=by_time, most_outstanding=payload.most_outstanding), False
        for number, batch in enumerate(cut(made, size)):
            progress.open(number, batch, payload.groups(batch.events))
            under_way: list[list[int]] = []
            while not crashed:
                while len(under_way) < calls and (group := progress.take()):
                    assert len(group) <= (in_one_post or 1)
                    under_way.append(group)
                if chance.random() < 0.01:
                    crashed = True
                elif under_way and chance.random() < 0.8:
                    group = under_way.pop(chance.randrange(len(under_way)) if chance.random() < 0.9 else 0)
                    for index in group:
                        sent.append(batch.events[index].log_id)
                        progress.settle(index, State.DELIVERED_NOW)
                    unsaved_done += len(group)
                    assert unsaved_done + sum(map(len, under_way)) <= bound
                else:
                    saved = parse_checkpoint(progress.checkpoint().dump(), key="k")
                    assert len(saved.acknowledged) <= payload.most_outstanding
                    assert in_one_post or len(saved.dump()) < 8000
                    progress.unsaved = unsaved_done = 0
                    done = set(sent)
                    first_missing = next((event for event in made if event.log_id not in done), None)
                    assert first_missing is None or not progress.before(first_missing.previous, saved.position)
                    assert set(saved.acknowledged) <= done
                if progress.all_taken and not under_way:
                    break
            if crashed:
                break
        repeated = len(sent) - len(set(sent))
        assert repeated <= bound * 5
        if not crashed:
            assert set(sent) == {event.log_id for event in made}
            return
        assert len(sent) >= sent_before


def test_a_saved_run_that_is_started_again_repeats_nothing():
    made = events(300)
    chance = random.Random(1)
    progress = Progress(Checkpoint(START))
    progress.open(0, one_batch(made))
    taken = [index for _ in range(50) for index in progress.take()]
    acknowledged = set(chance.sample(taken[1:], 30))
    for index in acknowledged:
        progress.settle(index, State.DELIVERED_NOW)
    again = Progress(parse_checkpoint(progress.checkpoint().dump(), key="k"))
    again.open(0, one_batch(made))
    sent = []
    while group := again.take():
        (index,) = group
        sent.append(index)
        again.settle(index, State.DELIVERED_NOW)
        again.unsaved = 0
    assert sent == [index for index in range(300) if index not in acknowledged]


def test_while_the_first_event_waits_the_others_go_on_only_as_far_as_can_be_remembered():
    progress = Progress(Checkpoint(START))
    progress.open(0, one_batch(events(500)))
    assert progress.take() == [0]
    done = 0
    while group := progress.take():
        (index,) = group
        progress.settle(index, State.DELIVERED_NOW)
        progress.unsaved = 0
        done += 1
    assert done == MAX_ACKNOWLEDGED - 1
    progress.settle(0, State.DELIVERED_NOW)
    assert progress.take() == [done + 1]


def test_no_event_starts_while_five_hundred_acknowledgements_are_unsaved():
    progress = Progress(Checkpoint(START))
    progress.open(0, one_batch(events(700)))
    for _ in range(MOST_UNSAVED):
        (index,) = progress.take()
        progress.settle(index, State.DELIVERED_NOW)
    assert progress.take() == []
    assert progress.waits_for_save
    progress.unsaved = 0
    assert progress.take() == [MOST_UNSAVED]


def test_no_batch_starts_that_would_make_too_many_unsaved_and_under_way():
    payload, made = Payload("array", max_events=150), events(1500)
    progress = Progress(Checkpoint(START), most_outstanding=payload.most_outstanding)
    progress.open(0, one_batch(made), payload.groups(made))
    first, second = progress.take(), progress.take()
    for index in first:
        progress.settle(index, State.DELIVERED_NOW)
    while progress.take():
        pass
    assert progress.unsaved + progress._under_way == MOST_REPEATED
    assert progress.waits_for_save
    progress.unsaved = 0
    assert progress.take() == []  # too many to be remembered, should the second never be acknowledged
    assert not progress.waits_for_save
    for index in second:
        progress.settle(index, State.DELIVERED_NOW)
    assert len(progress.take()) == 150


def test_the_place_is_before_the_first_unfinished_event_and_after_what_was_dropped():
    made = events(["s", "sapi", "s"])
    progress = Progress(Checkpoint(START))
    progress.open(0, Batch(START, made[-1].position, [made[0], made[2]]))
    (index,) = progress.take()
    assert index == 0
    progress.settle(index, State.DELIVERED_NOW)
    assert progress.position == made[1].position


def test_a_batch_with_nothing_wanted_moves_the_place_to_its_end():
    made = events(3)
    progress = Progress(Checkpoint(START))
    progress.open(0, Batch(START, made[-1].position, []))
    assert progress.position == made[-1].position


def test_events_sent_again_after_a_rewind_are_counted_once_and_as_repeats():
    made = events(10)
    progress = Progress(Checkpoint(START))
    for _ in range(2):
        progress.open(0, one_batch(made))
        while group := progress.take():
            progress.settle(group[0], State.DELIVERED_NOW)
        progress.adopt(Checkpoint(made[3].position))
    assert progress.counts()[State.DELIVERED_NOW] == 10
    assert progress.repeated == 6
    assert DONE == State.DELIVERED_NOW
