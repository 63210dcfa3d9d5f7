"""Delivery over real HTTP."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from auth0_webhooks.delivery.progress import MOST_UNSAVED, State
from auth0_webhooks.errors import (
    AirflowUnavailableError,
    DeliveryStoppedError,
    EndpointHeldError,
    EndpointUnavailableError,
    EndpointWrongError,
    EventRefusedError,
)
from auth0_webhooks.model.batch import Batch
from auth0_webhooks.model.checkpoint import Checkpoint
from auth0_webhooks.model.events import Position
from auth0_webhooks.waits import Waits
from tests.support.factory import START, Keeper, delivery, events, log_id, most_repeated, one_batch, wait_for

SHORT = Waits(answer=0.3, post_retries=0.5, first_back_off=0.02)


def test_every_event_arrives_once_as_it_was_sent_and_the_checkpoint_ends_at_the_end(receiver):
    made, keeper = events(500), Keeper()
    delivery(receiver.url, keeper, made).run(lambda: [one_batch(made[:200]), one_batch(made[200:])])
    assert sorted(receiver.accepted) == [event.log_id for event in made]
    assert {post.body for post in receiver.posts} == {event.body for event in made}
    assert receiver.problems == []
    assert keeper.stored == Checkpoint(made[-1].position)


def test_no_more_calls_than_asked_are_under_way_over_as_many_kept_connections(receiver):
    receiver.behave = lambda _post: ("after", lambda: receiver.most_at_once == 7, 200)
    made = events(60)
    delivery(receiver.url, Keeper(), made, concurrent_calls=7).run(lambda: [one_batch(made)])
    assert receiver.most_at_once == 7
    assert len(receiver.connections) == 7


def test_one_call_at_a_time_keeps_the_order_of_the_log(receiver):
    answers = iter([200, 503, 503, 200, "reset"])
    receiver.behave = lambda _post: next(answers, 200)
    made = events(30)
    delivery(receiver.url, Keeper(), made, concurrent_calls=1).run(lambda: [one_batch(made)])
    assert receiver.accepted == [event.log_id for event in made]


@pytest.mark.parametrize("answer", [500, 502, 503, 504, 408, 425, 429, "reset", (429, {"Retry-After": "0"})])
def test_what_is_not_taken_for_now_is_tried_again_and_nothing_else_is_repeated(receiver, answer):
    refusals = iter([answer] * 3)
    receiver.behave = lambda post: next(refusals, 200) if post.log_id == log_id(20) else 200
    made, keeper = events(40), Keeper()
    running = delivery(receiver.url, keeper, made)
    running.run(lambda: [one_batch(made)])
    assert sorted(receiver.accepted) == [event.log_id for event in made]
    assert running.figures.retried == 3
    status = answer[0] if isinstance(answer, tuple) else answer
    assert running.figures.answers == {"200": 40, "none" if status == "reset" else str(status): 3}
    assert keeper.stored == Checkpoint(made[-1].position)


@pytest.mark.parametrize("calls", [1, 5])
@pytest.mark.parametrize("answer", [301, 302, 401, 403, 404, 405])
def test_a_wrong_endpoint_stops_at_once_and_says_what_to_mend(receiver, answer, calls):
    receiver.behave = lambda post: answer if post.log_id >= log_id(21) else 200
    made, keeper = events(60), Keeper()
    with pytest.raises(EndpointWrongError, match=f"{answer} .*until its address or credentials are fixed") as caught:
        delivery(receiver.url, keeper, made, concurrent_calls=calls).run(lambda: [one_batch(made)])
    assert not caught.value.retry
    assert keeper.stored.position == made[19].position
    assert len(receiver.posts) <= 20 + calls


@pytest.mark.parametrize("calls", [1, 5])
def test_after_a_failure_the_next_run_sends_only_what_is_missing(receiver, calls):
    broken = {log_id(30)}
    receiver.behave = lambda post: 422 if post.log_id in broken else 200
    made, keeper = events(100), Keeper()
    failing = delivery(receiver.url, keeper, made, concurrent_calls=calls)
    with pytest.raises(EventRefusedError, match=f"refuses event {log_id(30)} .*422"):
        failing.run(lambda: [one_batch(made)])
    assert failing.progress.counts()[State.REFUSED] == 1
    assert keeper.stored.position == made[28].position
    broken.clear()
    again = delivery(receiver.url, keeper, made, concurrent_calls=calls)
    again.run(lambda: [one_batch(made)])
    assert sorted(receiver.accepted) == [event.log_id for event in made]
    counts = again.progress.counts()
    assert counts[State.DELIVERED_NOW] + counts[State.DELIVERED_BEFORE] == 100
    assert keeper.stored == Checkpoint(made[-1].position)


def test_an_endpoint_that_stays_away_fails_the_task_after_its_time_and_names_the_answer(receiver):
    receiver.behave = lambda _post: 503
    made, keeper = events(10), Keeper()
    with pytest.raises(EndpointUnavailableError, match="503 Service Unavailable") as caught:
        delivery(receiver.url, keeper, made, waits=SHORT).run(lambda: [one_batch(made)])
    assert caught.value.retry
    assert keeper.stored in (None, Checkpoint(START))


def test_a_503_pauses_the_whole_run_not_one_request(receiver):
    refused = []

    def behave(post):
        if post.log_id == log_id(10) and not refused:
            refused.append(len(receiver.posts))
            return 503, {"Retry-After": "2"}
        return 200

    receiver.behave = behave
    made = events(400)
    delivery(receiver.url, Keeper(), made, concurrent_calls=5).run(lambda: [one_batch(made)])
    others = [post.at for post in receiver.posts[refused[0] - 1 :]]
    assert max(then - before for before, then in itertools.pairwise(others)) > 1, "nothing was sent for as long as it asked for"
    assert sorted(receiver.accepted) == [event.log_id for event in made]


def test_a_time_out_that_outlasts_the_time_for_tries_is_no_hold(receiver):
    receiver.behave = lambda _post: "hang"
    made, keeper = events(3), Keeper()
    with pytest.raises(EndpointUnavailableError, match="no answer within"):
        delivery(receiver.url, keeper, made, waits=SHORT).run(lambda: [one_batch(made)])
    assert keeper.stored is None or keeper.stored.hold is None


@pytest.mark.parametrize(("answer", "least"), [((503, {"Retry-After": "600"}), 590), (410, 3590)])
def test_an_endpoint_that_asks_for_a_long_pause_is_held(receiver, answer, least):
    receiver.behave = lambda post: answer if post.log_id == log_id(5) else 200
    made, keeper = events(20), Keeper()
    with pytest.raises(EndpointHeldError, match="held until") as caught:
        delivery(receiver.url, keeper, made, concurrent_calls=1).run(lambda: [one_batch(made)])
    assert not caught.value.retry
    assert keeper.stored.hold.until.timestamp() - time.time() > least
    assert keeper.stored.position == made[3].position
    posts = len(receiver.posts)
    held = delivery(receiver.url, keeper, made)
    held.run(lambda: [one_batch(made)])
    assert held.figures.held
    assert len(receiver.posts) == posts


def test_a_hold_is_kept_although_something_else_went_wrong_first(receiver):
    made, keeper = events(5), Keeper()
    failing = delivery(receiver.url, keeper, made)
    answers = {
        log_id(1): ("after", lambda: len(receiver.posts) == 5, 404),
        log_id(2): ("after", lambda: failing._error, 410),
    }
    receiver.behave = lambda post: answers.get(post.log_id, 200)
    with pytest.raises(EndpointWrongError):
        failing.run(lambda: [one_batch(made)])
    assert keeper.stored.hold
    assert keeper.stored.acknowledged == (log_id(3), log_id(4), log_id(5))


def test_a_rewind_that_comes_with_a_failure_does_not_start_the_run_anew(receiver):
    keeper = Keeper(Checkpoint(START))
    receiver.behave = lambda post: 401 if post.log_id >= log_id(131) else 200
    made = events(200)
    failing = delivery(receiver.url, keeper, made)

    def move(_checkpoint):
        wait_for(lambda: failing._error)
        keeper.stored = Checkpoint(Position(log_id(50), None))

    # The save that is under way when the run fails finds that someone has moved the checkpoint.
    keeper.before_save = move
    with pytest.raises(EndpointWrongError):
        failing.run(lambda: [one_batch(made)])
    assert receiver.repeats == 0
    assert keeper.stored == Checkpoint(Position(log_id(50), None))


def test_a_run_that_is_told_to_end_before_it_begins_sends_nothing(receiver):
    made = events(5)
    running = delivery(receiver.url, Keeper(), made)
    running.stop("told to")
    with pytest.raises(DeliveryStoppedError):
        running.run(lambda: [one_batch(made)])
    assert receiver.posts == []
    running.stop("again, after its end")


def test_an_odd_retry_after_on_an_acknowledgement_takes_nothing_back(receiver):
    receiver.behave = lambda _post: (200, {"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"})
    made = events(5)
    delivery(receiver.url, Keeper(), made).run(lambda: [one_batch(made)])
    assert receiver.repeats == 0
    assert len(receiver.accepted) == 5


def test_nothing_listening_and_an_unknown_name_count_as_no_answer():
    for url in ("http://127.0.0.1:9", "http://no-such-host.invalid"):
        made = events(3)
        with pytest.raises(EndpointUnavailableError, match="no answer: (cannot connect|the endpoint's name does not resolve)"):
            delivery(url, Keeper(), made, waits=SHORT).run(lambda made=made: [one_batch(made)])


def test_half_an_answer_with_2xx_is_an_acknowledgement(receiver):
    receiver.behave = lambda post: "half" if post.log_id == log_id(2) else 200
    made = events(5)
    delivery(receiver.url, Keeper(), made).run(lambda: [one_batch(made)])
    assert sorted(receiver.accepted) == [event.log_id for event in made]


def test_no_post_starts_once_saving_fails_and_at_most_the_bound_is_repeated(receiver):
    keeper = Keeper()

    def fail(_checkpoint):
        if len(receiver.posts) > 300:
            raise AirflowUnavailableError("database is locked")

    keeper.before_save = fail
    made = events(1500)
    with pytest.raises(AirflowUnavailableError):
        delivery(receiver.url, keeper, made).run(lambda: [one_batch(made)])
    assert len(receiver.accepted) - len([e for e in made if e.log_id <= keeper.stored.position.log_id]) <= most_repeated(5)
    keeper.before_save = lambda _checkpoint: None
    delivery(receiver.url, keeper, made).run(lambda: [one_batch(made)])
    assert set(receiver.accepted) == {event.log_id for event in made}
    assert receiver.repeats <= most_repeated(5)


def test_posts_go_on_during_a_save_until_five_hundred_acknowledgements_are_unsaved(receiver):
    keeper, made, saved = Keeper(), events(1600), [0]

    def slowly(checkpoint):
        if len(saved) <= 2 and (checkpoint.position.log_id or checkpoint.acknowledged):
            wait_for(lambda: len(receiver.accepted) >= saved[-1] + MOST_UNSAVED)
        assert len(receiver.accepted) <= saved[-1] + most_repeated(5)
        saved.append(sum(event.log_id <= (checkpoint.position.log_id or "") for event in made) + len(checkpoint.acknowledged))

    keeper.before_save = slowly
    delivery(receiver.url, keeper, made).run(lambda: [one_batch(made)])
    assert saved[-1] == len(made)


def test_the_checkpoint_is_saved_while_one_event_takes_long(receiver):
    keeper, saved, made = Keeper(), [], events(50)

    def others_saved():
        if keeper.stored and len(keeper.stored.acknowledged) == 49:
            saved.append(keeper.stored.position)
        return saved

    receiver.behave = lambda post: ("after", others_saved, 200) if post.log_id == log_id(1) else 200
    delivery(receiver.url, keeper, made).run(lambda: [one_batch(made)])
    assert saved == [START]
    assert keeper.stored == Checkpoint(made[-1].position)


def test_a_rewind_before_the_runs_start_stops_it_and_stays(receiver):
    keeper = Keeper(Checkpoint(Position(log_id(100), "2026-11-22T10:00:00.000Z", seen=True)))
    rewound = Checkpoint(Position(log_id(5), None))

    def move(_checkpoint):
        if len(receiver.posts) > 100:
            keeper.stored = rewound

    keeper.before_save = move
    made = events(1000, first=101)
    running = delivery(receiver.url, keeper, made, start=keeper.stored.position)
    running.run(lambda: [one_batch(made)])
    assert running.figures.moved_by_hand
    assert keeper.stored == rewound
    assert len(receiver.posts) < 1000


def test_a_checkpoint_deleted_while_the_run_works_stops_it(receiver):
    keeper = Keeper(Checkpoint(START))
    keeper.before_save = lambda _checkpoint: setattr(keeper, "stored", None)
    made = events(500)
    running = delivery(receiver.url, keeper, made)
    running.run(lambda: [one_batch(made)])
    assert running.figures.moved_by_hand
    assert keeper.stored is None


def test_a_place_within_the_run_is_gone_on_from(receiver):
    keeper = Keeper(Checkpoint(START))
    moved = []

    def move(_checkpoint):
        if len(receiver.posts) > 200 and not moved:
            moved.append(keeper.stored)
            keeper.stored = Checkpoint(Position(log_id(950), None))

    keeper.before_save = move
    made = events(1000)
    running = delivery(receiver.url, keeper, made)
    running.run(lambda: [one_batch(made)])
    assert keeper.stored == Checkpoint(made[-1].position)
    assert log_id(1000) in receiver.accepted
    assert len(receiver.accepted) < 900
    assert running.progress.counts().total() == 1000


def test_a_bare_time_set_by_hand_while_a_run_is_tried_again_is_the_next_runs_and_repeats_nothing(receiver):
    made, keeper = events(300), Keeper()
    receiver.behave = lambda post: 401 if post.log_id > log_id(200) else 200
    with pytest.raises(EndpointWrongError):
        delivery(receiver.url, keeper, made, concurrent_calls=1).run(lambda: [one_batch(made)])
    keeper.stored = moved = Checkpoint(Position(None, made[269].date))
    receiver.behave = lambda _post: 200
    again = delivery(receiver.url, keeper, made, first=True)
    again.run(lambda: [one_batch(made)])
    assert again.figures.moved_by_hand
    assert receiver.repeats == 0
    assert keeper.stored == moved


def test_batches_that_are_gone_are_missed_also_where_the_checkpoint_leaves_nothing_to_do(receiver):
    def gone():
        raise LookupError("the batch is no longer there")
        yield

    made, keeper = events(10, first=101), Keeper(Checkpoint(Position(log_id(5), None)))
    with pytest.raises(LookupError):
        delivery(receiver.url, keeper, made, start=Position(log_id(100), None)).run(gone)


def test_a_long_hold_is_not_cut_short_by_what_comes_after_it(receiver):
    made, keeper = events(5), Keeper()
    running = delivery(receiver.url, keeper, made)
    answers = {
        log_id(1): ("after", lambda: len(receiver.posts) == 5, (503, {"Retry-After": "7200"})),
        log_id(2): ("after", lambda: running._error, (429, {"Retry-After": "90"})),
    }
    receiver.behave = lambda post: answers.get(post.log_id, 200)
    with pytest.raises(EndpointHeldError):
        running.run(lambda: [one_batch(made)])
    assert keeper.stored.hold.until.timestamp() - time.time() > 5000


def test_remembered_ids_that_the_filter_leaves_out_by_now_take_up_no_room(receiver):
    made = events(400)
    keeper = Keeper(Checkpoint(START, tuple(event.log_id for event in made[1:101])))
    receiver.behave = lambda post: ("after", lambda: receiver.most_at_once == 5, 200) if post.log_id > log_id(300) else 200
    halves = [Batch(START, made[199].position, made[150:200]), Batch(made[199].position, made[-1].position, made[200:])]
    delivery(receiver.url, keeper, made).run(lambda: halves)
    assert receiver.most_at_once == 5


def test_a_place_past_the_runs_end_leaves_nothing_to_do(receiver):
    keeper = Keeper(Checkpoint(Position(log_id(2000), None)))
    made = events(100)
    running = delivery(receiver.url, keeper, made)
    running.run(lambda: [one_batch(made)])
    assert receiver.posts == []
    assert running.progress.counts()[State.DELIVERED_BEFORE] == 100
    assert keeper.stored == Checkpoint(Position(log_id(2000), None))


def test_a_run_that_is_told_to_end_awaits_what_is_under_way_and_saves_it(receiver):
    made, keeper = events(100), Keeper()
    running = delivery(receiver.url, keeper, made, waits=Waits(kill_grace=60.0))
    receiver.behave = lambda post: ("after", lambda: running._error, 200) if post.log_id > log_id(50) else 200
    caught: list[BaseException] = []

    def run():
        try:
            running.run(lambda: [one_batch(made)])
        except DeliveryStoppedError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: len(receiver.posts) > 52)
    running.stop("told to")
    thread.join(60)
    assert caught
    done = {event.log_id for event in made if event.log_id <= keeper.stored.position.log_id} | set(keeper.stored.acknowledged)
    assert done == set(receiver.accepted)


def test_a_run_that_is_told_to_end_does_not_wait_for_an_answer_that_never_comes(receiver):
    receiver.behave = lambda post: "hang" if post.log_id > log_id(10) else 200
    made, keeper = events(20), Keeper()
    running = delivery(receiver.url, keeper, made, waits=Waits(kill_grace=0.2))
    thread = threading.Thread(target=lambda: pytest.raises(DeliveryStoppedError, running.run, lambda: [one_batch(made)]))
    thread.start()
    wait_for(lambda: len(receiver.posts) == 15)
    running.stop("told to")
    thread.join(60)
    assert not thread.is_alive()
    assert keeper.stored == Checkpoint(made[9].position)


def test_a_failure_in_one_batch_leaves_the_next_unopened(receiver):
    receiver.behave = lambda post: 401 if post.log_id == log_id(10) else 200
    made, asked = events(40), []

    def batches():
        for at in (0, 20):
            asked.append(at)
            yield one_batch(made[at : at + 20])

    with pytest.raises(EndpointWrongError):
        delivery(receiver.url, Keeper(), made).run(batches)
    assert asked == [0]


def test_a_run_that_read_nothing_saves_where_it_would_begin():
    keeper = Keeper()
    delivery("http://127.0.0.1:9", keeper, events(1), end=START).run(list)
    assert keeper.stored == Checkpoint(START)
