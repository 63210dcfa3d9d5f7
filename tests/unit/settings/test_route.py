from __future__ import annotations

import re
from datetime import datetime, timezone

import pytest

from auth0_webhooks.errors import SettingError
from auth0_webhooks.settings.route import Route, check_run_settings
from auth0_webhooks.settings.routes_file import load_routes


def load(tmp_path, text):
    path = tmp_path / "webhook_routes.yaml"
    path.write_text(text, encoding="utf-8")
    return load_routes(path)


def test_the_defaults_are_those_of_the_webtask():
    route = Route(name="r")
    assert (route.log_level, route.log_types, route.exclude_types, route.concurrent_calls) == (0, [], ["sapi", "fapi"], 5)
    assert (route.schedule, route.start_from, route.max_logs_per_run) == ("*/5 * * * *", "oldest", 20_000)
    assert route.checkpoint_key == "r_checkpoint"


def test_settings_are_read_in_the_ways_people_write_them(tmp_path):
    routes, errors = load(
        tmp_path,
        "routes:\n  a:\n  b:\n    log_level: Error\n    log_types: ' f, fp ,,f'\n    start_from: 2026-11-01T00:00:00Z\n"
        "    exclude_types: []\n    schedule: '@hourly'\n",
    )
    assert errors == []
    assert [route.name for route in routes] == ["a", "b"]
    assert (routes[1].log_level, routes[1].log_types, routes[1].exclude_types) == (3, ["f", "fp"], [])
    assert routes[1].start_from == datetime(2026, 11, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("log_level: loud", "key 'log_level': expected 0 to 4 or one of debug"),
        ("log_level: 7", "key 'log_level': expected 0 to 4"),
        ("concurrent_calls: -1", "key 'concurrent_calls': input should be greater than or equal to 1, got -1"),
        ("concurrent_calls: yes", "key 'concurrent_calls': expected a whole number, got True"),
        ("concurrent_calls: 101", "key 'concurrent_calls': input should be less than or equal to 100"),
        ("concurrent_calls: many", "key 'concurrent_calls': input should be a valid integer"),
        ("max_per_second: 0", "key 'max_per_second': input should be greater than or equal to 0.01, got 0"),
        ("max_per_second: -1", "key 'max_per_second': input should be greater than or equal to 0.01, got -1"),
        ("max_per_second: 1001", "key 'max_per_second': input should be less than or equal to 1000"),
        ("max_per_second: .nan", "key 'max_per_second': input should be less than or equal to 1000, got nan"),
        ("max_per_second: .inf", "key 'max_per_second': input should be less than or equal to 1000, got inf"),
        ("max_per_second: yes", "key 'max_per_second': expected a number, got True"),
        ("max_per_second: fast", "key 'max_per_second': input should be a valid number"),
        ("schedule: every day", "key 'schedule': expected a cron expression"),
        ("schedule: '@once'", "key 'schedule': expected a cron expression"),
        ("schedule: 5", "key 'schedule'"),
        ("schedule: 0 0 31 2 *", "key 'schedule': expected a cron expression (UTC) that recurs"),
        ("schedule: 0 0 * * * * 2020", "key 'schedule': expected a cron expression"),
        ("start_from: sometimes", "key 'start_from': expected oldest, now, or a date-time"),
        ("log_types: {a: 1}", "key 'log_types': expected a list of log types"),
        ("log_types: [1]", "key 'log_types': expected a list of log types"),
        ("webhook: x", "unknown key 'webhook' (did you mean 'webhook_conn_id'?): expected one of auth0_conn_id"),
        ("max_logs_per_run: 0", "key 'max_logs_per_run'"),
        ("auth0_conn_id: ''", "key 'auth0_conn_id'"),
        ("watch: yes", "key 'watch': expected off, or the seconds between two checks"),
        ("watch: 0.5", "key 'watch'"),
        ("alarm_conn_id: webhook_default", "key 'alarm_conn_id': expected a connection of its own, not the webhook's, got"),
        ("payload: xml", "key 'payload': input should be 'event', 'array' or 'lines', got 'xml'"),
        ("max_events: 501", "key 'max_events': input should be less than or equal to 500"),
        ("envelope: soap", "key 'envelope': input should be 'none', 'standard', 'cloudevents' or 'log_stream'"),
        ("redact: [ip]", "key 'redact': expected 'path: action' lines, such as 'user_data: mask'"),
        ("redact: {ip: hide}", "key 'redact': path 'ip': expected one of mask, drop, pseudonym"),
        ("redact: {a..b: mask}", "key 'redact': path 'a..b': expected a key at character 3"),
        (
            "include_types: [auth.login.fial]",
            "key 'include_types': there is no category 'auth.login.fial' (did you mean 'auth.login.fail'?); there are actions,",
        ),
        (
            "api_endpoints: [users, /api/v1/clients]",
            "key 'api_endpoints': '/api/v1/clients' is no endpoint of the Management API: expected what follows /api/v2/",
        ),
        ("where: 5", "key 'where': expected an expression such as connection =="),
        ("where: type = 'f'", "key 'where': character 6 of the expression, at \"= 'f'\": Unknown token '='"),
        ("body: {text: description}", "key 'body': expected an expression in quotes, or on the lines after '>-'"),
        ("body: ''", "key 'body': expected an expression in quotes"),
        (
            "body: '{text: joined(ip)}'",
            "key 'body': character 8 of the expression, at 'joined(ip)}': there is no function",
        ),
        ("body: '{text: \"hello\"}'", "key 'body': character 8 of the expression"),
        ("{body: '@', envelope: standard}", "key 'body': expected either a body or an envelope, not both"),
        ("content_type: json", "key 'content_type': expected a media type such as application/json"),
        ('content_type: "a/b\\nX: y"', "key 'content_type': expected a media type"),
        ("name: other", "key 'name': expected no such key, because a route's name is its key in 'routes'"),
        ("1: x", "unknown key '1': expected one of"),
        ("[]", "expected settings as 'key: value' lines"),
    ],
)
def test_a_broken_route_is_named_with_file_route_and_key_and_leaves_the_others(tmp_path, settings, message):
    routes, errors = load(tmp_path, f"routes:\n  good: {{}}\n  broken:\n    {settings}\n")
    assert [route.name for route in routes] == ["good"]
    assert len(errors) == 1
    assert re.match(r"webhook_routes\.yaml:[34]: route 'broken': ", errors[0])
    assert message in errors[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("routes: [", "not valid YAML"),
        ("", "expected the key 'routes'"),
        ("routes: []", "expected the key 'routes'"),
        ("routes:\n  a: {}\n  a: {}\n", "'a' is defined twice"),
        ("routes: {}\nruotes: {}\n", "unknown key 'ruotes'"),
        ("defaults: []\nroutes: {}\n", "defaults: expected settings as 'key: value' lines"),
        ("defaults:\n  log_level: loud\nroutes:\n  a:\n  b:\n", "defaults: key 'log_level': expected 0 to 4"),
        ("defaults:\n  loglevel: 1\nroutes:\n  a:\n", "defaults: unknown key 'loglevel'"),
        ("routes:\n  'a b': {}\n", "route 'a b': key 'name'"),
        ("routes:\n  auth0_webhook_dead_letters: {}\n", "this is the id of the DAG for dead letters"),
    ],
)
def test_a_broken_file_is_one_clear_error(tmp_path, text, message):
    errors = load(tmp_path, text)[1]
    assert len(errors) == 1
    assert re.match(r"webhook_routes\.yaml(:\d+)?: ", errors[0])
    assert message in errors[0]


