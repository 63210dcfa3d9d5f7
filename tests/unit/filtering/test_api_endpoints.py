"""Calls to the Management API, chosen by endpoint."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from auth0_webhooks.filtering.selection import Tally, select
from auth0_webhooks.settings.in_airflow import from_extra, to_extra
from auth0_webhooks.settings.route import Route, check_run_settings
from tests.support.factory import events, one_batch


def route(*endpoints, **settings):
    return Route(name="r", api_endpoints=list(endpoints), **settings)


def call(log_type, path):
    (event,) = events([log_type])
    return event._replace(body=json.dumps({"type": log_type, "details": {"request": {"path": path}}}))


@pytest.mark.parametrize("log_type", ["sapi", "fapi", "mgmt_api_read"])
@pytest.mark.parametrize("path", ["/api/v2/users", "/api/v2/users/", "/api/v2/users/auth0|5/roles", "/api/v2/users?page=1"])
def test_a_call_to_an_endpoint_or_below_is_wanted(log_type, path):
    assert route("connections", "users").selection.wants(call(log_type, path))


@pytest.mark.parametrize("path", ["/api/v2/users-by-email", "/api/v2/clients", "/users", "/api/v1/users", "", None, 5, ["users"]])
def test_another_call_is_not_wanted(path):
    assert not route("users").selection.wants(call("sapi", path))


@pytest.mark.parametrize("body", ["{}", '{"details": null}', '{"details": {"request": "x"}}', '{"details": []}'])
def test_a_call_that_names_no_path_is_not_wanted(body):
    assert not route("users").selection.wants(call("sapi", "")._replace(body=body))


def test_events_of_other_types_are_not_wanted_and_each_is_counted():
    made, tally = [call("s", "/api/v2/users"), call("sapi", "/api/v2/users"), call("sapi", "/api/v2/clients")], Tally()
    assert select(one_batch(made), route("users").selection, tally).events == [made[1]]
    assert tally.dropped == {"other_type": 1, "not_matching": 1}


def test_an_event_that_cannot_be_parsed_is_kept_and_counted_as_undecided():
    made, tally = [call("sapi", "")._replace(body='{"a":' * 100_000)], Tally()
    assert select(one_batch(made), route("users").selection, tally).events == made
    assert tally.undecided == 1


def test_level_and_where_narrow_the_calls_further():
    failed = route("users", log_level="error").selection
    assert [failed.wants(call(code, "/api/v2/users")) for code in ("sapi", "fapi")] == [False, True]
    assert not route("users", where="details.request.method == 'post'").selection.wants(call("sapi", "/api/v2/users"))


@pytest.mark.parametrize("written", ["users", "/users", "users/", "/api/v2/users", "api/v2/users/", " users ", "/API/v2/Users"])
def test_a_path_is_accepted_in_place_of_a_name(written):
    assert route(written).api_endpoints == ["users"]


@pytest.mark.parametrize("written", ["https://x/api/v2/users", "/api/v2/", "users?a=b", "a b", "/api/v1/users", "v2/users"])
def test_what_is_no_endpoint_is_refused(written):
    with pytest.raises(ValidationError, match="is no endpoint of the Management API"):
        route(written)


def test_the_case_of_an_id_is_kept():
    assert route("Users/auth0|Ab").api_endpoints == ["users/auth0|Ab"]


def test_it_lifts_the_default_exclusion_also_where_the_route_is_read_again():
    one = route("users")
    again = [from_extra(json.loads(json.dumps(to_extra(one)))), check_run_settings({"log_level": 0}, one)]
    assert [each.exclude_types for each in (one, *again)] == [[], [], []]


def test_an_explicit_exclusion_that_contradicts_it_is_refused():
    with pytest.raises(ValidationError, match="it selects sapi, which the route's exclude_types leaves out"):
        route("users", exclude_types=["sapi", "s"])


def test_other_routes_exclude_these_types_as_before():
    assert Route(name="r").exclude_types == ["sapi", "fapi"]
