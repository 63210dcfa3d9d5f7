"""A route's own body: what it makes of an event, and what happens to an event of which it makes nothing. Over real HTTP."""

from __future__ import annotations

import json

import pytest

from auth0_webhooks.errors import EndpointWrongError, EventRefusedError
from auth0_webhooks.model.checkpoint import Checkpoint
from auth0_webhooks.payload.body import Body, NoBodyError
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state.dead_letters import DeadLetterStore
from tests.support.factory import Keeper, delivery, events, log_id, one_batch
from tests.unit.delivery.test_refusals import Kept

BLOCKED = "{text: join(' ', ['Blocked:', not_null(user_name, 'unknown user'), 'from', not_null(ip, 'unknown address')])}"
ONLY_LOGINS = "type == 's' && {id: log_id} || `null`"
DOUBLED = "|".join(["[@,@]"] * 40)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    return DeadLetterStore(Route(name="r", on_reject="dead_letter", dead_letter_path=str(tmp_path / "letters")))


def made_of(expression, body):
    (event,) = events(1)
    return Body(expression).of(event._replace(body=body))


def send(receiver, made, keeper=None, *, form="event", body=ONLY_LOGINS, **settings):
    keeper = keeper or Keeper()
    payload = Payload(form, body=Body(body), max_events=settings.pop("max_events", 100))
    run = delivery(receiver.url, keeper, made, payload=payload, concurrent_calls=1, **settings)
    run.run(lambda: [one_batch(made)])
    return keeper


def sent(receiver):
    """What arrived of each event, in order, whatever the form."""
    texts = [text for post in receiver.posts for text in post.body.splitlines()]
    found = [json.loads(text) for text in texts]
    return [item for each in found for item in (each if isinstance(each, list) else [each])]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"user_name": "ada", "ip": "203.0.113.7"}, "Blocked: ada from 203.0.113.7"),
        ({}, "Blocked: unknown user from unknown address"),
        ({"user_name": "文\ud800", "ip": "::1"}, "Blocked: 文\ud800 from ::1"),
    ],
)
def test_the_result_of_the_expression_is_the_json_to_send(event, text):
    assert json.loads(made_of(BLOCKED, json.dumps(event))) == {"text": text}


def test_keys_of_the_result_may_need_quotes():
    assert json.loads(made_of('{"@timestamp": date, "$schema": \'x\'}', '{"date": "d"}')) == {"@timestamp": "d", "$schema": "x"}


def test_false_and_empty_results_are_sent():
    assert [made_of(expression, "{}") for expression in ("`false`", "`[]`", "''")] == ["false", "[]", '""']


@pytest.mark.parametrize(
    ("expression", "event", "reason"),
    [
        ("user_name", "{}", "gives null"),
        ("{a: join(' ', [user_name])}", "{}", "fails: join() takes array-string, not null"),
        ("{a: abs(ip)}", '{"ip": "SECRET"}', "fails: abs() takes number, not string"),
        ("{a: n}", '{"n": 1e999}', "fails: a number is too large"),
        ("@", "[" * 100_000 + "]" * 100_000, "fails: the event is nested too deeply"),
        (DOUBLED, "{}", "fails: the expression costs too much"),
    ],
)
def test_an_event_that_gives_nothing_is_named_by_expression_and_reason_without_its_content(expression, event, reason):
    with pytest.raises(NoBodyError) as error:
        made_of(expression, event)
    assert str(error.value).endswith(reason)
    assert expression[:20] in str(error.value)
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize("form", ["event", "array", "lines"])
def test_each_event_of_a_post_is_sent_as_the_expression_makes_it(receiver, form):
    made = events(7)
    send(receiver, made, form=form, body="{id: log_id}", max_events=3)
    assert sent(receiver) == [{"id": event.log_id} for event in made]
    assert {post.headers["Content-Type"] for post in receiver.posts} == {
        "application/x-ndjson" if form == "lines" else "application/json"
    }