def test_the_watch_is_off_or_some_seconds(tmp_path):
    routes, errors = load(tmp_path, "routes:\n  a: {}\n  b: {watch: off}\n  c: {watch: 'off'}\n  d: {watch: 10}\n")
    assert errors == []
    assert [route.watch for route in routes] == [3.0, None, None, 10.0]


def test_types_are_named_one_by_one_and_by_category():
    route = Route(name="r", log_types=["fp", "x"], include_types="auth.login.fail, auth.signup")
    assert route.wanted_types[:2] == ["fp", "x"]
    assert {"f", "fu", "fs", "ss"} <= set(route.wanted_types)
    assert "s" not in route.wanted_types
    assert Route(name="r", include_types=["auth.login"]).selection.reason_to_drop("fp") is None
    assert Route(name="r", include_types=["auth.login"]).selection.reason_to_drop("ss") == "other_type"
    assert Route(name="r").wanted_types == []
    run = check_run_settings({"log_types": ["f"], "include_types": []}, route)
    assert run.wanted_types == ["f"]


def test_what_a_route_says_lies_over_the_defaults(tmp_path):
    routes, errors = load(
        tmp_path,
        "defaults:\n  log_level: error\n  log_types: [f]\nroutes:\n  a:\n  b:\n    log_level: info\n    log_types: []\n",
    )
    assert errors == []
    assert [(route.log_level, route.log_types) for route in routes] == [(3, ["f"]), (1, [])]


def test_a_broken_default_leaves_the_routes_that_do_not_use_it(tmp_path):
    routes, errors = load(tmp_path, "defaults:\n  log_level: loud\nroutes:\n  a:\n    log_level: 1\n  b:\n")
    assert [route.name for route in routes] == ["a"]
    assert len(errors) == 1


def test_the_settings_of_a_run_lie_over_those_of_the_route():
    route = Route(name="r", log_types=["f"], concurrent_calls=7)
    run = check_run_settings({"log_level": "error", "log_types": None, "concurrent_calls": None}, route)
    assert (run.log_level, run.log_types, run.concurrent_calls) == (3, ["f"], 7)
    with pytest.raises(SettingError, match="route 'r', params of this run: key 'concurrent_calls'"):
        check_run_settings({"concurrent_calls": 0}, route)
