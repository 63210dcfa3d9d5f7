"""An event that the webhook neither takes nor refuses. Over real HTTP."""

from __future__ import annotations

import pytest

from auth0_webhooks.delivery.progress import State
from auth0_webhooks.delivery.suspects import LATER
from auth0_webhooks.errors import EndpointHeldError, EndpointUnavailableError, EndpointWrongError
from auth0_webhooks.model.checkpoint import Checkpoint
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state.dead_letters import DeadLetterStore
from auth0_webhooks.waits import Waits
from tests.support.factory import START, Keeper, delivery, events, log_id, one_batch

QUICK = Waits(post_retries=0.05, first_back_off=0.01)
BATCHES = Payload("array", max_events=10)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    return DeadLetterStore(Route(name="r", on_reject="dead_letter", dead_letter_path=str(tmp_path / "letters")))


def letters(store):
    return [(letter.log_id, letter.answer) for letter, _ in store.letters()]


@pytest.mark.parametrize("payload", [Payload(), BATCHES], ids=["single", "batches"])
@pytest.mark.parametrize("calls", [1, 5])
@pytest.mark.parametrize("full", [False, True], ids=["nothing remembered", "memory full"])
@pytest.mark.parametrize("size", [1, 1000], ids=["one event a batch", "one batch"])
def test_an_event_that_never_passes_is_set_aside_once_a_later_one_is_accepted(receiver, store, payload, calls, full, size):
    made = events(payload.most_outstanding + 20)
    remembered = [event.log_id for event in made[1 : payload.most_outstanding + 1]] if full else []
    keeper = Keeper(Checkpoint(START, tuple(remembered)))
    receiver.behave = lambda post: 503 if log_id(1) in post.log_ids else 200
    running = delivery(
        receiver.url,
        keeper,
        made,
        payload=payload,
        concurrent_calls=calls,
        dead_letters=store,
        suspect=log_id(1),
        waits=QUICK,
    )
    running.run(lambda: [one_batch(made[at : at + size]) for at in range(0, len(made), size)])
    assert letters(store) == [(log_id(1), "503 Service Unavailable")]
    assert set(receiver.accepted) == {event.log_id for event in made[1:]} - set(remembered)
    assert receiver.repeats == 0
    assert keeper.stored == Checkpoint(made[-1].position)
    counts = running.progress.counts()
    assert (counts[State.DEAD_LETTERED], counts[State.DELIVERED_BEFORE]) == (1, len(remembered))
    assert counts.total() == len(made)


def test_one_call_at_a_time_still_begins_in_the_order_of_the_log(receiver, store):
    made = events(30)
    once = [503]
    receiver.behave = lambda post: 503 if post.log_id == log_id(1) else once.pop() if post.log_id == log_id(2) and once else 200
    delivery(receiver.url, Keeper(), made, concurrent_calls=1, dead_letters=store, suspect=log_id(1), waits=QUICK).run(
        lambda: [one_batch(made)]
    )
    began = list(dict.fromkeys(post.log_id for post in receiver.posts))
    assert began == sorted(began)


@pytest.mark.parametrize("payload", [Payload(), BATCHES], ids=["single", "batches"])
def test_where_later_events_fail_as_well_it_is_the_endpoint_and_nothing_is_set_aside(receiver, store, payload):
    receiver.behave = lambda _post: 503
    made, keeper = events(40), Keeper()
    failing = delivery(
        receiver.url, keeper, made, payload=payload, dead_letters=store, suspect=log_id(1), waits=QUICK, concurrent_calls=1
    )
    with pytest.raises(EndpointUnavailableError) as caught:
        failing.run(lambda: [one_batch(made)])
    assert caught.value.first == (log_id(1), "s")
    assert letters(store) == []
    tried = list(dict.fromkeys(post.log_id for post in receiver.posts))
    assert tried == [event.log_id for event in made[: LATER + 1]]
    assert {len(post.log_ids) for post in receiver.posts} == {1}
    receiver.behave = lambda _post: 200
    delivery(receiver.url, keeper, made, payload=payload, dead_letters=store, suspect=log_id(1)).run(lambda: [one_batch(made)])
    assert set(receiver.accepted) == {event.log_id for event in made}
    assert receiver.repeats == 0


def test_a_suspect_that_is_accepted_by_itself_is_delivered(receiver, store):
    receiver.behave = lambda post: 200 if post.log_ids == [log_id(1)] or log_id(1) not in post.log_ids else 503
    made, keeper = events(30), Keeper()
    delivery(receiver.url, keeper, made, payload=BATCHES, dead_letters=store, suspect=log_id(1), waits=QUICK).run(
        lambda: [one_batch(made)]
    )
    assert letters(store) == []
    assert sorted(receiver.accepted) == [event.log_id for event in made]


def test_a_suspect_that_is_refused_by_now_is_set_aside_like_any_other(receiver, store):
    receiver.behave = lambda post: 422 if post.log_id == log_id(1) else 200
    made, keeper = events(30), Keeper()
    delivery(receiver.url, keeper, made, dead_letters=store, suspect=log_id(1)).run(lambda: [one_batch(made)])
    assert letters(store) == [(log_id(1), "422 Unprocessable Entity")]
    assert receiver.repeats == 0


def test_a_suspect_that_the_checkpoint_has_passed_changes_nothing(receiver, store):
    made, keeper = events(30), Keeper(Checkpoint(START, (log_id(1),)))
    delivery(receiver.url, keeper, made, dead_letters=store, suspect=log_id(1)).run(lambda: [one_batch(made)])
    assert sorted(receiver.accepted) == [event.log_id for event in made[1:]]


@pytest.mark.parametrize(("answer", "error"), [(410, EndpointHeldError), (401, EndpointWrongError)])
def test_an_endpoint_that_is_wrong_or_asks_for_a_pause_is_no_reason_to_set_aside(receiver, store, answer, error):
    receiver.behave = lambda post: 503 if post.log_id == log_id(1) else answer
    made, keeper = events(30), Keeper()
    with pytest.raises(error):
        delivery(receiver.url, keeper, made, dead_letters=store, suspect=log_id(1), waits=QUICK).run(lambda: [one_batch(made)])
    assert letters(store) == []
    assert bool(keeper.stored and keeper.stored.hold) == (answer == 410)