def test_a_content_type_of_the_routes_own_is_sent(receiver):
    made = events(1)
    payload = Payload(body=Body("@"), media_type="application/vnd.example+json")
    delivery(receiver.url, Keeper(), made, payload=payload).run(lambda: [one_batch(made)])
    assert receiver.posts[0].headers["Content-Type"] == "application/vnd.example+json"


@pytest.mark.parametrize("form", ["event", "array", "lines"])
def test_an_event_without_a_body_is_set_aside_whole_and_the_others_are_sent(receiver, store, form):
    made = events(["s", "f", "s", "f", "s"])
    keeper = send(receiver, made, form=form, dead_letters=store)
    assert sent(receiver) == [{"id": log_id(number)} for number in (1, 3, 5)]
    found = list(store.letters())
    assert [event.body for _, event in found] == [made[1].body, made[3].body]
    assert {(letter.answer, letter.tries) for letter, _ in found} == {(f"the route's body {ONLY_LOGINS!r} gives null", 0)}
    assert keeper.stored == Checkpoint(made[-1].position)


@pytest.mark.parametrize("form", ["event", "array", "lines"])
def test_without_dead_letters_the_run_stops_at_it_after_sending_what_is_before(receiver, form):
    made, keeper = events(["s", "s", "f", "s"]), Keeper()
    with pytest.raises(EventRefusedError, match=f"event {log_id(3)} .type 'f'. cannot be sent: the route's body .* gives null"):
        send(receiver, made, keeper, form=form)
    assert sent(receiver) == [{"id": log_id(1)}, {"id": log_id(2)}]
    assert keeper.stored == Checkpoint(made[1].position)


def test_any_number_of_them_is_no_refusal_by_the_webhook(receiver, store):
    made, kept = events(["f"] * 60), Kept()
    keeper = send(receiver, made, dead_letters=store, refusals=kept)
    assert receiver.posts == []
    assert kept.log_ids == ()
    assert len(list(store.letters())) == 60
    assert keeper.stored == Checkpoint(made[-1].position)


def test_they_do_not_end_a_row_of_refusals_either(receiver, store):
    receiver.behave = lambda _post: 422
    made, kept = events(["s", "f"] * 20), Kept()
    with pytest.raises(EndpointWrongError, match="like the 19 before it"):
        send(receiver, made, dead_letters=store, refusals=kept)
    assert len(kept.log_ids) == 20
    assert {letter.type for letter, _ in store.letters()} == {"f"}


def test_the_suspect_of_earlier_runs_may_be_such_an_event(receiver, store):
    made = events(["f", "f", "s"])
    send(receiver, made, dead_letters=store, suspect=made[0].log_id)
    assert [letter.type for letter, _ in store.letters()] == ["f", "f"]
    assert sent(receiver) == [{"id": log_id(3)}]


def test_a_body_that_is_larger_than_its_event_splits_a_batch_at_max_bytes(receiver):
    made = events(10)
    payload = Payload("array", max_bytes=2_000, body=Body("{log_id: log_id, all: [@,@,@,@,@]}"))
    delivery(receiver.url, Keeper(), made, payload=payload, concurrent_calls=1).run(lambda: [one_batch(made)])
    assert len(sent(receiver)) == 10
    assert all(len(post.body) <= 2_000 for post in receiver.posts)


def test_a_body_over_the_receivers_limit_is_a_refusal_of_that_event(receiver, store):
    receiver.behave = lambda post: 413 if len(post.body) > 300 else 200
    made = events(4)
    made[1] = made[1]._replace(body=json.dumps({"log_id": made[1].log_id, "description": "x" * 400}))
    send(receiver, made, body="{id: log_id, text: description}", dead_letters=store)
    assert [letter.log_id for letter, _ in store.letters()] == [log_id(2)]
    assert [item["id"] for post in receiver.posts if post.was_accepted for item in [json.loads(post.body)]] == [
        log_id(number) for number in (1, 3, 4)
    ]
