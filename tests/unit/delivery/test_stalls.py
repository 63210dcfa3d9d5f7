"""What ends a delivery in which something hangs or breaks off. Over real HTTP."""

from __future__ import annotations

import threading
import time

import pytest

from auth0_webhooks.delivery.stalls import Idle
from auth0_webhooks.errors import DeliveryStalledError
from auth0_webhooks.model.checkpoint import Checkpoint
from auth0_webhooks.waits import Waits
from tests.support.factory import START, UNTIL_STALLED, Keeper, delivery, events, log_id, one_batch, wait_for


def stalled(deliver, hangs):
    """The error of a delivery in which something hangs: with more time, and once more, where a busy machine did not get there."""
    for seconds in UNTIL_STALLED:
        with pytest.raises(DeliveryStalledError, match="so something hangs") as caught:
            deliver(Waits(answer=300.0, kill_grace=0.1, last_save=20.0, stalled=seconds))
        if hangs():
            return caught.value
    raise AssertionError("nothing hung")


def test_what_settles_begins_the_time_again_and_an_asked_pause_does_not_count():
    idle = Idle(1800.0, now=100.0)
    assert idle.left(100.0) == 1800.0
    idle.settled(700.0)
    assert idle.left(2499.0) == 1.0
    assert idle.left(2500.0) == 0.0
    assert idle.left(2500.0, not_before=2600.0) == 1900.0
    assert idle.left(2500.0, not_before=200.0) == 0.0


def test_a_delivery_that_settles_nothing_ends_itself_and_keeps_what_was_acknowledged(receiver):
    receiver.behave = lambda post: "hang" if post.log_id > log_id(10) else 200
    made, keeper = events(30), Keeper()
    error = stalled(
        lambda waits: delivery(receiver.url, keeper, made, waits=waits).run(lambda: [one_batch(made)]),
        lambda: len({*receiver.accepted}) == 10,
    )
    assert not error.retry
    assert keeper.stored == Checkpoint(made[9].position)


class HangingStore:
    """A place for dead letters that does not come back, as a network drive may."""

    def __init__(self):
        self.entered, self.release = threading.Event(), threading.Event()

    def put(self, _event, _answer, _tries):
        self.entered.set()
        self.release.wait(600)


def test_a_place_of_dead_letters_that_hangs_ends_the_delivery_and_nothing_passes_the_event(receiver):
    receiver.behave = lambda post: 422 if post.log_id == log_id(3) else 200
    made, keeper, store = events(30), Keeper(), HangingStore()
    try:
        stalled(
            lambda waits: delivery(receiver.url, keeper, made, waits=waits, dead_letters=store).run(lambda: [one_batch(made)]),
            store.entered.is_set,
        )
    finally:
        store.release.set()
    assert keeper.stored.position == made[1].position


def test_a_save_that_hangs_ends_the_delivery(receiver):
    made, keeper, release = events(30), Keeper(), threading.Event()
    keeper.before_save = lambda _checkpoint: release.wait(600)
    waits = Waits(kill_grace=0.1, last_save=0.1, stalled=1.0)
    try:
        with pytest.raises(DeliveryStalledError):
            delivery(receiver.url, keeper, made, waits=waits).run(lambda: [one_batch(made)])
    finally:
        release.set()


def test_a_batch_that_cannot_be_read_because_airflow_hangs_ends_the_delivery_and_keeps_what_was_acknowledged(receiver):
    made, keeper, hangs, release = events(40), Keeper(), threading.Event(), threading.Event()

    def batches():
        yield one_batch(made[:20])
        hangs.set()
        release.wait(600)
        yield one_batch(made[20:])

    try:
        stalled(lambda waits: delivery(receiver.url, keeper, made, waits=waits).run(batches), hangs.is_set)
    finally:
        release.set()
    assert keeper.stored == Checkpoint(made[19].position)


def test_no_batch_is_read_while_a_checkpoint_is_saved(receiver):
    made, keeper, saving = events(240), Keeper(), threading.Event()
    at_once = []

    def save(_checkpoint):
        saving.set()
        # By then the next batch is all that is left to do, but for this save.
        wait_for(lambda: len(receiver.accepted) % 60 == 0)
        time.sleep(0.1)
        saving.clear()

    def batches():
        for at in range(0, 240, 60):
            at_once.append(saving.is_set())
            yield one_batch(made[at : at + 60])

    keeper.before_save = save
    delivery(receiver.url, keeper, made).run(batches)
    assert at_once == [False] * 4


def test_a_batch_that_cannot_be_read_moves_the_place_no_further(receiver):
    made, keeper = events(40), Keeper()

    def batches():
        yield one_batch(made[:20])
        raise LookupError("the batch is no longer there")

    with pytest.raises(LookupError):
        delivery(receiver.url, keeper, made).run(batches)
    assert keeper.stored == Checkpoint(made[19].position)


def test_a_fault_of_our_own_opens_no_other_batch_and_what_is_under_way_is_counted(receiver):
    made, keeper, asked = events(40), Keeper(Checkpoint(START)), []
    running = delivery(receiver.url, keeper, made, concurrent_calls=5)
    take, broken = running.progress.take, threading.Event()

    def breaks(**how):
        if len(receiver.posts) >= 5:
            broken.set()
            raise ZeroDivisionError("a fault")
        return take(**how)

    running.progress.take = breaks
    # Four of the first five are answered only once the fault has come.
    receiver.behave = lambda post: ("after", broken.is_set, 200) if post.log_id != log_id(1) else (
        "after", lambda: len(receiver.posts) >= 5, 200
    )  # fmt: skip

    def batches():
        for at in (0, 20):
            asked.append(at)
            yield one_batch(made[at : at + 20])

    with pytest.raises(ZeroDivisionError):
        running.run(batches)
    assert asked == [0]
    assert sorted(receiver.accepted) == [log_id(number) for number in range(1, 6)]
    assert keeper.stored == Checkpoint(made[4].position)
