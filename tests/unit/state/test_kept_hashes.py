"""The hashes that runs keep for the audit: written before the checkpoint passes their events, removed after the retention."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from auth0_webhooks.delivery.progress import State
from auth0_webhooks.errors import AirflowUnavailableError, KeptHashesError, SettingError
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state.dead_letters import DeadLetterStore
from auth0_webhooks.state.kept_hashes import PART, SIZE, KeepsHashesToo, KeptHashes, hash_of, kept_hashes, kept_since
from tests.support.factory import Keeper, delivery, events, one_batch

TODAY = datetime.now(timezone.utc).date()


@pytest.fixture(autouse=True)
def executor(monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")


@pytest.fixture
def kept_by(tmp_path):
    """A route that keeps its hashes in a folder of the test."""
    return Route(name="r", dead_letter_path=str(tmp_path / "letters"), log_types=["s", "f"], retention_days=2)


def all_hashes(route, since=date(2020, 1, 1)):
    return [each for file in kept_hashes(route, since) for each in file.hashes]


def deliver(url, keeper, made, hashes, **settings):
    """Deliver as a run does; returns the delivery's fault, if any."""
    both = KeepsHashesToo(keeper, hashes)
    both.stored = keeper.stored
    running = delivery(
        url,
        both,
        made,
        note=lambda event, state: hashes.note(event.log_id, set_aside=state is State.DEAD_LETTERED),
        **settings,
    )
    try:
        running.run(lambda: [one_batch(made)])
    finally:
        hashes.end()


def test_what_is_delivered_and_what_is_set_aside_is_kept_with_what_was_read_and_by_which_filter(receiver, kept_by):
    made = events(5)
    receiver.behave = lambda post: 422 if post.log_id == made[1].log_id else 200
    hashes = KeptHashes(kept_by, "run_1", passed=(made[0].previous, made[-1].position))
    deliver(receiver.url, Keeper(), made, hashes, dead_letters=DeadLetterStore(kept_by))
    (file,) = kept_hashes(kept_by, TODAY)
    assert sorted(file.hashes) == sorted(hash_of(event.log_id) | (event is made[1]) for event in made)
    assert (file.head["route"], file.head["run"]) == ("r", "run_1")
    assert (file.head["start"], file.head["end"]) == ([*made[0].previous[:2]], [*made[-1].position[:2]])
    assert file.head["selection"]["log_types"] == ["s", "f"]


def test_no_checkpoint_passes_an_event_whose_hash_is_not_kept(receiver, kept_by):
    made, keeper = events(600), Keeper()
    numbers = {event.log_id: number for number, event in enumerate(made, 1)}
    ahead = []

    def look(checkpoint):
        passed = made[: numbers.get(checkpoint.position.log_id, 0)]
        done = {event.log_id for event in passed} | set(checkpoint.acknowledged)
        ahead.append({hash_of(log_id) for log_id in done} - set(all_hashes(kept_by)))

    keeper.before_save = look
    deliver(receiver.url, keeper, made, KeptHashes(kept_by, "run_1"))
    assert len(ahead) > 1
    assert not any(ahead)
    assert len(all_hashes(kept_by)) == 600


def test_what_was_acknowledged_is_kept_though_the_checkpoint_could_not_be_saved(receiver, kept_by):
    made, keeper = events(3), Keeper()

    def fail(_checkpoint):
        raise AirflowUnavailableError("no")

    keeper.before_save = fail
    with pytest.raises(AirflowUnavailableError):
        deliver(receiver.url, keeper, made, KeptHashes(kept_by, "run_1"))
    assert set(all_hashes(kept_by)) == {hash_of(post.log_id) for post in receiver.posts}


def test_runs_that_overlap_keep_their_own_files(receiver, kept_by):
    first, second = KeptHashes(kept_by, "run_1"), KeptHashes(kept_by, "run_2")
    for number in range(3):
        for hashes in (first, second):
            hashes.note(f"{number}", set_aside=False)
            hashes.write()
    assert sorted(all_hashes(kept_by)) == sorted(2 * [hash_of(f"{number}") for number in range(3)])


@pytest.mark.parametrize(("in_store", "sizes"), [(False, [2 * PART + 1]), (True, [1, PART, PART])])
def test_many_hashes_go_into_one_file_on_a_disk_and_several_objects_in_a_store(kept_by, object_storage, in_store, sizes):
    kept_by = kept_by.model_copy(update={"dead_letter_path": object_storage if in_store else kept_by.dead_letter_path})
    hashes, count = KeptHashes(kept_by, "run_1"), 2 * PART + 1
    for number in range(count):
        hashes.note(f"{number}", set_aside=False)
        if number % 1000 == 0:
            hashes.write()
    hashes.end()
    files = list(kept_hashes(kept_by, TODAY))
    assert sorted(len(file.hashes) for file in files) == sizes
    assert len(set(all_hashes(kept_by))) == count
    stored = sum(path.stat().st_size for path in (folder_of_hashes(kept_by)).rglob("*.hashes"))
    assert stored < count * SIZE + 3 * 400


