from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from pathlib import Path

import pytest
from upath import UPath

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
from tests.support.letters import LETTERS

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


def test_object_storage_holds_letters_as_a_disk_does(object_storage):
    store = DeadLetterStore(Route(name="r", on_reject="dead_letter", dead_letter_path=object_storage))
    assert list(store.letters()) == []
    for event in events(3):
        store.put(event, REFUSAL, 1)
        store.put(event, REFUSAL, 2)
    for _ in range(2):
        store.remove(log_id(2))
    assert [(letter.log_id, letter.tries, event.body) for letter, event in store.letters()] == [
        (log_id(number), 2, events(3)[number - 1].body) for number in (1, 3)
    ]
    assert not [path for path in UPath(object_storage).rglob("*") if path.name.endswith(".tmp")]


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
    with pytest.raises(DeadLetterStoreError, match=f"event {log_id(30)} was refused, and cannot be stored as a dead letter"):
        delivery(receiver.url, keeper, made, dead_letters=store).run(lambda: [one_batch(made)])
    assert keeper.stored.position == made[28].position


def test_no_half_written_file_stays(store, tmp_path):
    (event,) = events(1)
    store.put(event, REFUSAL, 1)
    assert [path.name for path in (tmp_path / "letters" / "r").iterdir()] == [f"{log_id(1)}.letter"]


def folder_of(tmp_path):
    return tmp_path / "letters" / "r"


def break_off(path):
    path.write_bytes(path.read_bytes()[:-5])


def in_its_place_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (break_off, "its event is incomplete"),
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "its first line is not the JSON"),
        (lambda path: path.write_bytes(path.read_bytes().partition(b"\n")[0]), "its event is incomplete"),
        (lambda path: path.write_bytes(b""), "its first line is not the JSON"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "its first line is not the JSON"),
        (lambda path: path.write_text("[" * 100_000), "its first line is not the JSON"),
        (lambda path: path.write_text('["a list"]\n{}'), "its first line lacks a key"),
        (lambda path: path.write_text('{"log_id": "2"}\n{}'), "its first line lacks a key"),
        (lambda path: path.write_text(path.read_text().replace('"tries": 1', '"tries": "1"')), "a value of another type"),
        (lambda path: path.write_text(path.read_text() + "and more"), "its event is incomplete"),
        (lambda path: path.rename(path.with_name(f"copy of {path.name}")), "its name is not that of its event"),
        (in_its_place_a_folder, "it is a folder: remove it"),
    ],
    ids=["cut", "head cut", "no event", "empty", "no text", "deep", "list", "few keys", "kind", "tail", "copy", "folder"],
)
def test_a_letter_that_cannot_be_read_is_counted_named_and_left_and_the_others_are_read(store, tmp_path, caplog, spoil, said):
    for event in events(3):
        store.put(event, REFUSAL, 1)
    spoil(folder_of(tmp_path) / f"{log_id(2)}.letter")
    there = sorted(path.name for path in folder_of(tmp_path).iterdir())
    assert [letter.log_id for letter, _ in store.letters()] == [log_id(1), log_id(3)]
    assert store.unreadable == 1
    (record,) = caplog.records
    assert said in record.message
    assert f"{log_id(2)}.letter cannot be read and is skipped" in record.message
    assert "no such user" not in record.message
    assert sorted(path.name for path in folder_of(tmp_path).iterdir()) == there
    list(store.letters())
    assert store.unreadable == 1, "each listing begins at 0"


@contextlib.contextmanager
def another_user():
    """What another user than the owner of the files may do."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder():
    """A folder that every user can enter; pytest's own belong to one."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_letter_of_another_user_is_counted_and_named(open_folder, caplog):
    store = DeadLetterStore(Route(name="r", on_reject="dead_letter", dead_letter_path=str(open_folder)))
    for event in events(2):
        store.put(event, REFUSAL, 1)
    (open_folder / "r").chmod(0o755)
    (open_folder / "r" / f"{log_id(1)}.letter").chmod(0o644)
    with another_user():
        assert [letter.log_id for letter, _ in store.letters()] == [log_id(1)]
    assert store.unreadable == 1
    assert "the user that runs the tasks may not read it" in caplog.text


