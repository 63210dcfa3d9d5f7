"""``concurrent_calls: auto`` and ``max_per_second``: how many POSTs are open, and when they start."""

from __future__ import annotations

import threading
import time

import pytest

from auth0_webhooks.errors import DeliveryStoppedError
from auth0_webhooks.settings.route import Route
from auth0_webhooks.webhook.pacing import MOST_CALLS, Auto
from tests.support.factory import Keeper, delivery, events, one_batch, wait_for


class Rounds:
    """POSTs in rounds of as many as are allowed, to an endpoint that answers after ``latency(open)`` seconds.

    ``most`` is how many it takes at a time: to one more it answers 429, at once.
    """

    def __init__(self, latency, most=MOST_CALLS):
        self.auto, self.latency, self.most = Auto(), latency, most
        self.now, self.refused, self.seen = 0.0, 0, []

    def go_on(self, seconds, *, at_once=MOST_CALLS):
        """:param at_once: how many POSTs there are to send at a time."""
        end = self.now + seconds
        while self.now < end:
            count, began = min(self.auto.allowed, at_once), self.now
            self.seen.append(self.auto.allowed)
            self.auto.opened(count)
            self.now += self.latency(count)
            for number in range(count):
                overloaded = number >= self.most
                self.refused += overloaded
                self.auto.answered(began, self.now, overloaded=overloaded)
        return self.auto.allowed


def test_it_starts_with_one_and_grows_while_answers_stay_as_quick_as_they_were():
    rounds = Rounds(lambda _open: 0.05)
    assert rounds.auto.allowed == 1
    assert rounds.go_on(60) == MOST_CALLS
    assert all(after - before <= 1 for before, after in zip(rounds.seen, rounds.seen[1:], strict=False))


def test_it_stays_near_what_the_endpoint_works_through_where_more_only_wait():
    """300 a second that take 20 ms each: six at a time."""
    rounds = Rounds(lambda count: max(0.02, count / 300))
    rounds.go_on(20)
    rounds.seen.clear()
    rounds.go_on(60)
    assert min(rounds.seen) >= 6
    assert max(rounds.seen) <= 16


def test_it_stays_below_what_the_endpoint_refuses_and_tries_more_now_and_then():
    rounds = Rounds(lambda _open: 0.02, most=6)
    rounds.go_on(60)
    assert 1 <= rounds.refused <= 7
    assert sum(rounds.seen) / len(rounds.seen) > 5
    rounds.most = MOST_CALLS
    assert rounds.go_on(60) == MOST_CALLS


def test_it_shrinks_when_the_endpoint_becomes_slow_and_grows_again_afterwards():
    rounds = Rounds(lambda _open: 0.05)
    rounds.go_on(60)
    rounds.latency = lambda count: 0.05 + count * 0.05
    assert rounds.go_on(30) < 10
    rounds.latency = lambda _open: 0.05
    assert rounds.go_on(60) == MOST_CALLS


def test_an_endpoint_that_became_slower_for_good_gets_many_at_a_time_again():
    rounds = Rounds(lambda _open: 0.05)
    rounds.go_on(60)
    rounds.latency = lambda _open: 0.5
    rounds.go_on(120)
    assert rounds.go_on(120) == MOST_CALLS


def test_a_limit_that_was_not_reached_says_nothing_about_a_higher_one():
    assert Rounds(lambda _open: 0.05).go_on(60, at_once=3) <= 4


def test_answers_to_posts_from_before_a_change_do_not_count():
    auto = Auto()
    for _ in range(4):
        auto.opened(auto.allowed)
        for _ in range(3):
            auto.answered(1.0, 1.1, overloaded=False)
    grown = auto.allowed
    auto.answered(2.0, 2.1, overloaded=True)
    shrunk = auto.allowed
    assert shrunk < grown
    for _ in range(50):
        auto.answered(2.0, 2.2, overloaded=True)
    assert auto.allowed == shrunk


def test_auto_delivers_everything_once_and_obeys_a_webhook_that_takes_three_at_a_time(receiver):
    made = events(300)
    receiver.behave = lambda _post: 503 if receiver.under_way > 3 else 200
    delivery(receiver.url, Keeper(), made, concurrent_calls="auto").run(lambda: [one_batch(made)])
    assert sorted(receiver.accepted) == sorted(event.log_id for event in made)
    assert receiver.repeats == 0
    assert receiver.most_at_once <= MOST_CALLS


@pytest.mark.parametrize("calls", [1, 5, "auto"])
def test_at_most_so_many_posts_start_in_a_second_retries_included(receiver, calls):
    made = events(12)
    receiver.behave = lambda _post: 502 if len(receiver.posts) in {3, 4, 7} else 200
    began = time.monotonic()
    delivery(receiver.url, Keeper(), made, concurrent_calls=calls, max_per_second=25).run(lambda: [one_batch(made)])
    took = time.monotonic() - began
    assert len(receiver.posts) == 15
    assert took >= 14 / 25
    assert sorted(receiver.accepted) == [event.log_id for event in made]


def test_a_pause_that_the_webhook_asks_for_is_followed_by_no_burst(receiver):
    made = events(8)
    receiver.behave = lambda _post: (429, {"Retry-After": "1"}) if len(receiver.posts) == 1 else 200
    began = time.monotonic()
    delivery(receiver.url, Keeper(), made, concurrent_calls=5, max_per_second=20).run(lambda: [one_batch(made)])
    assert time.monotonic() - began >= 1 + 7 / 20
    assert len(receiver.posts) == 9


def test_a_run_that_is_ended_while_it_waits_for_its_pace_ends_at_once_and_keeps_what_is_done(receiver):
    made, keeper = events(5), Keeper()
    running = delivery(receiver.url, keeper, made, concurrent_calls=5, max_per_second=0.01)
    raised = []

    def run():
        try:
            running.run(lambda: [one_batch(made)])
        except DeliveryStoppedError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: receiver.accepted)
    running.stop("Airflow ended the task")
    thread.join(60)
    assert not thread.is_alive()
    assert len(raised) == 1
    assert keeper.stored.position.log_id == made[0].log_id


def test_a_route_takes_a_number_or_auto_and_a_pace():
    route = Route(name="r", concurrent_calls="auto", max_per_second=0.5)
    assert (route.concurrent_calls, route.max_per_second) == ("auto", 0.5)
