"""What others read, by its name: settings, Variables and their keys, DAG ids, assets, metrics, the report, the alarm.

A name that is missing here, or changed, breaks somebody's dashboard, script or route file. Add to these lists, and never
change what is in them.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from datetime import datetime, timezone

from auth0_webhooks import names
from auth0_webhooks.audit.operator import PARAMS as AUDIT_PARAMS
from auth0_webhooks.audit.outcome import Outcome
from auth0_webhooks.model.checkpoint import Checkpoint, Hold, Writer
from auth0_webhooks.model.events import Position
from auth0_webhooks.operators.base import PARAMS
from auth0_webhooks.operators.ledger import Report
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state import health
from tests.support.telemetry.metrics import sent_metrics

SETTINGS = """
    name auth0_conn_id webhook_conn_id schedule log_level log_types exclude_types concurrent_calls start_from on_reject
    dead_letter_path dead_letter_path_shared max_logs_per_run retention_days on_gap watch alarm_conn_id alarm_lag_seconds payload
    max_events max_bytes gzip allow_private_addresses envelope include_types where redact
    body content_type api_endpoints max_per_second daily_summary
"""
REPORT = """
    route run_id mode window dry_run outcome read excluded below_level other_type not_matching undecided unknown_type selected
    delivered_now delivered_before dead_lettered refused not_reached repeated retried posts slowest_answer answers first_event
    last_event checkpoint_before checkpoint_after lag_seconds gap stopped api_requests token_requests unknown_types selected_types
    first_selected last_selected sample set_aside notes api_limit api_remaining api_rate api_waited
"""
CHECKPOINT = "log_id date seen saved_as hold_until hold_reason acknowledged saved_by saved_since start_from closed save sum"
HEALTH = "problem run_id since told gap untold refused stuck aside aside_first aside_told"
AUDIT = """
    tenant since until outcome read delivered set_aside left_out waiting not_kept unaccounted missing sent dead_lettered
    kept_since audited_until lag_seconds stopped_by notes api_requests token_requests api_waited seconds
"""
METRICS = """
    delivered failed_runs lag_seconds seconds_to_retention_loss unaccounted
    dead_lettered last_run_timestamp_seconds audited_until_timestamp_seconds api_requests api_limit api_remaining api_rate
    delivery_seconds_bucket delivery_seconds_count delivery_seconds_sum
"""


def test_settings():
    assert set(SETTINGS.split()) <= set(Route.model_fields)


def test_keys_of_an_audits_report():
    assert set(AUDIT.split()) <= {field.name for field in dataclasses.fields(Outcome)}


def test_params_of_an_audit():
    assert set(AUDIT_PARAMS) >= {"since", "until", "route", "send"}


def test_params_of_a_run():
    assert set(PARAMS) >= {
        "since", "until", "dry_run", "log_level", "log_types", "other_log_types", "where", "concurrent_calls",
    }  # fmt: skip


def test_keys_of_the_report():
    assert set(REPORT.split()) <= {field.name for field in dataclasses.fields(Report)}


def test_keys_of_the_checkpoint():
    now = datetime.now(timezone.utc)
    full = Checkpoint(Position("1", "2026-11-22T10:00:00.000Z", seen=True), ("2",), Hold(now, "503"))
    assert set(CHECKPOINT.split()) <= set(json.loads(full.dump(Writer(now, 1, "r"), start_from="oldest", closed=True)))


def test_keys_of_the_health():
    assert set(HEALTH.split()) <= {field.name for field in dataclasses.fields(health.State)}


def test_states_of_the_alarm():
    assert set(typing.get_args(health.Change)) >= {"bad", "still bad", "well", "gap", "unaccounted", "summary"}


def test_names_of_variables_assets_and_dags():
    assert [names.checkpoint_key("r"), names.health_key("r"), names.token_key("c")] == ["r_checkpoint", "r_health", "c_token"]
    assert names.record_key("r_checkpoint") == "r_checkpoint_writer"
    assert [names.new_events_name("r"), names.delivered_name("r")] == ["r_new_events", "r_delivered"]
    assert (names.DEAD_LETTER_DAG_ID, names.TENANT_TAG) == ("auth0_webhook_dead_letters", "tenant:")
    assert (names.AUDIT_DAG_ID, names.AUDIT) == ("auth0_webhook_audit", "audit")
    assert (names.FETCH, names.FILTER, names.DELIVER) == ("fetch", "filter", "deliver")


def test_names_of_the_metrics():
    assert set(METRICS.split()) <= set(sent_metrics())
