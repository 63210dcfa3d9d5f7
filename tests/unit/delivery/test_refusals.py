"""A webhook that refuses everything, over runs of any size. Over real HTTP; what is kept between runs is in memory."""

from __future__ import annotations

import pytest

from auth0_webhooks.delivery.refusals import MOST_REFUSED, Refusals, Refused
from auth0_webhooks.errors import AirflowUnavailableError, EndpointUnavailableError, EndpointWrongError, EventRefusedError
from auth0_webhooks.model.checkpoint import Checkpoint, before
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state.dead_letters import DeadLetterStore
from auth0_webhooks.waits import Waits
from auth0_webhooks.webhook.answers import Answer
from tests.support.factory import START, Keeper, delivery, events, log_id, one_batch


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    return DeadLetterStore(Route(name="r", on_reject="dead_letter", dead_letter_path=str(tmp_path / "letters")))


class Kept:
    """What is kept of refusals from run to run."""

    def __init__(self, log_ids=()):
        self.log_ids, self.saves = tuple(log_ids), 0

    def load(self):
        return self.log_ids

    def save(self, log_ids):
        self.saves += 1
        self.log_ids = tuple(log_ids)


def letters(store):
    return [letter.log_id for letter, _ in store.letters()]


def run(receiver, keeper, unread, store, kept, **settings):
    """One live run over what the checkpoint has not passed."""
    start = keeper.stored.position if keeper.stored else START
    unread = [event for event in unread if before(start, event.position)]
    delivery(receiver.url, keeper, unread, start=start, dead_letters=store, refusals=kept, **settings).run(
        lambda: [one_batch(unread)]
    )


@pytest.mark.parametrize("calls", [1, 5])
def test_thirty_small_runs_that_are_all_refused_set_aside_fewer_than_twenty_events(receiver, store, calls):
    receiver.behave = lambda _post: 400
    made, keeper, kept = events(300), Keeper(), Kept()
    run(receiver, keeper, made[:10], store, kept, concurrent_calls=calls)
    for number in range(1, 30):
        with pytest.raises(EndpointWrongError):
            run(receiver, keeper, made[: number * 10 + 10], store, kept, concurrent_calls=calls)
    assert letters(store) == [event.log_id for event in made[:10]]
    assert keeper.stored == Checkpoint(made[9].position)


@pytest.mark.parametrize("calls", [1, 5, 50])
@pytest.mark.parametrize("payload", [Payload(), Payload("array", max_events=7)], ids=["single", "batches"])
def test_a_switch_to_402_after_acceptances_is_found_out_and_nothing_of_it_is_set_aside(receiver, store, calls, payload):
    accepts = 60 if payload.form == "event" else 9
    receiver.behave = lambda _post: 402 if len(receiver.posts) > accepts else 200
    made, keeper = events(300), Keeper()
    with pytest.raises(EndpointWrongError, match="402 .*like the 19 before it, and none was accepted"):
        run(receiver, keeper, made, store, Kept(), concurrent_calls=calls, payload=payload)
    assert letters(store) == []
    receiver.behave = lambda _post: 200
    run(receiver, keeper, made, store, Kept(), concurrent_calls=calls, payload=payload)
    assert set(receiver.accepted) == {event.log_id for event in made}
    assert receiver.repeats == 0


def test_after_the_first_acceptance_of_a_probe_the_refused_ones_are_set_aside_and_all_goes_on(receiver, store):
    refused = {log_id(1), log_id(5)}
    receiver.behave = lambda post: 422 if post.log_id in refused else 200
    made, keeper, kept = events(20), Keeper(), Kept(log_id(100 + number) for number in range(MOST_REFUSED))
    run(receiver, keeper, made, store, kept)
    assert letters(store) == sorted(refused)
    assert kept.log_ids == ()
    assert keeper.stored == Checkpoint(made[-1].position)


def test_a_probe_that_is_refused_sends_no_more_and_sets_nothing_aside(receiver, store):
    receiver.behave = lambda _post: 400
    made, keeper, kept = events(60), Keeper(), Kept(log_id(100 + number) for number in range(MOST_REFUSED))
    with pytest.raises(EndpointWrongError):
        run(receiver, keeper, made, store, kept, concurrent_calls=1)
    assert len(receiver.posts) == MOST_REFUSED
    assert letters(store) == []
    assert kept.saves == 0


def test_a_probe_goes_past_a_batch_with_a_single_event_that_is_refused_for_its_own_sake(receiver, store):
    receiver.behave = lambda post: 422 if post.log_id == log_id(1) else 200
    made, keeper, kept = events(3), Keeper(), Kept(log_id(100 + number) for number in range(MOST_REFUSED))
    running = delivery(receiver.url, keeper, made, dead_letters=store, refusals=kept, concurrent_calls=1)
    running.run(lambda: [one_batch([event]) for event in made])
    assert letters(store) == [log_id(1)]
    assert receiver.accepted == [log_id(2), log_id(3)]
    assert keeper.stored == Checkpoint(made[-1].position)


