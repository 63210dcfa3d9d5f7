from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth0_webhooks.errors import TenantAnswerError
from auth0_webhooks.model.deep_json import read_object
from auth0_webhooks.model.events import Position, ingested, log_id_order, parse_page
from auth0_webhooks.times import iso
from tests.support.shapes import shaped_logs

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


@given(shaped_logs(), st.sampled_from([None, 2]))
def test_events_of_every_type_come_out_of_a_page_with_their_id_date_and_type(made, indent):
    made = [event._replace(body=json.dumps(json.loads(event.body), indent=indent)) for event in made]
    page = f"[{','.join(event.body for event in made)}]"
    assert parse_page(page, previous=made[0].previous) == made


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
        '[{"log_id":"1","x":' + "[" * 100_000 + "]" * 99_999 + "}]",
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


def deep(inside: str, *, levels: int = 20_000) -> str:
    return '[{"a":' * levels + inside + "}]" * levels


def test_an_event_too_deep_to_parse_is_identified_and_the_others_of_its_page_stay_as_they_are():
    strange = ' {"log_id": "5", "type":"s", "n": [1.50, -0e1, 1E5], "a": 1, "a": 2, "nan": NaN, "u": "\\ud800 \\u0000"}'
    body = '{"type":"fp" ,"x":' + deep(r'["}]\"\\",true,NaN,-1.5e+3,[],{}]') + ', "log_id":"6","date":"2026-11-22T10:00:00.000Z"}'
    first, second, third = parse_page(f'[{strange},\n{body}, {{"log_id":"7"}}]', previous=START)
    assert first.body == strange.strip()
    assert second == ("6", "2026-11-22T10:00:00.000Z", "fp", body, first.position)
    assert (third.log_id, third.previous) == ("7", second.position)


@pytest.mark.parametrize(
    ("body", "log_id"),
    [
        ('{"_id":"1","x":%s}', "1"),
        ('{"_id":"1","log_id":"2","x":%s,"log_id":"3"}', "3"),
        ('{"x":%s,"\\u006cog_id":"4"}', "4"),
        ('{"x":%s,"log_id":' + "9" * 56 + "}", "9" * 56),
        ('{"log_id":"5","x":%s,"y":{"log_id":"6"},"z":["log_id","7"],"":""}', "5"),
    ],
)
def test_of_an_event_too_deep_to_parse_the_id_is_what_a_parser_would_find(body, log_id):
    page = "[" + body % deep("1") + "]"
    assert parse_page(page, previous=START)[0].log_id == log_id == json_id(body % 1)


def json_id(body: str) -> str:
    value = json.loads(body, parse_int=str)
    return value.get("log_id", value.get("_id"))


@given(st.dictionaries(st.sampled_from(["log_id", "_id", "date", "type", "x", "y"]), json_values), st.sampled_from([None, 1]))
def test_what_is_read_without_a_parser_is_what_a_parser_reads(event, indent):
    text = json.dumps(event, indent=indent)
    members, end = read_object(f"[{text}]", 1)
    assert end == len(text) + 1
    assert members == {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in event.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool)
    }


@given(st.text(alphabet='{}[]":,\\u0041n1-.eE tNa\x00', max_size=30))
def test_what_a_parser_refuses_is_refused_without_one_at_a_place(text):
    assert reads("{" + text, lambda whole: read_object(whole, 0)) == reads("{" + text, json.JSONDecoder(parse_int=str).raw_decode)


def reads(text, reader):
    """Where an object ends; None where it is none. The error says where, within the text."""
    try:
        return reader(text)[1]
    except json.JSONDecodeError as error:
        return None if 0 <= error.pos <= len(text) else error.pos


@pytest.mark.parametrize("broken", ["[}", "[1 2]", '{"a" 1}', '{"a":}', "[1,]", "{1:1}", "[", '"', "01", "x"])
def test_a_deep_event_that_is_no_json_is_an_error_that_names_the_place(broken):
    with pytest.raises(TenantAnswerError, match=r"breaks off or is not JSON at character \d+ \(event 2 of the page\)"):
        parse_page('[{"log_id":"1"},{"log_id":"2","x":' + deep(broken) + "}]", previous=START)


def test_a_date_and_a_type_that_no_database_takes_are_told_apart_all_the_same():
    (event,) = parse_page('[{"log_id":"1","date":"a\\u0000\\ud800b","type":"' + "s" * 5000 + '"}]', previous=START)
    assert (event.date, event.type) == ("a\ufffd\ufffdb", "s" * 100)
