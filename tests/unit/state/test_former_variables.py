"""Variables as the version of November 2026 wrote them, to the letter, are read and gone on from."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from auth0_webhooks.hooks.auth0 import TenantHook
from auth0_webhooks.model.checkpoint import Hold, parse_checkpoint, stored_start_from, writer_of
from auth0_webhooks.model.events import Position
from auth0_webhooks.state import variables
from auth0_webhooks.state.health import Health, State, Stuck
from auth0_webhooks.triggers.log_watch import Look
from tests.support.variables import health_in_memory

SAVED = datetime(2026, 11, 26, 1, 21, 0, 999_000, tzinfo=timezone.utc)
FIRST, SECOND, THIRD = (f"9002026112601210099900000000000000000000000000000000000{number}" for number in (0, 2, 5))

CHECKPOINTS = {
    "after a run": """{
 "log_id": "90020261126012100999000000000000000000000000000000000000",
 "date": "2026-11-26T01:21:00.999Z",
 "seen": true,
 "saved_as": "90020261126012100999000000000000000000000000000000000000",
 "saved_by": "scheduled__2026-11-26T01:15:00+00:00 try 1",
 "saved_since": "2026-11-26T01:21:00.999000+00:00",
 "start_from": "oldest"
}""",
    "held": """{
 "log_id": "90020261126012100999000000000000000000000000000000000000",
 "date": "2026-11-26T01:21:00.999Z",
 "seen": true,
 "saved_as": "90020261126012100999000000000000000000000000000000000000",
 "hold_until": "2026-11-26T02:21:00.999Z",
 "hold_reason": "the webhook at https://hooks.example.com: 410 Gone",
 "acknowledged": [
  "90020261126012100999000000000000000000000000000000000002",
  "90020261126012100999000000000000000000000000000000000005"
 ],
 "saved_by": "asset_triggered__2026-11-26T01:20:58.123456+00:00_AbCdEfGh try 2",
 "saved_since": "2026-11-26T01:21:00.999000+00:00",
 "start_from": "oldest"
}""",
    "a time yet": """{
 "log_id": null,
 "date": "2026-11-26T01:21:00.999Z",
 "seen": false,
 "saved_as": null,
 "saved_by": "manual__2026-11-26T01:20:58.123456+00:00 try 1",
 "saved_since": "2026-11-26T01:21:00.999000+00:00",
 "start_from": "oldest"
}""",
}


@pytest.mark.parametrize(
    ("text", "position", "acknowledged", "hold"),
    [
        (CHECKPOINTS["after a run"], Position(FIRST, "2026-11-26T01:21:00.999Z", seen=True), (), None),
        (
            CHECKPOINTS["held"],
            Position(FIRST, "2026-11-26T01:21:00.999Z", seen=True),
            (SECOND, THIRD),
            Hold(SAVED + timedelta(hours=1), "the webhook at https://hooks.example.com: 410 Gone"),
        ),
        (CHECKPOINTS["a time yet"], Position(None, "2026-11-26T01:21:00.999Z"), (), None),
    ],
    ids=CHECKPOINTS,
)
def test_a_checkpoint_is_read_with_all_that_was_saved(text, position, acknowledged, hold):
    checkpoint = parse_checkpoint(text, key="r_checkpoint")
    assert (checkpoint.position, checkpoint.acknowledged, checkpoint.hold) == (position, acknowledged, hold)
    assert stored_start_from(text) == "oldest"
    assert writer_of(text) is None, "it counts whatever a record says"


@pytest.mark.usefixtures("connections")
def test_the_watch_begins_at_such_a_checkpoint(tenant, monkeypatch):
    monkeypatch.setattr(variables, "read_variable", {"r_checkpoint": CHECKPOINTS["held"]}.get)
    monkeypatch.setattr(variables.TokenVariable, "load", lambda _self: None)
    monkeypatch.setattr(variables.TokenVariable, "save", lambda *_: None)
    tenant.log_token_requests = False
    tenant.add("s")
    look = Look(TenantHook(tries=1), ["r_checkpoint"])
    assert look().types == {"s"}, "a later event than the checkpoint's own"


@pytest.fixture
def values(monkeypatch):
    """The Variables of Airflow, in memory."""
    return health_in_memory(monkeypatch)


PROBLEM = (
    "failed: the webhook at https://hooks.example.com: 503 Service Unavailable; since 2026-11-26T01:21:00.999Z no run got "
    f"further than event {FIRST} (type 'fp')"
)
BAD = """{
 "problem": "failed: the webhook at https://hooks.example.com: 503 Service Unavailable; since 2026-11-26T01:21:00.999Z no run got further than event 90020261126012100999000000000000000000000000000000000000 (type 'fp')",
 "run_id": "scheduled__2026-11-26T10:15:00+00:00",
 "since": "2026-11-26T01:21:00.999Z",
 "told": "2026-11-26T10:21:00.999Z",
 "gap": "2026-11-20T00:00:00.000Z",
 "untold": [
  [
   "still bad",
   "failed: the webhook at https://hooks.example.com: 503 Service Unavailable; since 2026-11-26T01:21:00.999Z no run got further than event 90020261126012100999000000000000000000000000000000000000 (type 'fp')"
  ]
 ],
 "refused": [
  "90020261126012100999000000000000000000000000000000000002",
  "90020261126012100999000000000000000000000000000000000005"
 ],
 "stuck": {
  "log_id": "90020261126012100999000000000000000000000000000000000000",
  "type": "fp",
  "since": "2026-11-26T01:21:00.999Z",
  "runs": 11,
  "told": true
 },
 "aside": 3,
 "aside_first": "90020261126012100999000000000000000000000000000000000000 (type 'fp'): 422 Unprocessable Entity",
 "aside_told": ""
}"""  # noqa: E501 - as it was stored
SET_ASIDE = """{
 "problem": "set aside: 3 events, the first 900 (fp): 422; the DAG auth0_webhook_dead_letters lists them, and sends them again",
 "run_id": "asset_triggered__2026-11-26T01:20:58.123456+00:00_AbCdEfGh",
 "since": "2026-11-26T01:21:00.999Z",
 "told": "2026-11-26T01:21:00.999Z",
 "gap": "",
 "untold": [],
 "refused": [],
 "stuck": null,
 "aside": 0,
 "aside_first": "",
 "aside_told": "2026-11-26T01:21:00.999Z"
}"""


def test_a_health_record_is_read_whole(values):
    values["r_health"] = BAD
    assert Health("r").load() == State(
        PROBLEM,
        run_id="scheduled__2026-11-26T10:15:00+00:00",
        since="2026-11-26T01:21:00.999Z",
        told="2026-11-26T10:21:00.999Z",
        gap="2026-11-20T00:00:00.000Z",
        untold=[["still bad", PROBLEM]],
        refused=[SECOND, THIRD],
        stuck=Stuck(FIRST, "fp", "2026-11-26T01:21:00.999Z", runs=11, told=True),
        aside=3,
        aside_first=f"{FIRST} (type 'fp'): 422 Unprocessable Entity",
        aside_told="",
    )
    assert Health("r").waits_for_its_schedule()
    assert Health("r").suspect(SAVED + timedelta(hours=11)) == FIRST


@pytest.mark.parametrize("text", [BAD, SET_ASIDE], ids=["bad", "set aside"])
def test_a_health_record_keeps_its_keys_and_values_when_it_is_stored_again(values, text):
    values["r_health"] = text
    health = Health("r")
    health.keep_refused(json.loads(text)["refused"])
    assert values["r_health"] == text


def test_a_route_that_was_bad_before_is_well_after_its_next_good_run(values):
    values["r_health"] = SET_ASIDE
    health = Health("r")
    assert [change for change, _ in health.note(None, "next", now=SAVED + timedelta(days=2))] == ["well"]
    health.told(1)
    assert values == {}
