"""Requests to a tenant are paced by its rate limit, in a time of the test's own: no 429, no warning, on any plan."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth0_webhooks.errors import BudgetUsedError
from auth0_webhooks.reading.budget import Budget
from auth0_webhooks.reading.machine import Machine
from auth0_webhooks.reading.rate_limit import RateLimit, Seen, parse_seen
from simulation.tenant_limits import PLANS, Bucket

KINDS = [(plan, kind, reset) for plan in PLANS for kind, reset in [("drip", "next"), ("drip", "full"), ("window", "next")]]
NAMES = [f"{plan}, {kind}, {reset}" for plan, kind, reset in KINDS]


@dataclass
class Time:
    """A time that passes only when somebody waits."""

    now: float = 1_764_160_800.25

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def limit_of(headers):
    return RateLimit(*(int(headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset")))


def send(budget, bucket, clock, takes=0.05):
    """One request whose answer takes so many seconds."""
    with budget.turn():
        clock.sleep(takes / 2)
        bucket.take()
        headers = bucket.headers()
        clock.sleep(takes / 2)
        budget.answered(limit_of(headers))


def drained(bucket, clock, requests=31, takes=0.05, reserve=20, ahead=0.0):
    """Runs, one after the other, until a backlog of so many requests is read; returns the seconds that took."""
    began, seen, left = clock.now, Seen(), requests
    for _ in range(requests * 10):
        budget = Budget(60.0, 10.0, reserve=reserve, clock=lambda: clock.now + ahead, sleep=clock.sleep)
        budget.learn(seen)
        try:
            while left:
                send(budget, bucket, clock, takes)
                budget.hurry()
                left -= 1
        except BudgetUsedError:
            assert budget.waited <= 60.0
        seen = budget.seen
        if not left:
            return clock.now - began
        clock.sleep(3.0)  # filter, deliver, and Airflow
    raise AssertionError("the backlog is never read")


@pytest.mark.parametrize(("plan", "kind", "reset"), KINDS, ids=NAMES)
@pytest.mark.parametrize("offset", [0.0, 0.3, 0.55, 0.95])
def test_a_backlog_meets_no_429_and_no_warning_and_is_read_at_70_percent_of_what_80_percent_of_the_plan_allow(
    plan, kind, reset, offset
):
    clock = Time(1_764_160_800 + offset)
    size, refill, seconds = PLANS[plan]
    bucket = Bucket(size, refill, seconds, kind, reset, clock=clock)
    took = drained(bucket, clock, requests=200)
    assert (bucket.limited, bucket.warned) == (0, 0)
    # The size of the bucket is the most that a window gives, and to use 80 % of 2 means 1.
    a_second = min(size, refill) / seconds if kind == "window" else refill / seconds
    allowed = a_second * int(0.8 * size) / size
    wanted = min(0.7 * allowed, 1 / 0.05 * 0.7)
    assert 200 / took >= wanted


@settings(max_examples=60)
@given(
    plan=st.sampled_from(sorted(PLANS)),
    kind=st.sampled_from(["drip", "window"]),
    reset=st.sampled_from(["next", "full"]),
    began=st.floats(0, 60),
    takes=st.floats(0.001, 3.0),
    reserve=st.sampled_from([20, 35, 50, 90]),
)
def test_whatever_the_plan_the_time_and_the_reserve_no_request_uses_more_than_it_may(plan, kind, reset, began, takes, reserve):
    clock = Time(1_764_160_800 + began)
    size, refill, seconds = PLANS[plan]
    bucket = Bucket(size, refill, seconds, kind, reset, clock=clock)
    lowest = size
    taken = bucket.take

    def take():
        nonlocal lowest
        found = taken()
        lowest = min(lowest, int(bucket.left))
        return found

    bucket.take = take
    drained(bucket, clock, requests=40, takes=takes, reserve=reserve)
    assert lowest >= RateLimit(size).kept(reserve)
    assert (bucket.limited, bucket.warned) == (0, 0)


@pytest.mark.parametrize("ahead", [-0.09, 0.0, 0.4, 0.9])
def test_a_machine_whose_time_differs_a_little_learns_to_wait_longer(ahead):
    """A tenant whose windows are seconds, and a machine that takes each of them for over a little too early."""
    clock = Time()
    bucket = Bucket(2, 2.0, 1.0, "window", clock=clock)
    drained(bucket, clock, requests=100, ahead=ahead)
    assert bucket.limited == 0
    assert bucket.warned <= (3 * 2 if ahead > 0.1 else 0), "three in each run, and these are two"


def test_nothing_is_paced_where_the_tenant_states_no_rate_limit():
    clock = Time()
    budget = Budget(0.0, clock=clock, sleep=clock.sleep)
    for _ in range(100):
        with budget.turn():
            budget.answered(RateLimit())
    assert budget.figures() == {"api_limit": None, "api_remaining": None, "api_rate": None, "api_waited": 0.0}


def test_where_others_used_up_the_bucket_no_request_is_sent_before_it_has_recovered_to_the_reserve():
    clock = Time()
    budget = Budget(60.0, clock=clock, sleep=clock.sleep)
    budget.learn(Seen(RateLimit(10, 0, clock.now + 0.6), clock.now))
    began = clock.now
    with budget.turn():
        assert clock.now - began >= 4 * 0.6 - 0.001, "3 stay for others, so 4 must have come"


def test_a_wait_that_is_too_long_says_so_and_sends_nothing():
    clock = Time()
    budget = Budget(60.0, 10.0, clock=clock, sleep=clock.sleep)
    budget.learn(Seen(RateLimit(10, 3, clock.now + 50), clock.now))
    budget.hurry()
    with pytest.raises(BudgetUsedError, match="3 of 10 requests are left, and 3 stay for others; more come in 50 s") as caught:
        budget.turn().__enter__()
    assert caught.value.retry_after == pytest.approx(50.1)
    assert budget.waited == 0


@pytest.mark.parametrize(
    ("most", "reserve", "kept"),
    [(2, 20, 1), (10, 20, 3), (50, 20, 11), (10, 50, 6), (10, 90, 9), (2, 90, 1), (1, 20, 0), (750, 20, 151)],
)
def test_more_than_the_reserve_stays_but_never_so_much_that_nothing_may_be_sent(most, reserve, kept):
    assert RateLimit(most).kept(reserve) == kept


@pytest.mark.parametrize(
    ("seen", "a_minute"),
    [
        (Seen(RateLimit(2, 1, 0.0), 0.0, 1.0), 120),
        (Seen(RateLimit(10, 9, 0.0), 0.0, 1.5), 100),
        (Seen(RateLimit(10, 3, 0.0), 0.0, 5.2), 100),
        (Seen(RateLimit(10, 9, 0.0), 0.0, 61.0), 10),
        (Seen(RateLimit(50, 49, 0.0), 0.0, 1.0), 960),
    ],
)
def test_the_rate_is_the_documented_one_unless_the_headers_show_that_a_refill_takes_longer(seen, a_minute):
    assert seen.a_second * 60 == pytest.approx(a_minute)


@pytest.mark.parametrize("text", [None, "", "[]", "x", "[1,2]", "[null,1,2,3,4]", "[" * 100_000, '{"a": 1}'])
def test_a_kept_rate_limit_that_is_none_counts_as_unknown(text):
    assert parse_seen(text) == Seen()
    seen = Seen(RateLimit(10, 3, 1_764_160_860.0), 1_764_160_800.25, 59.0)
    assert parse_seen(seen.dump()) == seen
    assert " " not in seen.dump()


def test_what_is_from_long_ago_or_from_the_future_holds_nobody_up():
    clock = Time()
    for at, reset in [(clock.now - 7200, clock.now + 50), (clock.now + 600, clock.now + 650)]:
        budget = Budget(0.0, clock=clock, sleep=clock.sleep)
        budget.learn(Seen(RateLimit(10, 0, reset), at))
        with budget.turn():
            pass


@pytest.mark.parametrize("plan", ["free", "self-service"])
def test_readers_of_one_machine_that_start_in_the_same_moment_know_of_each_other(tmp_path, plan):
    """20 threads with a file each process of a machine would use; the bucket's time passes 20 times as fast."""
    lock, faster = threading.Lock(), 20.0
    began = time.time()

    def clock():
        return began + (time.time() - began) * faster

    bucket = Bucket.of(plan)
    bucket.clock = clock
    starting = threading.Barrier(20)
    wrong = []

    def read():
        budget = Budget(
            3600.0, machine=Machine("t", str(tmp_path)), clock=clock, sleep=lambda seconds: time.sleep(seconds / faster)
        )
        starting.wait()
        try:
            for _ in range(2):
                with budget.turn(), lock:
                    bucket.take()
                    budget.answered(limit_of(bucket.headers()))
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(20)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert (wrong, bucket.limited, bucket.warned) == ([], 0, 0)


