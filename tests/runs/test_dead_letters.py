"""The DAG that lists dead letters and sends them again, on a real Airflow database, over real HTTP."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.support.letters import LETTERS

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_home", "connections")]


@pytest.fixture
def letters(tmp_path, monkeypatch):
    """Where dead letters are."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    return tmp_path / "letters"


@pytest.fixture
def refused(route, tenant, receiver, letters):
    """Events of which a run has set three aside; gives their log ids."""
    route.settings = {"on_reject": "dead_letter", "dead_letter_path": str(letters)}
    tenant.log_token_requests = False
    ids = [tenant.add("fp") for _ in range(3)]
    tenant.add("s")
    receiver.behave = lambda post: 422 if post.log_id in ids else 200
    assert route.run() == "success"
    assert route.report["dead_lettered"] == 3
    receiver.behave = lambda _post: 200
    return ids


def only(route, **more):
    """Make these the only routes, besides the one of the test."""
    routes = {**more, route.name: route.settings}
    (route.home / "dags" / "webhook_routes.yaml").write_text(yaml.safe_dump({"routes": routes}), encoding="utf-8")


def test_what_cannot_be_read_keeps_back_no_other_letter_of_its_route_or_of_another(route, receiver, letters, refused, logged):
    only(route, a_first=route.settings)
    (letters / "a_first" / "1.letter").mkdir(parents=True)
    whole = (letters / route.name / f"{refused[2]}.letter").read_text(encoding="utf-8")
    (letters / "a_first" / f"{refused[2]}.letter").write_text(whole, encoding="utf-8")
    broken = letters / route.name / f"{refused[0]}.letter"
    broken.write_bytes(broken.read_bytes()[:-10])
    receiver.posts.clear()

    state, report = route.run_dead_letters(send=True)

    assert state == "failed", "a person has to look at what stays"
    counts = ("found", "sent", "refused", "left", "unreadable", "stopped_by")
    assert [report["a_first"][key] for key in counts] == [1, 1, 0, 0, 1, None]
    assert [report[route.name][key] for key in counts] == [2, 2, 0, 0, 1, None]
    assert sorted(receiver.accepted) == [*refused[1:], refused[2]]
    assert [path.name for path in (letters / route.name).iterdir()] == [broken.name]
    shown = logged()
    assert f"{broken} cannot be read and is skipped: its event is incomplete" in shown
    assert f"{route.name}: 1 dead letter cannot be read" in shown


def test_a_listing_counts_what_cannot_be_read_and_fails(route, receiver, letters, refused):
    only(route)
    (letters / route.name / f"{refused[0]}.letter").write_text("", encoding="utf-8")
    state, report = route.run_dead_letters()
    assert state == "failed"
    assert (report[route.name]["left"], report[route.name]["unreadable"]) == (2, 1)
    (letters / route.name / f"{refused[0]}.letter").unlink()
    assert route.run_dead_letters()[0] == "success"


def test_a_place_that_is_no_folder_keeps_no_other_route_back(route, receiver, letters, refused):
    only(route, a_first={**route.settings, "on_reject": "stop"})
    (letters / "a_first").write_text("a file where a folder should be", encoding="utf-8")
    state, report = route.run_dead_letters(send=True)
    assert state == "failed"
    assert "of route 'a_first' under" in report["a_first"]["stopped_by"]
    assert report[route.name]["sent"] == 3


def test_a_letter_that_cannot_be_put_into_a_post_keeps_no_other_back(route, receiver, letters, refused, monkeypatch):
    from auth0_webhooks.privacy.redaction import Redaction

    route.settings = {**route.settings, "redact": {"ip": "mask"}}
    only(route)
    real = Redaction.body

    def body(self, event):
        if event.log_id == refused[1]:
            raise RuntimeError("ada@example.com")
        return real(self, event)

    monkeypatch.setattr(Redaction, "body", body)
    state, report = route.run_dead_letters(send=True)
    assert (state, report[route.name]["sent"], report[route.name]["unreadable"]) == ("failed", 2, 1)
    assert [path.name for path in (letters / route.name).iterdir()] == [f"{refused[1]}.letter"]


def test_a_letter_that_cannot_be_removed_after_its_delivery_stops_its_route_and_is_named(
    route, receiver, letters, refused, monkeypatch
):
    from auth0_webhooks.state.dead_letters import DeadLetterStore

    only(route)
    folder = letters / route.name
    held = folder / f"{refused[0]}.letter"
    real = DeadLetterStore.remove

    def remove(self, log_id):
        if log_id == refused[0]:
            held.unlink()
            held.mkdir()  # as little to be removed by unlink() as a file in a folder that may not be written
        real(self, log_id)

    monkeypatch.setattr(DeadLetterStore, "remove", remove)
    route.settings = {**route.settings, "concurrent_calls": 1}
    only(route)
    state, report = route.run_dead_letters(send=True)
    assert state == "failed"
    assert f"event {refused[0]} was delivered, but its dead letter {held} cannot be removed" in report[route.name]["stopped_by"]
    assert (report[route.name]["found"], report[route.name]["left"]) == (3, 3)


def test_letters_are_sent_again_at_the_pace_of_the_route(route, receiver, letters, turns):
    route.settings = {"on_reject": "dead_letter", "dead_letter_path": str(letters), "max_per_second": 2}
    only(route)
    (letters / route.name).mkdir(parents=True)
    for name, content in LETTERS.items():
        (letters / route.name / f"{name}.letter").write_text(content, encoding="utf-8")
    state, report = route.run_dead_letters(send=True)
    assert (state, report[route.name]["sent"]) == ("success", 2)
    assert turns == [2, 2]


def test_letters_as_they_were_written_before_are_sent_again_and_removed(route, receiver, letters):
    route.settings = {"on_reject": "dead_letter", "dead_letter_path": str(letters)}
    only(route)
    (letters / route.name).mkdir(parents=True)
    for name, content in LETTERS.items():
        (letters / route.name / f"{name}.letter").write_text(content, encoding="utf-8")
    state, report = route.run_dead_letters(send=True)
    assert (state, report[route.name]["sent"], report[route.name]["unreadable"]) == ("success", 2, 0)
    assert {post.log_id: post.body for post in receiver.posts} == {
        name: content.partition("\n")[2] for name, content in LETTERS.items()
    }
    assert receiver.problems == []
    assert list((letters / route.name).iterdir()) == []


def test_a_letter_that_is_refused_again_stays_redacted_as_the_route_says_today(route, receiver, letters):
    route.settings = {"on_reject": "dead_letter", "dead_letter_path": str(letters), "redact": {"user_name": "mask"}}
    only(route)
    (letters / route.name).mkdir(parents=True)
    name, content = next(iter(LETTERS.items()))
    path = letters / route.name / f"{name}.letter"
    path.write_text(content, encoding="utf-8")
    receiver.behave = lambda _post: 422
    state, report = route.run_dead_letters(send=True)
    assert (state, report[route.name]["refused"]) == ("success", 1)
    head, _, body = path.read_text(encoding="utf-8").partition("\n")
    assert json.loads(body)["user_name"] == "***"
    assert (json.loads(head)["tries"], bool(json.loads(head)["redaction"])) == (3, True)
