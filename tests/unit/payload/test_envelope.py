"""Envelopes, read by the libraries of those who wrote the standards."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat

from auth0_webhooks.payload.envelope import Envelope
from auth0_webhooks.payload.payload import Payload
from simulation.event_shapes import PUBLISHED
from tests.support.factory import Keeper, delivery, events, log_id, one_batch
from tests.support.shapes import shaped_events

ODD = '{"n": 1e999, "big": 12345678901234567890123, "twice": 1, "twice": 2,\n "s": "\\ud800 \\u0000 😀"}'
CLOUD = Envelope("cloudevents", "https://example.eu.auth0.com")
LOG_STREAM = Envelope("log_stream")


def test_without_an_envelope_the_event_stays_as_it_is():
    (event,) = events(1)
    assert Envelope().wrap(event) == event.body


def test_the_standard_envelope_is_type_timestamp_and_data():
    (event,) = events(["limit_wc"])
    wrapped = json.loads(Envelope("standard").wrap(event))
    assert wrapped == {"type": "auth0.log.limit_wc", "timestamp": event.date, "data": json.loads(event.body)}
    assert list(wrapped) == ["type", "timestamp", "data"]


def test_a_cloud_event_is_read_by_its_own_library():
    (event,) = events(["fp"])
    read = JSONFormat().read(None, CLOUD.wrap(event))
    assert (read.get_id(), read.get_source(), read.get_type()) == (log_id(1), CLOUD.source, "com.auth0.log.fp")
    assert read.get_time() == datetime(2026, 11, 22, 10, 0, 1, tzinfo=timezone.utc)
    assert read.get_specversion() == "1.0"
    assert read.get_data() == json.loads(event.body)


@pytest.mark.parametrize("envelope", [Envelope("standard"), CLOUD, LOG_STREAM])
def test_the_event_inside_is_what_auth0_sent_to_the_letter(envelope):
    (event,) = events(1)
    wrapped = envelope.wrap(event._replace(body=ODD))
    assert wrapped.endswith(f'"data": {ODD}}}')
    json.loads(wrapped)


@pytest.mark.parametrize("envelope", [Envelope("standard"), CLOUD])
def test_an_event_without_type_or_date_is_wrapped_all_the_same(envelope):
    (event,) = events(1)
    wrapped = json.loads(envelope.wrap(event._replace(log_id="5", type="", date="")))
    assert wrapped["type"].endswith("auth0.log.unknown")
    assert wrapped.get("timestamp") is None
    assert "time" not in wrapped


@pytest.mark.parametrize("envelope", [Envelope(), Envelope("standard"), CLOUD])
@pytest.mark.parametrize("log_type", ["", "fp", "\u6587" * 50])
def test_no_event_takes_more_room_in_its_envelope_than_is_counted(envelope, log_type):
    (event,) = events([log_type])
    assert len(envelope.wrap(event).encode()) <= envelope.size(event) <= len(envelope.wrap(event).encode()) + 600


@pytest.mark.parametrize("envelope", [Envelope("standard"), CLOUD, LOG_STREAM])
def test_an_event_of_each_type_is_whole_in_its_envelope_which_takes_no_more_room_than_is_counted(envelope):
    for event in shaped_events(2 * len(PUBLISHED)):
        wrapped = envelope.wrap(event)
        assert json.dumps(json.loads(wrapped)["data"]) == event.body
        assert len(wrapped.encode()) <= envelope.size(event)


@pytest.mark.parametrize(
    ("payload", "content_type"),
    [
        (Payload(envelope=Envelope("standard")), "application/json"),
        (Payload("array", envelope=Envelope("standard")), "application/json"),
        (Payload("lines", envelope=CLOUD), "application/x-ndjson"),
        (Payload(envelope=CLOUD), "application/cloudevents+json"),
        (Payload("array", envelope=CLOUD), "application/cloudevents-batch+json"),
        (Payload(envelope=LOG_STREAM), "application/json"),
        (Payload("array", envelope=LOG_STREAM), "application/json"),
        (Payload("lines", envelope=LOG_STREAM), "application/x-ndjson"),
    ],
)
def test_each_form_arrives_in_its_envelope_under_its_media_type(receiver, payload, content_type):
    made = events(20)
    delivery(receiver.url, Keeper(), made, payload=payload).run(lambda: [one_batch(made)])
    assert receiver.problems == []
    assert {post.headers["Content-Type"] for post in receiver.posts} == {content_type}
    assert sorted(receiver.accepted) == [event.log_id for event in made]


@pytest.mark.parametrize("form", ["event", "array", "lines"])
def test_a_receiver_of_a_log_stream_finds_the_log_id_beside_the_event(receiver, form):
    made = events(4)
    delivery(receiver.url, Keeper(), made, payload=Payload(form, envelope=LOG_STREAM)).run(lambda: [one_batch(made)])
    texts = [text for post in receiver.posts for text in (post.body.splitlines() if form == "lines" else [post.body])]
    found = [item for text in texts for item in (json.loads(text) if form == "array" else [json.loads(text)])]
    wanted = [{"log_id": event.log_id, "data": json.loads(event.body)} for event in made]
    assert sorted(found, key=lambda item: item["log_id"]) == wanted


def test_a_post_is_a_cloud_event_over_http_in_structured_mode(receiver):
    made = events(["fp"])
    delivery(receiver.url, Keeper(), made, payload=Payload(envelope=CLOUD)).run(lambda: [one_batch(made)])
    (post,) = receiver.posts
    read = from_http_event(HTTPMessage(post.headers, post.body.encode()))
    assert (read.get_id(), read.get_data()) == (log_id(1), json.loads(made[0].body))
