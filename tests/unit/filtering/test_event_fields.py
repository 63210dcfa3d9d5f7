"""Expressions that name fields which no log type has."""

from __future__ import annotations

import pytest

from auth0_webhooks.filtering.event_fields import DETAILS, FIELDS, unknown_field_warnings
from simulation.event_shapes import PUBLISHED, shape


def test_every_field_of_every_published_type_is_known():
    for log_type in (*PUBLISHED, "fapi", "unknown_type"):
        assert {name.rstrip("?") for name in shape(log_type)} <= FIELDS
        details = shape(log_type).get("details")
        assert not isinstance(details, dict) or {name.rstrip("?") for name in details} - {"*"} <= DETAILS


@pytest.mark.parametrize(
    ("expression", "warning"),
    [
        ("user_nmae == 'ada'", "no known log type has a field 'user_nmae' (did you mean 'user_name'?)"),
        ("{text: join(' ', [usr_name])}", "no known log type has a field 'usr_name' (did you mean 'user_name'?)"),
        ("@.zzzzzz", "no known log type has a field 'zzzzzz'"),
        ("details.reqest.path", "no known log type has a field 'reqest' in 'details' (did you mean 'request'?)"),
        ("detials.request.path", "no known log type has a field 'detials' (did you mean 'details'?)"),
        ("contains(not_null(ipp, ''), '1') && type == 's'", "no known log type has a field 'ipp' (did you mean 'ip'?)"),
    ],
)
def test_an_unknown_field_is_named_with_the_closest(expression, warning):
    assert unknown_field_warnings(expression) == [warning]


@pytest.mark.parametrize(
    "expression",
    [
        "details.prompts[?name == 'mfa'].anything",
        "{anything: log_id} | anything",
        "details.something_quite_new.x",
        "map(&anything, details.errors)",
        "details.request.[anything, other]",
        "scope[0].anything",
    ],
)
def test_what_is_inside_a_field_or_a_result_is_not_judged(expression):
    assert unknown_field_warnings(expression) == []
