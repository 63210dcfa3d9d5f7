"""Expressions over events: what they pick, and how a wrong one is told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth0_webhooks.expressions import Where

EVENT = {
    "type": "fp",
    "description": "Wrong email or password.",
    "connection": "Users",
    "client_name": "Back office",
    "ip": "10.1.2.3",
    "user_name": "ada@example.com",
    "isMobile": False,
    "mapped": "::ffff:10.1.2.3",
    "with_port": "10.1.2.3:443",
    "two": "10.1.2.3, 10.4.5.6",
    "nothing": "",
    "scope": ["openid", "email"],
    "details": {"error": {"message": "invalid_grant"}, "stats": {"loginsCount": 7}, "prompts": [{"name": "mfa"}]},
}


def fits(expression, event=EVENT):
    return Where(expression).fits(json.dumps(event))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("connection == 'Users'", True),
        ("connection == 'Users' && client_name != 'Shop'", True),
        ("connection != 'Users' || !isMobile", True),
        ("ends_with(user_name, '@example.com')", True),
        ("starts_with(user_name, 'grace')", False),
        ("in_network(ip, '10.0.0.0/8')", True),
        ("!in_network(ip, '10.0.0.0/8')", False),
        ("in_network(mapped, '10.0.0.0/8')", True),
        ('"user_name" || "no-field" == \'x\'', True),
        ("\"no-field\" != 'x'", True),
        ("in_network(ip, '2001:db8::/32') || in_network(ip, '10.1.2.3')", True),
        ("contains(description, 'password')", True),
        ("contains(lower(description), 'wrong')", True),
        ("contains(scope, 'email')", True),
        ("contains(['Users', 'Partners'], connection)", True),
        ("details.error.message == 'invalid_grant'", True),
        ("details.stats.loginsCount > `5`", True),
        ("details.prompts[?name == 'mfa']", True),
        ("details.prompts[?name == 'login']", False),
        ("details.error", True),
        # What an event does not have fits nothing, and is no error.
        ("nobody == 'x'", False),
        ("contains(nobody, 'x')", False),
        ("starts_with(nobody, 'x') || ends_with(no.body, 'x') || in_network(nobody, '10.0.0.0/8')", False),
        ("lower(nobody) == 'x'", False),
        ("in_network(nothing, '10.0.0.0/8')", False),
        ("length(nobody) > `0`", False),
        # What makes no sense of this event cannot be told.
        ("connection > `5`", None),
        ("length(isMobile) > `1`", None),
        ("in_network(description, '10.0.0.0/8')", None),
        ("in_network(with_port, '10.0.0.0/8')", None),
        ("in_network(two, '10.0.0.0/8')", None),
        ("in_network(ip, connection)", None),
        ("starts_with(details, 'x')", None),
    ],
)
def test_an_expression_picks_by_any_field(expression, expected):
    assert fits(expression) is expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "expected an expression"),
        ("type = 'f'", "character 6 of the expression, at \"= 'f'\": Unknown token '='"),
        ("type == 'f' and ip", "character 13 of the expression, at 'and ip'"),
        ("type == 'f' && (", "character 17 of the expression, its end: expected something else here, or more"),
        ("type == 'f", "character 9 of the expression, at \"'f\": Unclosed ' delimiter"),
        ('type == "f"', "character 9 of the expression, at '\"f\"': texts stand in single quotes"),
        ("a && matches(type, 'f')", "character 6 of the expression, .*there is no function 'matches'; there are abs, avg"),
        ("type == 'f' || contains(type)", "character 16 of the expression, .*contains takes 2 arguments, not 1"),
        ("x[?in_network(ip, '10.0.0.0/99')]", "character 4 of the expression, .*a network such as '10.0.0.0/8'"),
        ('"Partners" == connection', "character 1 of the expression, .*texts stand in single quotes"),
        ('contains("Shop", client_name)', "character 10 of the expression, .*texts stand in single quotes"),
        ("contains(a, 'b') || contains(c)", "character 21 of the expression, .*contains takes 2 arguments, not 1"),
        ("in_network('10.0.0.0/8', ip)", "character 1 of the expression, .*an address and a network"),
        ("(" * 5000 + "a" + ")" * 5000, "nested too deeply"),
    ],
)
def test_an_expression_that_is_wrong_is_told_with_its_place(expression, message):
    with pytest.raises(ValueError, match=message):
        Where(expression)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from(["ip", "connection", "details"]), inside),
        max_leaves=8,
    )
)
def test_no_event_breaks_an_expression(value):
    where = Where("in_network(ip, '10.0.0.0/8') || contains(connection, 'a') || details.x > `5` || lower(details) == 'x'")
    assert where.fits(json.dumps({"ip": value, "connection": value, "details": value})) in {True, False, None}


def test_numbers_that_python_refuses_can_be_compared():
    assert Where("n > `5`").fits('{"n": ' + "9" * 5000 + "}") is True
    assert Where("n > `5`").fits('{"n": 1e999}') is True


def test_a_number_that_no_function_can_take_leaves_the_event_undecided():
    assert Where("floor(n) > `5`").fits('{"n": 1e999}') is None
