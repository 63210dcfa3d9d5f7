from __future__ import annotations

import json

from auth0_webhooks.privacy.masking import masked
from simulation.event_shapes import PUBLISHED
from tests.support.shapes import shaped_events, users_data

EVENT = {
    "date": "2026-11-22T10:00:00.000Z",
    "type": "fp",
    "log_id": "900",
    "description": "Wrong password for ada@example.com",
    "connection": "Username-Password-Authentication",
    "ip": "203.0.113.50",
    "user_name": "ada@example.com",
    "isMobile": False,
    "scope": ["openid", "ada"],
    "location_info": {"city_name": "Utrecht", "latitude": 52.09},
    "details": {"request": {"body": {"ada": {"n": 1}, "password": "x"}}, "ada@example.com": True, "none": None},
    "type_of_ada": {"date": "ada's birthday"},
}


def test_only_what_says_nothing_about_the_user_is_shown():
    text = masked(json.dumps(EVENT))
    for word in ("ada", "203.0", "Utrecht", "52.09", "openid", "Wrong", "birthday"):
        assert word not in text.replace("type_of_ada", "")
    shown = json.loads(text)
    assert (shown["type"], shown["log_id"], shown["isMobile"]) == ("fp", "900", False)
    assert shown["details"] == {"request": "***", "***": "***", "none": "***"}
    assert shown["scope"] == ["***"]
    assert list(shown) == list(EVENT)


def test_of_an_event_of_each_type_nothing_is_shown_that_is_the_users():
    for event in shaped_events(3 * len(PUBLISHED)):
        shown = masked(event.body)
        assert not users_data(event).search(shown)
        assert list(json.loads(shown)) == list(json.loads(event.body))


def test_a_value_of_another_kind_under_a_key_that_is_shown_is_masked():
    assert json.loads(masked('{"client_name": {"user": "ada"}, "date": 5}')) == {"client_name": {"user": "***"}, "date": "***"}


def test_what_python_cannot_read_or_write_is_shown_all_the_same_or_not_at_all():
    assert json.loads(masked('{"client_name": "a\\ud800", "n": ' + "9" * 5000 + "}")) == {"client_name": "a\ud800", "n": "***"}
    masked('{"client_name": "a\\ud800"}').encode()
    assert masked("[]") is masked("{") is None
