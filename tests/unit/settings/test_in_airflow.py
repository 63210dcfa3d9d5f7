"""A route's settings in an asset's extra, as Airflow keeps them."""

from __future__ import annotations

import json

import pytest

from auth0_webhooks.settings.in_airflow import from_extra, to_extra
from auth0_webhooks.settings.route import Route

FULL = {
    "name": "full", "auth0_conn_id": "auth0_eu", "webhook_conn_id": "pager", "schedule": "@hourly", "log_level": "error",
    "log_types": "f, fp", "exclude_types": [], "concurrent_calls": 2, "start_from": "2026-11-22T10:00:00Z",
    "on_reject": "dead_letter", "dead_letter_path": "s3://c@b/f", "dead_letter_path_shared": True, "max_logs_per_run": 5,
    "retention_days": 30, "on_gap": "stop", "watch": False, "alarm_conn_id": "alarm", "alarm_lag_seconds": 5, "payload": "array",
    "max_events": 7, "max_bytes": 2000, "gzip": True, "allow_private_addresses": False, "envelope": "cloudevents",
    "include_types": ["auth.login.fail"], "where": "connection == 'Users'", "redact": {"user_name": "mask"},
    "daily_summary": True,
}  # fmt: skip
OWN_BODY = {
    "name": "own", "body": "{text: description}", "content_type": "text/plain", "api_endpoints": ["users"],
    "concurrent_calls": "auto", "max_per_second": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("settings", [{"name": "r"}, {"name": "r", "start_from": "now", "watch": 1.5}, FULL, OWN_BODY])
def test_a_route_is_read_as_it_was_written(settings):
    route = Route(**settings)
    assert from_extra(json.loads(json.dumps(to_extra(route)))) == route


def test_every_setting_is_tried():
    assert {*FULL, *OWN_BODY} == set(Route.model_fields)


@pytest.mark.parametrize(
    "extra", [None, {}, "text", {"auth0_webhook_route": 5}, {"auth0_webhook_route": {"name": "r", "of_later": 1}}]
)
def test_what_is_no_route_is_none(extra):
    assert from_extra(extra) is None