@pytest.mark.parametrize("payload", [Payload(), Payload("array", max_events=10)], ids=["single", "batches"])
def test_a_probe_goes_past_a_refused_event_although_the_memory_of_acknowledgements_is_full(receiver, store, payload):
    made = events(700)
    remembered = tuple(event.log_id for event in made[1 : payload.most_outstanding + 1])
    keeper, kept = Keeper(Checkpoint(START, remembered)), Kept(log_id(1000 + number) for number in range(MOST_REFUSED))
    receiver.behave = lambda post: 422 if log_id(1) in post.log_ids else 200
    run(receiver, keeper, made, store, kept, payload=payload)
    assert letters(store) == [log_id(1)]
    assert keeper.stored == Checkpoint(made[-1].position)


@pytest.mark.parametrize("dies", ["before it is kept", "before it is set aside", "before the checkpoint is saved"])
def test_a_crash_between_refusal_and_save_loses_no_event_and_counts_none_twice(receiver, store, dies, monkeypatch):
    receiver.behave = lambda _post: 400
    made, keeper, kept = events(12), Keeper(), Kept()

    def die(*_):
        raise AirflowUnavailableError("the process is gone")

    for _ in range(3):
        with monkeypatch.context() as dying:
            dying.setattr(
                *{"kept": (kept, "save"), "aside": (store, "put"), "saved": (keeper, "before_save")}[dies.split()[-1]], die
            )
            with pytest.raises(AirflowUnavailableError):
                run(receiver, keeper, made, store, kept)
    run(receiver, keeper, made, store, kept)
    assert letters(store) == [event.log_id for event in made]
    assert len(kept.log_ids) == 12


@pytest.mark.parametrize("rows", [3, MOST_REFUSED])
def test_an_event_that_never_passes_keeps_no_probe_from_its_end(receiver, store, rows):
    made, keeper, kept = events(30), Keeper(), Kept(log_id(100 + number) for number in range(rows))
    receiver.behave = lambda post: 503 if post.log_id == log_id(1) else 200
    short = Waits(post_retries=0.05, first_back_off=0.01)
    settings = {"dead_letters": store, "refusals": kept, "suspect": log_id(1), "waits": short, "concurrent_calls": 1}
    running = delivery(receiver.url, keeper, made, **settings)
    running.run(lambda: [one_batch(made[:5]), one_batch(made[5:10]), one_batch(made[10:])])
    assert (letters(store), kept.log_ids) == ([log_id(1)], ())
    assert sorted(receiver.accepted) == [event.log_id for event in made[1:]]
    assert running.progress.counts().total() == 30
    assert receiver.repeats == 0


def test_an_acceptance_ends_the_row(receiver, store):
    made, keeper, kept = events(57), Keeper(), Kept()
    receiver.behave = lambda post: 400 if int(post.log_id[-3:]) % 19 else 200
    for first in range(0, 57, 19):
        run(receiver, keeper, made[: first + 19], store, kept, concurrent_calls=1)
        assert kept.log_ids == ()
    assert len(letters(store)) == 54


def test_on_reject_stop_stops_at_the_first_one_and_counts_it_once(receiver):
    receiver.behave = lambda _post: 400
    made, keeper, kept = events(30), Keeper(), Kept()
    for _ in range(25):
        with pytest.raises(EventRefusedError):
            run(receiver, keeper, made, None, kept, concurrent_calls=1)
    assert kept.log_ids == (log_id(1),)
    assert len(receiver.posts) == 25


def test_what_is_not_taken_for_now_is_no_refusal(receiver, store):
    receiver.behave = lambda _post: 503
    made, keeper, kept = events(30), Keeper(), Kept()
    with pytest.raises(EndpointUnavailableError):
        run(receiver, keeper, made, store, kept, waits=Waits(post_retries=0.05, first_back_off=0.01))
    assert kept.saves == 0


def test_an_acceptance_of_a_post_that_was_under_way_says_nothing_of_a_refusal_meanwhile():
    (one, two) = events(2)
    refusals = Refusals()
    refusals.add(Refused(0, one, Answer(402, ""), after=3))
    refusals.add(Refused(1, two, Answer(402, ""), after=7))
    assert refusals.accepted(3) == []
    assert [refused.event for refused in refusals.accepted(5)] == [one]
    assert refusals.log_ids == (two.log_id,)
    assert [refused.event for refused in refusals.accepted(8)] == [two]
    assert refusals.log_ids == ()