def folder_of_hashes(route):
    from auth0_webhooks.state.stored_files import folder_of

    return folder_of(route) / "kept_hashes" / route.name


def test_the_first_file_of_a_day_removes_the_days_whose_events_the_tenant_has_removed(kept_by):
    folder = folder_of_hashes(kept_by)
    for days in range(6):
        (folder / (TODAY - timedelta(days=days + 1)).isoformat()).mkdir(parents=True)
    (folder / "notes").mkdir()
    hashes = KeptHashes(kept_by, "run_1")
    hashes.note("1", set_aside=False)
    hashes.end()
    left = {path.name for path in folder.iterdir()}
    assert left == {"notes", *((TODAY - timedelta(days=days)).isoformat() for days in range(4))}
    assert kept_since(kept_by) == TODAY - timedelta(days=3)


def test_files_are_read_from_a_day_on_and_what_no_run_wrote_is_left_out(kept_by, caplog):
    folder = folder_of_hashes(kept_by)
    KeptHashes(kept_by, "run_1").write()
    (file,) = (folder / TODAY.isoformat()).iterdir()
    file.with_name("odd.hashes").write_bytes(b"not JSON\n12345678")
    yesterday = folder / (TODAY - timedelta(days=1)).isoformat()
    yesterday.mkdir()
    file.rename(yesterday / file.name)
    assert list(kept_hashes(kept_by, TODAY)) == []
    assert len(list(kept_hashes(kept_by, TODAY - timedelta(days=1)))) == 1
    assert "odd.hashes is not what a run writes there" in caplog.text


def test_a_file_that_breaks_off_gives_the_hashes_that_are_whole(kept_by):
    hashes = KeptHashes(kept_by, "run_1")
    for number in range(3):
        hashes.note(f"{number}", set_aside=False)
    hashes.end()
    (file,) = folder_of_hashes(kept_by).rglob("*.hashes")
    file.write_bytes(file.read_bytes()[:-3])
    assert all_hashes(kept_by) == [hash_of("0"), hash_of("1")]


def test_a_place_that_cannot_be_written_holds_up_no_delivery_and_is_tried_once_more_at_the_end(
    receiver, tmp_path, kept_by, caplog
):
    (tmp_path / "letters").write_text("a file where a folder should be", encoding="utf-8")
    made, keeper, hashes = events(3), Keeper(), KeptHashes(kept_by, "run_1")

    def repair(_checkpoint):
        (tmp_path / "letters").unlink(missing_ok=True)

    keeper.before_save = repair
    deliver(receiver.url, keeper, made, hashes)
    assert len(receiver.posts) == 3
    assert "cannot be kept" in caplog.text
    assert sorted(all_hashes(kept_by)) == sorted(hash_of(event.log_id) for event in made)


def test_where_workers_share_no_folder_nothing_is_kept_and_the_audit_is_told_what_is_missing(receiver, kept_by, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    deliver(receiver.url, Keeper(), events(3), KeptHashes(kept_by, "run_1"))
    assert len(receiver.posts) == 3
    with pytest.raises(SettingError, match="dead_letter_path_shared: true"):
        list(kept_hashes(kept_by, TODAY))


def test_a_folder_that_may_not_be_read_is_named(kept_by):
    folder = folder_of_hashes(kept_by)
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(KeptHashesError, match="of route 'r' cannot be read"):
        kept_since(kept_by)


def test_object_storage_keeps_them_as_a_disk_does(receiver, object_storage):
    kept_by = Route(name="r", dead_letter_path=object_storage, retention_days=1)
    assert kept_since(kept_by) is None
    hashes, made = KeptHashes(kept_by, "run_1"), events(3)
    deliver(receiver.url, Keeper(), made, hashes)
    assert set(all_hashes(kept_by)) == {hash_of(event.log_id) for event in made}
    old = KeptHashes(kept_by, "run_0")
    old._now -= timedelta(days=3)
    old.write()
    assert kept_since(kept_by) == TODAY - timedelta(days=3)
    folder = folder_of_hashes(kept_by)
    folder.fs.rm((folder / TODAY.isoformat()).path, recursive=True)
    KeptHashes(kept_by, "run_2").write()
    assert kept_since(kept_by) == TODAY


def test_an_object_that_is_whole_is_not_put_again_at_the_end(kept_by, object_storage):
    kept_by = kept_by.model_copy(update={"dead_letter_path": object_storage})
    hashes = KeptHashes(kept_by, "run_1")
    hashes.note("1", set_aside=False)
    hashes.write()
    (stored,) = (folder_of_hashes(kept_by) / TODAY.isoformat()).iterdir()
    stored.unlink()
    hashes.end()
    assert not stored.exists()


def test_on_a_disk_only_the_owner_can_read_them(kept_by):
    KeptHashes(kept_by, "run_1").write()
    for path in [folder_of_hashes(kept_by), *folder_of_hashes(kept_by).rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
