from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth0_webhooks.checkpoint import iso
from auth0_webhooks.errors import TenantAnswerError
from auth0_webhooks.events import Position, ingested, log_id_order, parse_page

START = Position("1", None)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), json_values, max_size=5), max_size=5), st.sampled_from([None, 2]))
def test_each_event_keeps_its_text_to_the_letter(extras, indent):
    texts = [json.dumps({**extra, "log_id": str(number)}, indent=indent) for number, extra in enumerate(extras)]
    page = "[ " + " ,\n".join(texts) + " ]\n"
    assert [event.body for event in parse_page(page, previous=START)] == texts


def test_each_event_knows_the_place_before_it():
    first, second = parse_page('[{"log_id":"5","date":"d","type":"s"},{"_id":"6"}]', previous=START)
    assert first.previous == START
    assert second.previous == Position("5", "d", seen=True)
    assert (second.log_id, second.date, second.type) == ("6", "", "")


def test_numbers_that_python_would_change_arrive_as_they_were_sent():
    body = '{"log_id":"1","a":1e999,"b":1.10,"c":' + "9" * 5000 + ',"d":"\\ud800"}'
    assert parse_page(f"[{body}]", previous=START)[0].body == body


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<html></html>",
        '{"logs":[]}',
        '[{"log_id":"1"}',
        '[{"log_id":"1"},]',
        '[{"log_id":"1"} {"log_id":"2"}]',
        '[{"log_id":"1"}]x',
        '[{"type":"s"}]',
        '[{"log_id":""}]',
        '[{"log_id":"12ab"}]',
        '["1"]',
        '[{"log_id":"1","x":' + "[" * 100_000 + "]" * 100_000 + "}]",
        "[",
        "[,]",
    ],
)
def test_a_page_that_is_not_an_array_of_events_with_ids_is_an_error(page):
    with pytest.raises(TenantAnswerError) as caught:
        parse_page(page, previous=START)
    assert "12ab" not in str(caught.value)


def test_a_log_id_sent_as_a_number_keeps_every_digit():
    assert parse_page('[{"log_id":' + "9" * 56 + "}]", previous=START)[0].log_id == "9" * 56


def test_an_empty_page_has_no_events():
    assert parse_page(" [ ] ", previous=START) == []


def test_log_ids_sort_as_numbers_without_becoming_numbers():
    ids = ["9", "10", "900" + "0" * 53, "899" + "9" * 53]
    assert sorted(ids, key=log_id_order) == sorted(ids, key=int)


def test_a_log_id_tells_when_its_event_was_taken_in():
    assert iso(ingested("90020261122211412063000000000000000000000000000000001000")) == "2026-11-22T21:14:12.063Z"
    for other in ("4" * 56, "900", "9002026112221141206300000000000000000000000000000000100", "900" + "9" * 53):
        assert ingested(other) is None
