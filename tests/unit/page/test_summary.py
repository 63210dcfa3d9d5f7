"""What the page says about a route, in words, for each thing that can be stored of it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from auth0_webhooks import errors
from auth0_webhooks.model.checkpoint import Checkpoint, Writer
from auth0_webhooks.model.events import Position
from auth0_webhooks.page.state import AFTER, Run, Stored
from auth0_webhooks.page.summary import audit, dead_letters, history, span_until, summary
from auth0_webhooks.settings.route import Route
from auth0_webhooks.times import iso, parse_time

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
LOG_ID = "90020261122100000000000000000000000000000000000000000001"


def ago(**span):
    return NOW - timedelta(**span)


def run(ended=None, state="success", **report):
    given = {"mode": "live", "dry_run": False, "notes": [], **report}
    return Run("r", "scheduled", state, ended or ago(minutes=1), ended or ago(minutes=1), None, given)


def told(*, paused=False, checkpoint=None, record=None, health=None, runs=(), settings=None, delivered=None):
    stored = Stored(
        "r", "R", paused, checkpoint, record, health, list(runs), ago(hours=1) if delivered else None, delivered, settings
    )  # fmt: skip
    return summary(stored, NOW)


def held(until, **more):
    return json.dumps(
        {"log_id": LOG_ID, "date": "2026-11-22T10:00:00.000Z", "hold_until": iso(until), "hold_reason": "410 Gone", **more}
    )


def noted(problem, **more):
    return json.dumps({"problem": problem, "run_id": "x", "since": "2026-11-22T09:00:00.000Z", "told": "", **more})


@pytest.mark.parametrize(
    ("stored", "code", "words"),
    [
        ({}, "new", "no live run has ended yet"),
        ({"checkpoint": LOG_ID}, "well", "no event is known to wait"),
        ({"runs": [run(lag_seconds=0.0)]}, "well", "every selected event is delivered"),
        ({"runs": [run(lag_seconds=9.0)]}, "waiting", "events are waiting"),
        ({"runs": [run(lag_seconds=9.0, stopped="limit")]}, "waiting", "the log holds more than one run takes"),
        ({"runs": [run(lag_seconds=9.0, stopped="rate limit")]}, "waiting", "the tenant's rate limit is used up"),
        ({"health": noted("events have been waiting for 1,000 s")}, "waiting", "waiting for longer than alarm_lag_seconds"),
        ({"health": noted("failed: no answer")}, "failing", "no answer"),
        ({"health": noted("set aside: 3 events, the first 9")}, "waiting", "dead letters: 3 events, the first 9"),
        ({"checkpoint": held(ago(hours=-1))}, "held", "held until 2026-11-22 13:00 UTC: 410 Gone"),
        ({"checkpoint": held(ago(hours=-1)), "health": noted("held: 410 Gone")}, "held", "410 Gone"),
        ({"checkpoint": held(ago(hours=1)), "health": noted("held: 410 Gone")}, "waiting", "the hold is over"),
        ({"checkpoint": LOG_ID, "health": noted("held: 410 Gone")}, "waiting", "the hold is over"),
        ({"runs": [run(), run(gap="a .. b")]}, "gap", "events of a .. b had left"),
        ({"checkpoint": "0001-01-01T00:00:00+23:00"}, "failing", "outside the years 1 to 9999"),
        ({"checkpoint": "tomorrow"}, "failing", "Variable 'r_checkpoint' is not a checkpoint"),
    ],
)
def test_the_state_is_said_in_words(stored, code, words):
    state = told(**stored)["state"]
    assert state["code"] == code
    assert words in state["words"]


def test_a_bad_state_tells_since_when():
    assert told(health=noted("failed: no answer"))["state"]["since"] == "2026-11-22T09:00:00.000Z"


@pytest.mark.parametrize(
    ("stored", "todo"),
    [
        ({"runs": [run(lag_seconds=0.0)]}, ""),
        ({"runs": [run(lag_seconds=0.0)], "paused": True}, "Press Unpause"),
        ({}, "its schedule starts the first run"),
        ({"runs": [run(lag_seconds=9.0)]}, "concurrent_calls"),
        ({"runs": [run(lag_seconds=9.0, stopped="limit")]}, "max_logs_per_run"),
        ({"runs": [run(lag_seconds=9.0, stopped="rate limit")]}, "set api_reserve lower in the route's connection"),
        ({"health": noted("events have been waiting for 9 s"), "runs": [run(stopped="limit")]}, "max_logs_per_run"),
        ({"health": noted("failed: x", error="EndpointWrongError"), "settings": Route(name="r")}, "connection 'webhook_default'"),
        ({"health": noted("failed: x", error="TenantDeniedError"), "settings": Route(name="r")}, "connection 'auth0_default'"),
        ({"health": noted("failed: x", error="EventRefusedError")}, "on_reject: dead_letter"),
        ({"health": noted("failed: x", error="TenantUnavailableError")}, "the next run tries again"),
        ({"health": noted("failed: KeyError")}, "the log of its failed task"),
        (
            {"health": noted("failed: x", error="EventRefusedError"), "paused": True},
            "Then press Run now. Before a run, press Unpause",
        ),
        ({"health": noted("failed: x", error="TenantUnavailableError"), "paused": True}, "Press Unpause"),
        ({"health": noted("set aside: 3 events, the first 9")}, "press Send dead letters again"),
        ({"checkpoint": held(ago(hours=-1))}, "press Lift the hold"),
        ({"checkpoint": LOG_ID, "health": noted("held: 410 Gone")}, "press Run now"),
        ({"runs": [run(gap="a .. b")]}, "by schedule or watch"),
        ({"checkpoint": "tomorrow"}, "Press Move the checkpoint"),
    ],
)
def test_a_state_says_what_to_do(stored, todo):
    said = told(**stored)["state"]["todo"]
    assert todo in said if todo else said == ""


def test_what_to_do_after_a_failure_is_known_by_errors_that_there_are():
    assert [name for name in AFTER if not issubclass(getattr(errors, name, int), errors.WebhookRouteError)] == []


@pytest.mark.parametrize(
    ("runs", "since", "at_least"),
    [
        ([run(ago(hours=1)), run(ago(hours=2)), run(ago(hours=3), state="failed"), run(ago(hours=4))], ago(hours=2), False),
        ([run(ago(hours=1)), run(ago(hours=2)), run(ago(hours=3), lag_seconds=9.0)], ago(hours=2), False),
        ([run(ago(hours=1)), run(ago(hours=2), mode="replay", lag_seconds=9.0), run(ago(hours=3))], ago(hours=3), True),
        ([run(ago(hours=1), lag_seconds=9.0), run(ago(hours=2), lag_seconds=9.0), run(ago(hours=3))], ago(hours=2), False),
        ([run(ago(hours=1)), run(ago(hours=2), gap="a .. b"), run(ago(hours=3))], ago(hours=2), False),
    ],
)
def test_a_state_without_a_noted_problem_is_since_the_first_run_that_ended_so(runs, since, at_least):
    state = told(runs=runs)["state"]
    assert (state["since"], state["at_least"]) == (iso(since), at_least)


def test_the_rate_limit_is_that_of_the_last_run_that_knows_it():
    asked = run(ago(hours=2), api_requests=3, api_limit=50, api_remaining=0, api_rate=0.5)
    budget = told(runs=[run(ago(hours=1), api_requests=1), asked, run(ago(hours=3), api_remaining=9)])["budget"]
    expected = {"at": iso(ago(hours=2)), "api_requests": 3, "api_limit": 50, "api_remaining": 0, "api_rate": 0.5}
    assert budget == expected
    assert told(runs=[run(api_requests=1)])["budget"] is None


def test_an_audit_is_the_last_one_that_has_ended_and_names_the_route():
    def audited(ended, outcome, name="r"):
        return Run("a", "scheduled", "success", ago(hours=1), ended, None, {name: {"outcome": outcome}})

    runs = [audited(None, "under way"), audited(ago(hours=1), "other", "s"), audited(ago(hours=2), "mine"), audited(NOW, "old")]
    assert audit(runs, "r")["outcome"] == "mine"
    assert audit(runs, "t") is None


@pytest.mark.parametrize("value", [3, "banana", "0001-01-01T00:00:00+23:00", None, [], {}])
def test_a_time_that_was_edited_into_nonsense_is_left_out(value):
    shown = told(
        checkpoint=json.dumps({"log_id": LOG_ID, "date": value}), health=json.dumps({"problem": "failed: x", "since": value})
    )
    assert (shown["checkpoint"]["log_id"], shown["checkpoint"]["date"]) == (LOG_ID, None)
    assert [shown["state"][key] for key in ("code", "words", "since")] == ["failing", "x", None]


def test_replays_and_dry_runs_say_nothing_about_the_route():
    runs = [run(mode="replay", lag_seconds=5.0), run(dry_run=True, lag_seconds=5.0), run(lag_seconds=0.0)]
    assert told(runs=runs)["state"]["code"] == "well"


def test_lag_grows_while_nothing_runs_and_eats_up_the_time_to_loss():
    shown = told(runs=[run(ago(hours=2), lag_seconds=3600.0)], settings=Route(name="r", retention_days=1))
    assert shown["lag_seconds"] == 3 * 3600
    assert shown["seconds_to_loss"] == 21 * 3600


def test_without_retention_days_the_time_to_loss_is_not_known():
    assert told(runs=[run(lag_seconds=5.0)], settings=Route(name="r"))["seconds_to_loss"] is None


def test_the_last_event_is_named_only_where_all_that_was_selected_is_delivered():
    report = {"last_selected": [LOG_ID, "2026-11-22T10:00:00.000Z", "s"]}
    assert told(delivered=report)["last_delivered"] == "2026-11-22T10:00:00.000Z"
    unfinished = told(delivered={**report, "not_reached": 1})
    assert (unfinished["last_delivered"], unfinished["last_delivery"]) == (None, iso(ago(hours=1)))


def test_a_run_shows_its_ledger_and_nothing_else_of_its_report():
    ledger = run(read=3, sample="a user's name", first_selected=[LOG_ID]).as_json()["ledger"]
    assert ledger["read"] == 3
    assert not {"sample", "first_selected", "last_selected"} & ledger.keys()


def test_the_chart_puts_each_run_where_its_time_is_and_leaves_dry_runs_out():
    reports = [
        (ago(hours=23, minutes=59), {"delivered_now": 1, "selected_types": {"s": 1}}),
        (NOW, {"delivered_now": 2, "repeated": 1, "selected_types": {"f": 2}}),
        (ago(hours=1), {"dry_run": True, "delivered_now": 9}),
        (ago(days=3), {"delivered_now": 9}),
    ]
    shown = history(reports, since=ago(days=1), until=NOW, buckets=24)
    assert [bucket["delivered"] for bucket in shown["buckets"]] == [1, *[0] * 22, 2]
    assert shown["types"] == {"f": 2, "s": 1}


@pytest.mark.parametrize(
    ("now", "days", "since", "until"),
    [
        ("2026-11-22T12:34:56Z", 1, "2026-11-21T13:00:00Z", "2026-11-22T13:00:00Z"),
        ("2026-11-22T12:00:00Z", 1, "2026-11-21T13:00:00Z", "2026-11-22T13:00:00Z"),
        ("2026-11-22T17:59:59Z", 7, "2026-11-15T18:00:00Z", "2026-11-22T18:00:00Z"),
        ("2026-11-22T00:00:00Z", 30, "2026-10-24T00:00:00Z", "2026-11-23T00:00:00Z"),
    ],
)
def test_a_chart_ends_with_the_bar_that_is_under_way(now, days, since, until):
    assert span_until(parse_time(now), days) == (parse_time(since), parse_time(until))


def test_once_everything_is_sent_again_nothing_is_listed_as_set_aside():
    listed = [{"log_id": "1", "answer": "400"}]
    report = {"r": {"found": 1, "sent": 1, "left": 0, "refused": 0, "listed": listed}}
    listing = Run("l", "manual", "success", NOW, NOW, None, report)
    shown = dead_letters(listing, "r", [])
    assert (shown["waiting"], shown["unreadable"], shown["letters"]) == (0, 0, [])


def test_files_that_a_listing_could_not_read_are_counted_beside_those_that_wait():
    report = {"r": {"found": 1, "sent": 0, "left": 1, "refused": 0, "unreadable": 2, "listed": [{"log_id": "1"}]}}
    shown = dead_letters(Run("l", "manual", "failed", NOW, NOW, None, report), "r", [])
    assert (shown["waiting"], shown["unreadable"], len(shown["letters"])) == (1, 2, 1)


def saved(number, since, save=1):
    at = Position(f"{int(LOG_ID) + number}", "2026-11-22T10:00:00.000Z", seen=True)
    return Checkpoint(at).dump(Writer(since, save, "run try 1"))


def test_a_checkpoint_of_an_older_try_is_shown_with_the_one_that_is_used_instead():
    shown = told(checkpoint=saved(1, ago(hours=2)), record=saved(9, ago(hours=1)))["checkpoint"]
    assert shown["log_id"] == f"{int(LOG_ID) + 1}"
    assert shown["instead"] == {"log_id": f"{int(LOG_ID) + 9}", "date": "2026-11-22T10:00:00.000Z"}
    assert told(checkpoint=saved(9, ago(hours=1), 2), record=saved(1, ago(hours=1)))["checkpoint"]["instead"] is None
    assert told(checkpoint=LOG_ID, record=saved(9, ago(hours=1)))["checkpoint"]["instead"] is None


def test_a_record_that_was_changed_replaces_no_checkpoint():
    shown = told(checkpoint=saved(1, ago(hours=2)), record=f"{int(LOG_ID) + 9}")
    assert shown["checkpoint"]["log_id"] == f"{int(LOG_ID) + 1}"
    assert shown["checkpoint"]["instead"] is None


@pytest.mark.parametrize("variable", ["checkpoint", "record", "health"])
@pytest.mark.parametrize("text", ["", "last tuesday", "[]", '{"problem": 5, "log_id": []}', '{"a":' * 100_000])
def test_whatever_a_person_wrote_into_a_variable_its_route_is_shown(variable, text):
    assert told(**{"checkpoint": LOG_ID, variable: text})["state"]["code"] in {"well", "waiting", "failing"}