def test_letters_that_another_user_may_not_list_are_not_taken_for_none(open_folder):
    store = DeadLetterStore(Route(name="r", on_reject="dead_letter", dead_letter_path=str(open_folder / "letters")))
    (event,) = events(1)
    store.put(event, REFUSAL, 1)
    with another_user(), pytest.raises(DeadLetterStoreError, match="of route 'r' under .* cannot be listed"):
        list(store.letters())


def test_letters_and_their_folders_are_their_owners_alone_whatever_the_umask(store, tmp_path):
    before = os.umask(0)
    try:
        for event in events(2):
            store.put(event, REFUSAL, 1)
        (folder_of(tmp_path) / f"{log_id(1)}.letter").chmod(0o644)
        ((first, event), _) = store.letters()
        store.put(event, REFUSAL, first.tries + 1)
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "letters").rglob("*")}
    assert {path.name: mode for path, mode in modes.items()} == {
        "r": 0o700,
        f"{log_id(1)}.letter": 0o600,
        f"{log_id(2)}.letter": 0o600,
    }
    assert (tmp_path / "letters").stat().st_mode & 0o777 == 0o700


def test_a_letters_name_is_made_durable_after_its_content(store, tmp_path, monkeypatch):
    synced, real = [], os.fsync

    def recording(handle):
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())
        real(handle)

    monkeypatch.setattr(os, "fsync", recording)
    for event in events(2):
        store.put(event, REFUSAL, 1)
    folder = folder_of(tmp_path)
    assert [path if path.is_dir() else path.suffix for path in synced] == [tmp_path, folder.parent, *[".tmp", folder] * 2]


def test_letters_as_they_were_written_before_are_read(store, tmp_path):
    folder_of(tmp_path).mkdir(parents=True)
    for name, content in LETTERS.items():
        (folder_of(tmp_path) / f"{name}.letter").write_text(content, encoding="utf-8")
        (folder_of(tmp_path) / f"{name}.letter").chmod(0o644)
    found = list(store.letters())
    assert [event.body for _, event in found] == [content.partition("\n")[2] for content in LETTERS.values()]
    assert [(letter.log_id, letter.type, letter.redaction) for letter, _ in found] == [
        (one, kind, mark) for one, kind, mark in zip(LETTERS, ["fp", "limit_wc"], ["", "ec6f83745a7f"], strict=True)
    ]
    assert {(letter.answer, letter.answer_body, letter.tries) for letter, _ in found} == {
        ("422 Unprocessable Entity", '{"error": "no such user: é"}', 2)
    }


def test_a_letter_with_a_key_of_a_later_version_is_read(store, tmp_path):
    (event,) = events(1)
    store.put(event, REFUSAL, 1)
    (path,) = folder_of(tmp_path).iterdir()
    path.write_text(path.read_text(encoding="utf-8").replace("{", '{"later": 1, ', 1), encoding="utf-8")
    assert [letter.log_id for letter, _ in store.letters()] == [log_id(1)]


def test_a_letter_of_an_event_with_a_number_that_python_makes_none_of_is_read(store):
    (event,) = events(1)
    long = '{"log_id": "1", "n": ' + "9" * 5_000 + "}"
    store.put(event._replace(body=long), REFUSAL, 1)
    assert [found.body for _, found in store.letters()] == [long]


def test_a_letter_of_an_event_that_is_too_deep_to_parse_is_read_to_its_end(store, tmp_path):
    (event,) = events(1)
    deep = '{"a": ' + "[" * 100_000 + '"]}"' + "]" * 100_000 + "}"
    store.put(event._replace(body=deep), REFUSAL, 1)
    assert [found.body for _, found in store.letters()] == [deep]
    break_off(next(folder_of(tmp_path).iterdir()))
    assert list(store.letters()) == []