def test_a_process_that_is_frozen_in_its_turn_holds_the_others_up_for_a_while_only(tmp_path):
    machine = Machine("t", str(tmp_path))
    with machine.turn(0.0) as frozen:
        frozen.write(Seen(RateLimit(10, 3, 1.0), 1.0))
        with machine.turn(0.05) as turn:
            assert turn.read() == Seen(), "it goes on without the file"
    with machine.turn(0.0) as turn:
        assert turn.read().limit.left == 3


def test_a_machine_on_which_nothing_can_be_written_reads_all_the_same(tmp_path):
    (tmp_path / "file").write_text("")
    with Machine("t", str(tmp_path / "file")).turn(0.0) as turn:
        turn.write(Seen(RateLimit(10, 3, 1.0), 1.0))
        assert turn.read() == Seen()


def test_the_bucket_of_the_simulated_tenant_logs_as_auth0_documents_it():
    clock = Time()
    bucket = Bucket(10, 10, 60.0, "window", clock=clock)
    logged = [bucket.take() for _ in range(12)]
    assert [kind for _, kind in logged] == [None] * 7 + ["api_limit_warning", None, None, "api_limit", None]
    assert [taken for taken, _ in logged] == [True] * 10 + [False] * 2
    assert (bucket.limited, bucket.warned) == (2, 3)
    clock.sleep(61)
    again = [bucket.take()[1] for _ in range(8)]
    assert again == [None] * 7 + ["api_limit_warning"]


def test_the_two_kinds_of_bucket_are_refilled_as_auth0_describes_them():
    clock = Time(1_764_160_800.0)
    drip, window = (Bucket.of("self-service", kind) for kind in ("drip", "window"))
    for bucket in (drip, window):
        bucket.clock, bucket._at = clock, clock.now
        assert all(bucket.take()[0] for _ in range(10))
    found = []
    for _ in itertools.repeat(None, 3):
        clock.sleep(20.0)
        found.append((drip.headers()["x-ratelimit-remaining"], window.headers()["x-ratelimit-remaining"]))
    assert found == [("10", "0"), ("10", "0"), ("10", "10")]
