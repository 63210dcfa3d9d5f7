"""What ends a delivery in which something hangs or breaks off. Over real HTTP."""

from __future__ import annotations

import threading

import pytest

from auth0_webhooks.checkpoint import Checkpoint
from auth0_webhooks.errors import DeliveryStalledError
from auth0_webhooks.stalls import Idle
from auth0_webhooks.waits import Waits
from tests.support.factory import START, Keeper, delivery, events, log_id, one_batch

STALLED = Waits(answer=60.0, kill_grace=0.1, last_save=20.0, stalled=1.0)


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
    with pytest.raises(DeliveryStalledError, match="so something hangs") as caught:
        delivery(receiver.url, keeper, made, waits=STALLED).run(lambda: [one_batch(made)])
    assert not caught.value.retry
    assert keeper.stored == Checkpoint(made[9].position)


class HangingStore:
    """A place for dead letters that does not come back, as a network drive may."""

    def __init__(self):
        self.entered, self.release = threading.Event(), threading.Event()

    def put(self, _event, _answer, _tries):
        self.entered.set()
        self.release.wait(120)


def test_a_place_of_dead_letters_that_hangs_ends_the_delivery_and_nothing_passes_the_event(receiver):
    receiver.behave = lambda post: 422 if post.log_id == log_id(3) else 200
    made, keeper, store = events(30), Keeper(), HangingStore()
    try:
        with pytest.raises(DeliveryStalledError):
            delivery(receiver.url, keeper, made, waits=STALLED, dead_letters=store).run(lambda: [one_batch(made)])
        assert store.entered.is_set()
    finally:
        store.release.set()
    assert keeper.stored.position == made[1].position


def test_a_save_that_hangs_ends_the_delivery(receiver):
    made, keeper, release = events(30), Keeper(), threading.Event()
    keeper.before_save = lambda _checkpoint: release.wait(120)
    waits = Waits(kill_grace=0.1, last_save=0.1, stalled=1.0)
    try:
        with pytest.raises(DeliveryStalledError):
            delivery(receiver.url, keeper, made, waits=waits).run(lambda: [one_batch(made)])
    finally:
        release.set()


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
