"""What redaction costs, in steps that are counted: it grows linearly with an event, whatever is in it."""

from __future__ import annotations

import json
import re

import pytest

from auth0_webhooks.model import deep_json
from auth0_webhooks.privacy import decoding, user_data
from auth0_webhooks.privacy import search as value_search
from auth0_webhooks.privacy.redaction import MASK, Redaction
from auth0_webhooks.privacy.search import MOST_VALUES
from bench.redaction import EVENTS, HOSTILE, PLAIN, event_of
from tests.unit.privacy.regex_steps import Counter

KEY = b"k" * 32
PER_CHARACTER = 16
"""Characters read and comparisons made, for each character of an event."""


def work(event):
    redaction = Redaction({"user_data": "pseudonym"}, KEY)
    redaction.body(event)
    return redaction.work


def redacted(event, action="mask"):
    return json.loads(Redaction({"user_data": action}, KEY).body(event_of(event)))


@pytest.mark.parametrize("make", EVENTS.values(), ids=EVENTS.keys())
def test_an_event_twice_as_long_costs_at_most_twice_as_much(make):
    once, twice = event_of(make(10_000)), event_of(make(20_000))
    assert work(twice) <= 2.2 * work(once) + 20_000
    assert work(twice) <= PER_CHARACTER * len(twice.body) + 20_000


SEARCHED_FOR = [
    *(decoding._CODED, value_search._DIGITS, deep_json._MARK),
    *(user_data._MAIL, user_data._QUOTED_MAIL, user_data._IPV4, user_data._IPV6, user_data._DIGIT, user_data._PHONE),
    *(user_data._LABELLED_PHONE, user_data._USER_ID, user_data._IN_PATH),
]
PIECES = [
    *'@.:%\\&"|/ 0a1F+(-',
    *(
        "a@",
        "a.",
        "1.",
        "0 ",
        "1-",
        "+1",
        "aa:",
        "::",
        "%25",
        "25",
        "\\u0041",
        "amp;",
        "&a",
        "/users/",
        "auth0|",
        "phone ",
        "\\z",
        "[1",
    ),
    *("1.1.1.1", "a-", '"a', '"@', "x@a.", "1  (", "%u00", "&#1", "+(1", "00"),
]


def steps(pattern, text):
    counter = Counter(pattern)
    counter.find_all(text)
    return counter.steps


@pytest.mark.parametrize("pattern", SEARCHED_FOR, ids=lambda pattern: pattern.pattern[:30])
def test_no_text_makes_a_pattern_slower_than_linear(pattern):
    for piece in PIECES:
        twice = steps(pattern, (piece * 300)[:300] + "~")
        # What repeats a limited number of times grows with a text that is shorter than that.
        assert twice <= 100 * 300 or twice <= 2.3 * steps(pattern, (piece * 150)[:150] + "~"), piece


def test_the_counter_of_steps_tells_a_pattern_that_is_slower_and_finds_what_python_finds():
    slow = re.compile(r"[^\s@]+@(?:[\w-]+\.)+[\w-]+")
    once, twice = (steps(slow, "a" * size) for size in (150, 300))
    assert twice > 3.5 * once
    text = 'x ada@example.com, "ada love"@example.com %2525&amp;lt;\\\\n '
    text += "203.0.113.50 2001:db8::7 +31 6 1234 5678 auth0|5f7c /users/1234"
    for pattern in SEARCHED_FOR:
        assert Counter(pattern).find_all(text) == [match.span() for match in pattern.finditer(text)]


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_whatever_a_text_is_made_of_the_rest_of_the_event_stays(make):
    text = make(5_000)
    left = redacted({"type": "fp", "client_id": "c-1", "details": {"error": {"message": text}, "code": 403, "ok": [True, None]}})
    message = left["details"]["error"].pop("message")
    assert isinstance(message, str)
    assert left == {"type": "fp", "client_id": "c-1", "details": {"error": {}, "code": 403, "ok": [True, None]}}


@pytest.mark.parametrize("text", [PLAIN["prose"](5_000), "%zz 100% \\ & &nothing; C:\\x a=1&b=2", "1 2 3 + 4"])
def test_a_text_without_user_data_stays_to_the_letter(text):
    assert redacted({"type": "s", "user_name": "ada@example.com", "details": {"text": text}})["details"] == {"text": text}


def test_encodings_that_alternate_more_often_than_they_are_undone_are_masked_as_a_whole():
    text = "ada%40example.com"
    for _ in range(decoding.PASSES // 2):
        text = text.replace("%", "&#37;").replace("&", "%26")
    assert not decoding.decode(text).too_deep
    assert redacted({"type": "s", "details": {"text": f"for {text}"}})["details"] == {"text": f"for {MASK}"}
    text = text.replace("%", "&#37;").replace("&", "%26")
    assert decoding.decode(text).too_deep
    assert redacted({"type": "s", "details": {"text": text, "other": "x"}})["details"] == {"text": MASK, "other": "x"}


@pytest.mark.parametrize("count", [1, 20], ids=["one value", "many"])
def test_a_text_in_which_values_could_begin_at_too_many_places_is_masked_as_a_whole(count):
    users = [{"user_name": f"{'a' * 1_000}{number:02d}"} for number in range(count)]
    event = {"type": "s", "details": {"users": users, "text": "a" * 5_000, "other": "of nobody"}}
    left = redacted(event)["details"]
    assert (left["text"], left["other"]) == (MASK, "of nobody")
    assert work(event_of(event)) <= PER_CHARACTER * len(json.dumps(event)) + 20_000


def test_an_event_with_more_values_than_are_searched_for_keeps_its_structure_and_no_text():
    people = [f"user{number}@example.com" for number in range(MOST_VALUES + 1)]
    event = {"type": "s", "log_id": "1", "date": "d", "n": 5, "details": {"to": people, "text": " ".join(people), people[0]: 1}}
    left = redacted(event | {"description": "of nobody"})
    assert left.pop("description") == MASK
    assert {key: left[key] for key in ("type", "log_id", "date", "n")} == {"type": "s", "log_id": "1", "date": "d", "n": 5}
    assert "example" not in json.dumps(left)
    assert [type(value) for value in left["details"].values()] == [list, str, int]
    assert len(next(iter(left["details"].values()))) == len(people)
