from __future__ import annotations

import json
import threading

import pytest

from auth0_webhooks.delivery.progress import State
from auth0_webhooks.delivery.refusals import MOST_REFUSED
from auth0_webhooks.errors import DeadLetterStoreError, EndpointWrongError, SettingError
from auth0_webhooks.model.batch import Batch
from auth0_webhooks.model.checkpoint import Checkpoint
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state.dead_letters import DeadLetterStore
from auth0_webhooks.webhook.answers import Answer
from tests.support.factory import START, Keeper, delivery, events, log_id, one_batch, wait_for

REFUSAL = Answer(422, "Unprocessable Entity", None, "no such user")


@pytest.fixture(autouse=True)
def _local_executor(monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")


@pytest.fixture
def store(tmp_path):
    return DeadLetterStore(Route(name="r", on_reject="dead_letter", dead_letter_path=str(tmp_path / "letters")))


def test_a_letter_holds_the_event_to_the_letter_and_what_refused_it(store, tmp_path):
    (event,) = events(1)
    event = event._replace(body='{"a": 1e999,\n "b": "\\ud800 \\u0000 😀"}')
    store.put(event, REFUSAL, 3)
    ((letter, stored),) = store.letters()
    assert stored.body == event.body
    assert (letter.log_id, letter.type, letter.answer, letter.answer_body) == (
        log_id(1),
        "s",
        "422 Unprocessable Entity",
        "no such user",
    )
    assert (letter.tries, letter.route, letter.at[-1]) == (3, "r", "Z")
    (file,) = (tmp_path / "letters" / "r").iterdir()
    assert json.loads(file.read_text(encoding="utf-8").split("\n")[0])["log_id"] == log_id(1)


def test_the_same_event_is_set_aside_once_and_forgotten_when_removed(store):
    for event in events(3):
        store.put(event, REFUSAL, 1)
        store.put(event, REFUSAL, 2)
    assert [letter.log_id for letter, _ in store.letters()] == [log_id(1), log_id(2), log_id(3)]
    store.remove(log_id(2))
    assert [letter.log_id for letter, _ in store.letters()] == [log_id(1), log_id(3)]


def test_a_place_without_letters_lists_none(store):
    assert list(store.letters()) == []


def test_a_place_that_nothing_serves_is_named_by_route_and_key():
    with pytest.raises(SettingError, match="route 'r': key 'dead_letter_path'"):
        DeadLetterStore(Route(name="r", dead_letter_path="nosuchscheme://bucket/x"))


def test_a_folder_of_one_machine_is_refused_where_tasks_run_on_several(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor,CeleryExecutor")
    with pytest.raises(SettingError, match="is a folder of this machine, but the executor runs tasks on several"):
        DeadLetterStore(Route(name="r", dead_letter_path=str(tmp_path)))
    DeadLetterStore(Route(name="r", dead_letter_path=str(tmp_path), dead_letter_path_shared=True))


def test_refused_events_are_set_aside_before_the_checkpoint_passes_them(receiver, store):
    receiver.behave = lambda post: 422 if int(post.log_id[-3:]) % 10 == 0 else 200
    made, keeper = events(200), Keeper()
    passed_unrecorded = []

    def look(checkpoint):
        recorded = {letter.log_id for letter, _ in store.letters()}
        done = set(checkpoint.acknowledged) | {e.log_id for e in made if e.log_id <= (checkpoint.position.log_id or "")}
        passed_unrecorded.extend(i for i in done if int(i[-3:]) % 10 == 0 and i not in recorded)

    keeper.before_save = look
    running = delivery(receiver.url, keeper, made, dead_letters=store)
    running.run(lambda: [one_batch(made)])
    assert passed_unrecorded == []
    assert running.progress.counts() == {State.DELIVERED_NOW: 180, State.DEAD_LETTERED: 20}
    assert keeper.stored == Checkpoint(made[-1].position)
    assert len(list(store.letters())) == 20
    assert len(receiver.posts) == 200


def test_twenty_refused_and_none_accepted_is_the_endpoint(receiver, store):
    receiver.behave = lambda _post: 400
    made, keeper = events(100), Keeper()
    with pytest.raises(EndpointWrongError, match="like the 19 before it, and none was accepted"):
        delivery(receiver.url, keeper, made, dead_letters=store, concurrent_calls=1).run(lambda: [one_batch(made)])
    assert len(receiver.posts) == MOST_REFUSED
    assert list(store.letters()) == []
    assert keeper.stored == Checkpoint(START)


def test_what_is_refused_before_the_first_is_accepted_is_set_aside_then(receiver, store):
    receiver.behave = lambda post: 400 if post.log_id <= log_id(10) else 200
    made, keeper = events(100), Keeper()
    running = delivery(receiver.url, keeper, made, dead_letters=store)
    running.run(lambda: [one_batch(made[:5]), one_batch(made[5:])])
    assert running.progress.counts() == {State.DELIVERED_NOW: 90, State.DEAD_LETTERED: 10}
    assert len(list(store.letters())) == 10
    assert keeper.stored == Checkpoint(made[-1].position)


def test_what_was_refused_first_is_forgotten_when_the_run_goes_on_from_another_place(receiver, store):
    # A batch with nothing wanted, so that there is something to save before anything is accepted; then refusals, a slow one
    # among them. Meanwhile someone moves the checkpoint past them.
    keeper, made = Keeper(Checkpoint(START)), events(40)
    early = {log_id(6), log_id(7)}
    receiver.behave = lambda post: ("after", lambda: not moves, 400) if post.log_id in early else 200
    moves = [Checkpoint(made[19].position)]

    def move(_checkpoint):
        if moves:
            wait_for(lambda: receiver.posts)
            keeper.stored = moves.pop()

    keeper.before_save = move
    running = delivery(receiver.url, keeper, made, dead_letters=store, concurrent_calls=2)
    running.run(lambda: [Batch(START, made[4].position, []), one_batch(made[5:])])
    assert moves == []
    assert list(store.letters()) == []
    assert set(receiver.accepted) >= {event.log_id for event in made[20:]}
    assert keeper.stored == Checkpoint(made[-1].position)


@pytest.mark.parametrize("payload", [Payload(), Payload("array", max_events=10)], ids=["single", "batches"])
def test_a_refused_event_before_as_many_remembered_ones_as_there_may_be_holds_up_nothing(receiver, store, payload):
    made = events(700)
    remembered = made[1 : payload.most_outstanding + 1]
    keeper = Keeper(Checkpoint(START, tuple(event.log_id for event in remembered)))
    receiver.behave = lambda post: 422 if log_id(1) in post.log_ids else 200
    running = delivery(receiver.url, keeper, made, payload=payload, dead_letters=store)
    thread = threading.Thread(target=running.run, args=(lambda: [one_batch(made)],), daemon=True)
    thread.start()
    thread.join(120)
    assert not thread.is_alive()
    assert [letter.log_id for letter, _ in store.letters()] == [log_id(1)]
    assert set(receiver.accepted) == {event.log_id for event in made[payload.most_outstanding + 1 :]}
    assert keeper.stored == Checkpoint(made[-1].position)


def test_a_short_run_with_only_refused_events_sets_them_aside(receiver, store):
    receiver.behave = lambda _post: 400
    made, keeper = events(7), Keeper()
    delivery(receiver.url, keeper, made, dead_letters=store).run(lambda: [one_batch(made)])
    assert len(list(store.letters())) == 7
    assert keeper.stored == Checkpoint(made[-1].position)


def test_an_endpoint_that_refuses_all_is_found_out_over_batches_too(receiver, store):
    receiver.behave = lambda _post: 400
    made, keeper = events(100), Keeper()
    batches = [one_batch(made[first : first + 5]) for first in range(0, 100, 5)]
    with pytest.raises(EndpointWrongError, match="like the 19 before it, and none was accepted"):
        delivery(receiver.url, keeper, made, dead_letters=store).run(lambda: batches)
    assert len(receiver.posts) < 30


def test_a_store_that_stays_broken_lets_the_checkpoint_grow_no_further(receiver, tmp_path):
    (tmp_path / "letters").write_text("a file where a folder should be", encoding="utf-8")
    store = DeadLetterStore(Route(name="r", dead_letter_path=str(tmp_path / "letters")))
    receiver.behave = lambda post: 422 if post.log_id == log_id(1) else 200
    made, keeper = events(400), Keeper()
    for _ in range(20):
        with pytest.raises(DeadLetterStoreError):
            delivery(receiver.url, keeper, made, dead_letters=store, first=True).run(lambda: [one_batch(made)])
    assert len(keeper.stored.acknowledged) <= 105


def test_a_store_that_cannot_be_written_stops_the_run_and_nothing_passes_unrecorded(receiver, tmp_path):
    (tmp_path / "letters").write_text("a file where a folder should be", encoding="utf-8")
    store = DeadLetterStore(Route(name="r", dead_letter_path=str(tmp_path / "letters")))
    receiver.behave = lambda post: 422 if post.log_id == log_id(30) else 200
    made, keeper = events(60), Keeper()
    with pytest.raises(DeadLetterStoreError, match=f"event {log_id(30)} was refused, and cannot be set aside"):
        delivery(receiver.url, keeper, made, dead_letters=store).run(lambda: [one_batch(made)])
    assert keeper.stored.position == made[28].position


def test_no_half_written_file_stays(store, tmp_path):
    (event,) = events(1)
    store.put(event, REFUSAL, 1)
    assert [path.name for path in (tmp_path / "letters" / "r").iterdir()] == [f"{log_id(1)}.letter"]
