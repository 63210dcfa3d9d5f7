"""Redaction of events of every published type: what is the user's goes, all else stays as it was."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth0_webhooks.privacy.redaction import Redaction, parse_rules
from simulation.event_shapes import PUBLISHED
from simulation.events import PERSONAL, filling
from tests.support.shapes import shaped_events, shaped_logs, users_data

ACTIONS = ["mask", "drop", "pseudonym"]
# What the preset takes as well, though no gap is filled with it: a place, a device, what a user chose, and what may be a name.
TAKEN = {
    *("ja3", "ja4", "latitude", "longitude", "city_name", "device_id", "picture", "user_metadata", "original_profile"),
    *("password", "newPassword", "confirmNewPassword", "name"),
}
STAYING = {"log_id", "_id", "type", "date", "tenant_name", "environment_name", "$event_schema", "isMobile"}


def redacted(event, action):
    return Redaction(parse_rules({"user_data": action}), b"k" * 32).body(event)


def leaves(value, path=()):
    """Each value that is no object or list, by its path, and each key."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in inner:
        yield from leaves(inside, (*path, key))
    if not isinstance(value, dict | list):
        yield path, value


def assert_redacted(event, action):
    user, left = users_data(event), json.loads(redacted(event, action))
    texts = [str(part) for path, value in leaves(left) for part in (*path, value)]
    assert [text for text in texts if user.search(text) or user.search(unquote(text))] == []


def assert_the_rest_stays(event):
    user = users_data(event)
    before, after = dict(leaves(json.loads(event.body))), dict(leaves(json.loads(redacted(event, "mask"))))
    assert list(after) == list(before)
    taken = [str(value).casefold() for path, value in before.items() if path[-1] in TAKEN]
    kept = {
        path: value
        for path, value in before.items()
        if not user.search(unquote(str(value))) and not any(one in str(value).casefold() for one in taken)
    }
    assert {path: after[path] for path in kept} == kept
    assert {path[0] for path in kept} >= STAYING


@settings(max_examples=150, deadline=None)
@given(shaped_logs(3), st.sampled_from(ACTIONS))
def test_no_value_of_the_user_survives_in_an_event_of_any_type(made, action):
    for event in made:
        assert_redacted(event, action)
        assert_the_rest_stays(event)


@pytest.mark.parametrize("action", ACTIONS)
def test_no_value_of_the_user_survives_in_an_event_of_each_type(action):
    for event in shaped_events(3 * len(PUBLISHED)):
        assert_redacted(event, action)


def test_all_else_stays_in_an_event_of_each_type():
    for event in shaped_events(3 * len(PUBLISHED)):
        assert_the_rest_stays(event)


def test_the_events_hold_each_kind_of_user_data():
    made = shaped_events(len(PUBLISHED))
    for name in PERSONAL:
        assert any(filling(*event[:3], number)[name] in event.body for number, event in enumerate(made, 1)), name
