"""Events that are JSON, but not as usual: the whole way from a page of the log to the webhook and to the dead letters."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest

from auth0_webhooks.dead_letter_dag import Outcome, _prepared, _send
from auth0_webhooks.errors import EndpointUnavailableError, EventRefusedError
from auth0_webhooks.filtering.selection import Selection, Tally, select
from auth0_webhooks.filtering.where import Where
from auth0_webhooks.model.batch import Batch, pack, unpack
from auth0_webhooks.model.deep_json import MANY_LEVELS, is_deep
from auth0_webhooks.model.events import parse_page
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.privacy.masking import masked
from auth0_webhooks.privacy.redaction import Redaction
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state.dead_letters import DeadLetterStore
from auth0_webhooks.waits import Waits
from tests.support.factory import START, Keeper, delivery, endpoint, log_id

DEEP = "[" * 20_000 + "]" * 20_000
ODD = {
    "a huge number": '"n": ' + "9" * 10_000,
    "a number that is infinite": '"n": 1e999, "m": -1E-999',
    "no number": '"n": [NaN, Infinity, -Infinity]',
    "a lone surrogate": '"n": "\\ud800", "\\udfff": 1',
    "a key twice": '"n": 1, "n": {"a": 1, "a": 2}',
    "NUL": '"n": "\\u0000", "\\u0000": 1',
    "too deep to parse": f'"n": {DEEP}',
    "no blanks, and line breaks": '"n":1\r\n,"m":\t2',
}


def odd_page():
    """Each of them between plain ones; (the page, its events' texts)."""
    texts = []
    for odd in ODD.values():
        for more in ('"n": 0', odd):
            number = len(texts) + 1
            texts.append(f'{{"log_id": "{log_id(number)}", "type": "s", "date": "2026-11-22T10:00:00.000Z", {more}}}')
    return f"[{','.join(texts)}]", texts


def batch_of(page):
    made = parse_page(page, previous=START)
    return unpack(pack(Batch(START, made[-1].position, made), made_by="fetch", number=0), name="it")


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    return DeadLetterStore(Route(name="r", on_reject="dead_letter", dead_letter_path=str(tmp_path)))


@pytest.mark.parametrize("payload", [Payload(), Payload("array"), Payload("lines")], ids=lambda payload: payload.form)
def test_every_odd_event_arrives_to_the_letter_and_the_one_that_breaks_the_webhook_is_set_aside(receiver, store, payload):
    page, texts = odd_page()
    batch, keeper, tally = batch_of(page), Keeper(), Tally()
    batch = select(batch, Selection(where=Where("n != `12345`")), tally)
    # The receiver's parser breaks over the deep one, which it answers with 500.
    running = delivery(receiver.url, keeper, batch.events, payload=payload, dead_letters=store)
    running.run(lambda: [batch])
    ((letter, event),) = store.letters()
    deep = [text for text in texts if DEEP in text]
    assert [event.body] == deep
    assert letter.answer == "500 Internal Server Error"
    sent = [text for text in texts if DEEP not in text]
    if payload.form == "lines":
        sent = [text.replace("\r", " ").replace("\n", " ") for text in sent]
    arrived = "".join(post.body for post in receiver.posts if post.was_accepted)
    assert all(text in arrived for text in sent)
    assert keeper.stored.position == batch.end
    assert (tally.read, tally.undecided, len(batch.events)) == (len(texts), 1, len(texts))


def test_with_on_reject_stop_a_deep_event_that_breaks_the_webhook_is_named_and_all_before_it_is_delivered(receiver):
    page, texts = odd_page()
    batch, keeper = batch_of(page), Keeper()
    at = next(number for number, text in enumerate(texts) if DEEP in text)
    with pytest.raises(EventRefusedError, match=f"refuses event {log_id(at + 1)} .*500 Internal Server Error"):
        delivery(receiver.url, keeper, batch.events, concurrent_calls=1).run(lambda: [batch])
    assert keeper.stored.position == batch.events[at - 1].position


def test_a_deep_event_that_the_webhook_takes_is_delivered(receiver, monkeypatch):
    monkeypatch.setattr(receiver, "_check", lambda _request, post: receiver.posts.append(post))
    page, texts = odd_page()
    batch, keeper = batch_of(page), Keeper()
    delivery(receiver.url, keeper, batch.events).run(lambda: [batch])
    assert sorted(post.body for post in receiver.posts) == sorted(texts)
    assert keeper.stored.position == batch.end


def test_an_error_of_the_webhook_over_an_event_that_is_not_deep_is_tried_again_and_never_set_aside(receiver, store):
    receiver.behave = lambda _post: 500
    batch = batch_of(f'[{{"log_id": "{log_id(1)}", "n": "{"[" * 200}"}}]')
    quick = Waits(post_retries=0.0)
    with pytest.raises(EndpointUnavailableError):
        delivery(receiver.url, Keeper(), batch.events, dead_letters=store, waits=quick).run(lambda: [batch])
    assert list(store.letters()) == []


def test_a_deep_dead_letter_that_is_sent_again_in_vain_holds_up_no_other(receiver, store):
    page, _ = odd_page()
    batch = batch_of(page)
    receiver.behave = lambda post: 200 if "[0]" in post.body else 422
    batch.events[0] = batch.events[0]._replace(body=batch.events[0].body.replace('"n": 0', '"n": [0]'))
    delivery(receiver.url, Keeper(), batch.events, dead_letters=store).run(lambda: [batch])
    receiver.behave, outcome = lambda _post: 200, Outcome()
    prepare = partial(_prepared, payload=Payload(), redaction=None, mark="")
    asyncio.run(_send(endpoint(receiver.url), prepare, store, outcome, Route(name="r", concurrent_calls=1)))
    assert (outcome.sent, outcome.refused, outcome.left, outcome.stopped_by) == (len(batch.events) - 2, 1, 0, None)
    ((_, event),) = store.letters()
    assert DEEP in event.body


def test_what_is_too_deep_to_be_redacted_is_sent_without_its_content(receiver):
    page, texts = odd_page()
    batch, keeper = Redaction({"user_data": "mask"}).batch(batch_of(page)), Keeper()
    delivery(receiver.url, keeper, batch.events).run(lambda: [batch])
    assert sorted(post.headers["webhook-id"] for post in receiver.posts) == [log_id(number + 1) for number in range(len(texts))]
    (post,) = [post for post in receiver.posts if "nested too deeply" in post.body]
    assert post.event == {
        "log_id": post.log_id,
        "date": "2026-11-22T10:00:00.000Z",
        "type": "s",
        "description": "*** nested too deeply to be redacted",
    }
    assert keeper.stored.position == batch.end
    kept = [event.body for event in batch.events if event.log_id != post.log_id]
    assert [text for text in texts if DEEP not in text and "\r" not in text] == [text for text in kept if '"m": 2' not in text]


def test_no_odd_event_breaks_what_a_dry_run_shows():
    for event in parse_page(odd_page()[0], previous=START):
        shown = masked(event.body)
        assert shown is None if DEEP in event.body else json.loads(shown)["type"] == "s"


def test_deep_is_what_has_many_levels_not_what_has_many_brackets():
    assert is_deep("[" * (MANY_LEVELS + 1) + "]" * (MANY_LEVELS + 1))
    assert is_deep('{"a":' * (MANY_LEVELS + 1) + "1" + "}" * (MANY_LEVELS + 1))
    for text in ("[" * MANY_LEVELS + "]" * MANY_LEVELS, "[" + "[]," * 1000 + "[]]", json.dumps(["[" * 1000, '"' + "{" * 1000])):
        assert not is_deep(text)
