"""Batches: what goes into a POST, and what becomes of each event of it, over real HTTP."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from auth0_webhooks.delivery.progress import State
from auth0_webhooks.errors import (
    AirflowUnavailableError,
    EndpointHeldError,
    EndpointUnavailableError,
    EndpointWrongError,
    EventRefusedError,
)
from auth0_webhooks.model.checkpoint import Checkpoint, parse_checkpoint
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state.dead_letters import DeadLetterStore
from auth0_webhooks.waits import Waits
from auth0_webhooks.webhook.signing import Signer
from tests.conftest import PROJECT
from tests.support.factory import START, Keeper, delivery, endpoint, events, log_id, most_repeated, one_batch, wait_for
from tests.support.shapes import shaped_logs

ARRAY, LINES = Payload("array", max_events=10), Payload("lines", max_events=10)
SECRET = "whsec_" + "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5u"


@pytest.fixture(autouse=True)
def _executor(monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")


@pytest.fixture
def store(tmp_path):
    return DeadLetterStore(Route(name="r", on_reject="dead_letter", dead_letter_path=str(tmp_path / "letters")))


def holds(*bad, status=422):
    """A webhook that refuses each POST that holds one of these events."""
    ids = {log_id(number) for number in bad}
    return lambda post: status if ids & set(post.log_ids) else 200


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=60), st.integers(1, 20), st.integers(1000, 5000))
def test_every_event_is_in_one_post_in_order_and_posts_keep_within_both_limits(sizes, max_events, max_bytes):
    made = [event._replace(body=json.dumps("x" * size)) for event, size in zip(events(len(sizes)), sizes, strict=True)]
    for form in ("array", "lines"):
        payload = Payload(form, max_events, max_bytes)
        ends = payload.groups(made)
        starts = [0, *sorted(set(ends))]
        assert starts[-1] == len(made) == len(ends)
        for start, end in itertools.pairwise(starts):
            assert set(ends[start:end]) == {end}
            assert end - start <= max_events
            assert end - start == 1 or len(payload.message(made[start:end]).body.encode()) <= max_bytes


@given(shaped_logs(20), st.integers(1, 20), st.integers(1000, 50_000))
def test_events_of_every_type_arrive_in_batches_to_the_letter(made, max_events, max_bytes):
    for form in ("array", "lines"):
        payload = Payload(form, max_events, max_bytes)
        ends = sorted(set(payload.groups(made)))
        bodies = [payload.message(made[start:end]).body for start, end in itertools.pairwise([0, *ends])]
        read = [json.loads(body) if form == "array" else [json.loads(line) for line in body.splitlines()] for body in bodies]
        assert [json.dumps(event) for events in read for event in events] == [event.body for event in made]


def test_a_single_event_is_posted_as_it_was_sent_under_its_log_id():
    (event,) = events(1)
    assert Payload().message([event]) == (event.log_id, event.body, (event.log_id,))


def test_an_array_and_lines_hold_each_event_to_the_letter():
    one, two = events(2)
    one = one._replace(body='{"n": 1e999,\r\n "s": "\\ud800 \\n 😀"}')
    assert ARRAY.message([one, two]).body == f"[{one.body},{two.body}]"
    first, second = LINES.message([one, two]).body.splitlines()
    assert first == '{"n": 1e999,   "s": "\\ud800 \\n 😀"}'
    assert second == two.body


def test_a_batch_has_an_id_of_its_events_and_of_nothing_else():
    made = events(3)
    ids = {ARRAY.message(part).id for part in (made, made[:2], made[1:], made[:1])}
    assert len(ids) == 4
    assert ARRAY.message(made).id == LINES.message(made).id
    assert ARRAY.message(made).id.startswith(f"{log_id(1)}-3-")
    assert "." not in ARRAY.message(made).id


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("payload", [ARRAY, LINES])
def test_every_event_arrives_once_in_batches_and_the_checkpoint_ends_at_the_end(receiver, payload, gzip):
    made, keeper = events(205), Keeper()
    running = delivery(receiver.url, keeper, made, payload=payload, gzip=gzip)
    running.run(lambda: [one_batch(made[:100]), one_batch(made[100:])])
    assert sorted(receiver.accepted) == [event.log_id for event in made]
    assert {json.dumps(event) for post in receiver.posts for event in post.events} == {event.body for event in made}
    assert len(receiver.posts) == running.figures.posts == 21
    assert receiver.problems == []
    assert {post.headers.get("Content-Encoding") for post in receiver.posts} == {"gzip" if gzip else None}
    assert {post.headers["Content-Type"] for post in receiver.posts} == {payload.content_type}
    assert keeper.stored == Checkpoint(made[-1].position)


@pytest.mark.parametrize("gzip", [False, True])
def test_a_batch_verifies_with_the_official_library(receiver, gzip):
    made = events(30)
    running = delivery(receiver.url, Keeper(), made, payload=ARRAY)
    running._posting.endpoint = endpoint(receiver.url, signer=Signer([SECRET]), gzip=gzip)
    running.run(lambda: [one_batch(made)])
    for post in receiver.posts:
        assert Webhook(SECRET).verify(post.body, post.headers) == post.events


def test_one_call_at_a_time_keeps_the_order_of_the_log(receiver):
    answers = iter([200, 503, 413, 200, "reset", 422])
    receiver.behave = lambda _post: next(answers, 200)
    made = events(60)
    delivery(receiver.url, Keeper(), made, payload=ARRAY, concurrent_calls=1).run(lambda: [one_batch(made)])
    assert receiver.accepted == [event.log_id for event in made]


def test_a_try_again_is_the_same_message_under_the_same_id(receiver):
    refusals = iter([503, "reset", 429])
    receiver.behave = lambda post: next(refusals, 200) if log_id(15) in post.log_ids else 200
    made = events(40)
    running = delivery(receiver.url, Keeper(), made, payload=ARRAY)
    running.run(lambda: [one_batch(made)])
    tries = [post for post in receiver.posts if log_id(15) in post.log_ids]
    assert len({(post.headers["webhook-id"], post.body) for post in tries}) == 1
    assert len(tries) == 4
    assert running.figures.retried == 3
    assert receiver.repeats == 0


def test_the_next_run_makes_the_same_message_of_what_was_not_answered(receiver):
    down = [True]
    receiver.behave = lambda post: "reset" if down and log_id(21) in post.log_ids else 200
    made, keeper = events(60), Keeper()
    with pytest.raises(EndpointUnavailableError, match=f"batch of 10 events, {log_id(21)} to {log_id(30)}, try"):
        delivery(receiver.url, keeper, made, payload=ARRAY, waits=Waits(post_retries=0.1)).run(lambda: [one_batch(made)])
    assert keeper.stored.position == made[19].position
    down.clear()
    again = delivery(receiver.url, keeper, made, payload=ARRAY)
    again.run(lambda: [one_batch(made[20:])])
    assert len({post.headers["webhook-id"] for post in receiver.posts if log_id(21) in post.log_ids}) == 1
    assert receiver.repeats == 0
    assert set(receiver.accepted) == {event.log_id for event in made}


def test_a_batch_that_is_too_large_is_split_until_it_fits_and_later_ones_are_made_smaller(receiver):
    receiver.behave = lambda post: 413 if len(post.body) > 400 else 200
    made, keeper = events(200), Keeper()
    running = delivery(receiver.url, keeper, made, payload=ARRAY, concurrent_calls=1)
    running.run(lambda: [one_batch(made)])
    assert receiver.accepted == [event.log_id for event in made]
    assert running.progress.counts() == {State.DELIVERED_NOW: 200}
    refused = [post for post in receiver.posts if post.answer == 413]
    assert len(refused) == 2  # 10 events, then 5: from there on each batch is split before it is sent
    assert keeper.stored == Checkpoint(made[-1].position)


def test_an_event_that_is_too_large_by_itself_is_refused(receiver, store):
    made = events(40)
    made[25] = made[25]._replace(body=json.dumps({"log_id": log_id(26), "type": "s", "long": "x" * 5000}))
    receiver.behave = lambda post: 413 if len(post.body) > 4000 else 200
    delivery(receiver.url, Keeper(), made, payload=ARRAY, dead_letters=store).run(lambda: [one_batch(made)])
    assert [letter.log_id for letter, _ in store.letters()] == [log_id(26)]
    assert len(receiver.accepted) == 39


@pytest.mark.parametrize("status", [400, 409, 422])
@pytest.mark.parametrize("calls", [1, 5])
def test_only_the_refused_events_of_a_batch_are_set_aside(receiver, store, status, calls):
    bad = (1, 14, 15, 40, 77)
    receiver.behave = holds(*bad, status=status)
    made, keeper = events(100), Keeper()
    running = delivery(receiver.url, keeper, made, payload=ARRAY, dead_letters=store, concurrent_calls=calls)
    running.run(lambda: [one_batch(made)])
    assert [letter.log_id for letter, _ in store.letters()] == [log_id(number) for number in bad]
    assert [event.body for _, event in store.letters()] == [made[number - 1].body for number in bad]
    assert running.progress.counts() == {State.DELIVERED_NOW: 95, State.DEAD_LETTERED: 5}
    assert receiver.repeats == 0
    assert receiver.problems == []
    assert keeper.stored == Checkpoint(made[-1].position)


def test_a_run_stops_at_the_refused_event_of_a_batch_with_everything_before_it_delivered(receiver):
    receiver.behave = holds(47)
    made, keeper = events(100), Keeper()
    running = delivery(receiver.url, keeper, made, payload=ARRAY, concurrent_calls=1)
    with pytest.raises(EventRefusedError, match=f"refuses event {log_id(47)} .*422"):
        running.run(lambda: [one_batch(made)])
    assert receiver.accepted == [event.log_id for event in made[:46]]
    assert keeper.stored == Checkpoint(made[45].position)
    assert running.progress.counts() == {State.DELIVERED_NOW: 46, State.REFUSED: 1, State.NOT_REACHED: 53}


@pytest.mark.parametrize("calls", [1, 5, 20])
def test_after_a_failure_the_next_run_sends_only_what_is_missing(receiver, calls):
    receiver.behave = holds(33)
    made, keeper = events(300), Keeper()
    with pytest.raises(EventRefusedError):
        delivery(receiver.url, keeper, made, payload=ARRAY, concurrent_calls=calls).run(lambda: [one_batch(made)])
    assert keeper.stored.position == made[31].position
    receiver.behave = lambda _post: 200
    again = delivery(receiver.url, keeper, made, payload=ARRAY, concurrent_calls=calls)
    again.run(lambda: [one_batch(made)])
    assert receiver.repeats == 0
    assert set(receiver.accepted) == {event.log_id for event in made}
    counts = again.progress.counts()
    assert counts[State.DELIVERED_NOW] + counts[State.DELIVERED_BEFORE] == 300


def test_a_webhook_that_takes_no_batch_at_all_is_the_endpoint(receiver, store):
    receiver.behave = lambda _post: 400
    made, keeper = events(100), Keeper()
    with pytest.raises(EndpointWrongError, match="like the 19 before it, and none was accepted"):
        delivery(receiver.url, keeper, made, payload=ARRAY, dead_letters=store, concurrent_calls=1).run(lambda: [one_batch(made)])
    assert list(store.letters()) == []
    assert keeper.stored == Checkpoint(START)


@pytest.mark.parametrize("answer", [302, 401, 404])
def test_a_wrong_endpoint_stops_at_once_without_splitting(receiver, answer):
    receiver.behave = holds(25, status=answer)
    made, keeper = events(60), Keeper()
    with pytest.raises(EndpointWrongError, match=f"{answer} .*batch of 10 events"):
        delivery(receiver.url, keeper, made, payload=ARRAY, concurrent_calls=1).run(lambda: [one_batch(made)])
    assert len(receiver.posts) == 3
    assert keeper.stored == Checkpoint(made[19].position)


def test_a_hold_is_kept_and_nothing_of_the_batch_counts_as_sent(receiver):
    receiver.behave = holds(25, status=410)
    made, keeper = events(60), Keeper()
    with pytest.raises(EndpointHeldError):
        delivery(receiver.url, keeper, made, payload=ARRAY, concurrent_calls=1).run(lambda: [one_batch(made)])
    assert keeper.stored.hold
    assert keeper.stored.position == made[19].position


def test_acknowledgements_beyond_a_batch_that_fails_are_remembered_event_by_event(receiver):
    receiver.behave = lambda post: ("after", lambda: len(receiver.accepted) == 90, 401) if log_id(1) in post.log_ids else 200
    made, keeper = events(100), Keeper()
    with pytest.raises(EndpointWrongError):
        delivery(receiver.url, keeper, made, payload=ARRAY).run(lambda: [one_batch(made)])
    assert keeper.stored.position == START
    assert keeper.stored.acknowledged == tuple(event.log_id for event in made[10:])
    receiver.behave = lambda _post: 200
    delivery(receiver.url, keeper, made, payload=ARRAY).run(lambda: [one_batch(made)])
    assert receiver.repeats == 0


@pytest.mark.parametrize(("calls", "in_one_post"), [(1, 50), (5, 50), (5, 100), (50, 100)])
def test_what_a_save_that_fails_can_repeat_keeps_within_the_bound(receiver, calls, in_one_post):
    keeper, payload = Keeper(), Payload("array", max_events=in_one_post)

    def fail(_checkpoint):
        if len(receiver.accepted) > 1000:
            raise AirflowUnavailableError("database is locked")

    keeper.before_save = fail
    made = events(3000)
    with pytest.raises(AirflowUnavailableError):
        delivery(receiver.url, keeper, made, payload=payload, concurrent_calls=calls).run(lambda: [one_batch(made)])
    keeper.before_save = lambda _checkpoint: None
    delivery(receiver.url, keeper, made, payload=payload, concurrent_calls=calls).run(lambda: [one_batch(made)])
    assert set(receiver.accepted) == {event.log_id for event in made}
    assert receiver.repeats <= most_repeated(calls, in_one_post)


@pytest.mark.parametrize(("calls", "in_one_post"), [(5, 1), (1, 100), (5, 100)])
def test_a_delivery_that_is_killed_in_its_midst_repeats_no_more_than_the_bound(receiver, tmp_path, calls, in_one_post):
    count, path = 6000 if in_one_post > 1 else 1500, tmp_path / "checkpoint.json"
    command = [
        sys.executable,
        "-m",
        "tests.support.programs.killed",
        receiver.url,
        str(path),
        str(count),
        str(calls),
        str(in_one_post),
    ]
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'plugins'}"}
    for part in (0.25, 0.6):
        receiver.delay = lambda _post: 0.005
        with subprocess.Popen(command, env=environment, cwd=PROJECT) as process:
            wait_for(lambda part=part: len(set(receiver.accepted)) > part * count, 300)
            process.kill()
    receiver.delay = lambda _post: 0.0
    subprocess.run(command, env=environment, cwd=PROJECT, check=True, timeout=300)
    assert set(receiver.accepted) == {log_id(number) for number in range(1, count + 1)}
    assert receiver.problems == []
    assert receiver.repeats <= 2 * most_repeated(calls, in_one_post)
    assert parse_checkpoint(path.read_text(encoding="utf-8"), key="k").position.log_id == log_id(count)
