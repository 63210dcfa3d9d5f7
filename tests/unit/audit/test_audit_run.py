"""Which window an audit takes, how it is counted, and how it ends."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from auth0_webhooks.audit.operator import OVERLAP, _in_the_end, audit_window
from auth0_webhooks.audit.outcome import LISTED, Outcome
from auth0_webhooks.errors import (
    AuditIncompleteError,
    LedgerError,
    NothingKeptError,
    SettingError,
    TenantDeniedError,
    TenantUnavailableError,
    UnaccountedError,
)
from auth0_webhooks.reading.window import SETTLE
from auth0_webhooks.settings.route import Route
from tests.support.factory import events

NOW = datetime(2026, 11, 26, 9, tzinfo=timezone.utc)
MIDNIGHT = NOW.replace(hour=0)
DAY = timedelta(days=1)


def window(run_type="manual", *, interval=(None, None), **params):
    run = SimpleNamespace(
        run_type=run_type, run_after=NOW, data_interval_start=interval[0], data_interval_end=interval[1], conf=params
    )
    return audit_window({"dag_run": run, "params": {"since": None, "until": None, **params}}, NOW)


def test_a_scheduled_audit_takes_its_day_and_what_came_late_for_the_one_before():
    assert window("scheduled", interval=(MIDNIGHT - DAY, MIDNIGHT)) == (MIDNIGHT - DAY - OVERLAP, MIDNIGHT)


def test_one_by_hand_takes_24_hours_that_have_settled():
    found = window()
    assert found.until == NOW - SETTLE
    assert found.until - found.since == DAY
    assert found.seconds_to_settle(NOW) == 0


def test_one_by_hand_takes_the_window_that_it_is_given():
    assert window(since="2026-11-20T00:00:00Z", until="2026-11-21T00:00:00Z").since.day == 20
    assert window(since="2026-11-20T00:00:00Z").until == NOW - SETTLE
    with pytest.raises(SettingError, match="is not before until"):
        window(since="2026-11-21T00:00:00Z", until="2026-11-20T00:00:00Z")


def test_a_backfill_takes_its_data_interval():
    assert window("backfill", interval=(MIDNIGHT - 3 * DAY, MIDNIGHT - 2 * DAY)) == (MIDNIGHT - 3 * DAY, MIDNIGHT - 2 * DAY)


def test_the_report_names_the_first_events_and_counts_all():
    outcome = Outcome("c", "a", "b", audited_until="b")
    for event in events(LISTED + 7):
        outcome.read += 1
        outcome.name(event)
    outcome.conclude()
    assert (outcome.unaccounted, len(outcome.missing)) == (LISTED + 7, LISTED)
    assert outcome.outcome == f"{LISTED + 7} not accounted for"
    assert list(outcome.lines("r"))[-1] == "    and 7 more"


def test_counts_that_do_not_add_up_are_a_fault():
    with pytest.raises(LedgerError, match="does not balance: 2 read, 1 judged"):
        Outcome("c", "a", "b", read=2, delivered=1).conclude()


def outcome(**more):
    made = Outcome("c", "a", "b", **more)
    made.read = sum((made.delivered, made.unaccounted))
    made.conclude()
    return made


CLEAN, LOST = {"delivered": 1, "audited_until": "b"}, {"unaccounted": 2, "audited_until": "b"}


@pytest.mark.parametrize(
    ("outcomes", "faults", "asked", "error"),
    [
        ({"r": CLEAN}, {}, None, None),
        ({"r": LOST}, {}, None, UnaccountedError),
        ({"r": {**LOST, "sent": 2}}, {}, None, None),
        ({"r": {**LOST, "sent": 1, "dead_lettered": 1}}, {}, None, None),
        ({"r": {}, "s": CLEAN}, {"r": NothingKeptError("none")}, None, None),
        ({"r": {}}, {"r": NothingKeptError("none")}, "r", UnaccountedError),
        ({"r": {}}, {"r": TenantDeniedError("denied")}, None, UnaccountedError),
        ({"r": {}, "s": LOST}, {"r": TenantUnavailableError("no answer")}, None, AuditIncompleteError),
        ({"r": {}}, {"r": RuntimeError("a bug")}, None, AuditIncompleteError),
    ],
)
def test_an_audit_fails_where_a_person_must_look_and_is_tried_again_where_that_may_help(outcomes, faults, asked, error):
    made = {name: outcome(**more) for name, more in outcomes.items()}
    found = _in_the_end(made, faults, asked=asked)
    assert type(found) is (error or type(None))
    if error:
        assert {name: name in str(found) for name in made} == {name: made[name].left > 0 or name in faults for name in made}


def test_a_daily_summary_needs_a_place_to_be_sent_to():
    assert Route(name="r", alarm_conn_id="pager", daily_summary=True).daily_summary
    with pytest.raises(ValueError, match="expected alarm_conn_id, too"):
        Route(name="r", daily_summary=True)


def test_the_ids_of_the_other_dags_are_no_names_of_routes():
    with pytest.raises(ValueError, match="the DAG for audits"):
        Route(name="auth0_webhook_audit")
