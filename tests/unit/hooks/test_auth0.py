"""The tenant hook, and what a live run reads, over real HTTP."""

from __future__ import annotations

import contextlib
import logging
import random
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from auth0_webhooks.errors import (
    CheckpointExpiredError,
    SettingError,
    TenantAnswerError,
    TenantDeniedError,
    TenantRefusedError,
    TenantUnavailableError,
    WindowTooLargeError,
)
from auth0_webhooks.hooks import auth0 as tenant_module
from auth0_webhooks.hooks.auth0 import TenantHook
from auth0_webhooks.model.events import Position
from auth0_webhooks.reading.live import OLDEST, Reading, first_position
from auth0_webhooks.times import iso
from simulation.tenant import CLIENT_ID, CLIENT_SECRET, Tenant
from simulation.tenant_limits import Bucket
from tests.conftest import forget, set_connection
from tests.support.factory import QUICK, wait_for

ZERO = Position("0", None)
NEVER = 1e9
"""Seconds of a window that does not end while a test runs."""
pytestmark = pytest.mark.usefixtures("connections")


class Store:
    """A token store in memory."""

    def __init__(self):
        self.text = None

    def load(self):
        return self.text

    def save(self, text):
        self.text = text


def read(tenant, start=ZERO, limit=100_000, store=None):
    tenant.log_token_requests = False
    hook = TenantHook(token_store=store or Store(), waits=QUICK)
    reading = Reading(hook, start, limit, settle=0.0)
    return [event.log_id for event in reading.events()], reading, hook


def ids(tenant):
    return [log_id for log_id, _, _ in tenant.log()]


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 350])
def test_every_event_is_read_once_in_order_page_by_page(tenant, count):
    tenant.add_many(count)
    got, reading, hook = read(tenant)
    assert got == ids(tenant)
    assert reading.stopped is None
    assert hook.api_requests == -(-count // 100) + 1
    assert tenant.queries[0] == {"from": "0", "take": "100"}


def test_reading_goes_on_after_the_checkpoint(tenant):
    tenant.add_many(250)
    start = ids(tenant)[119]
    assert read(tenant, Position(start, None))[0] == ids(tenant)[120:]


def test_an_idle_run_costs_one_request_and_no_token(tenant):
    tenant.add_many(3)
    store = Store()
    read(tenant, store=store)
    tenant.requests.clear()
    got, reading, hook = read(tenant, Position(ids(tenant)[-1], None), store=store)
    assert (got, hook.api_requests, hook.token_requests) == ([], 1, 0)
    assert tenant.requests == {"GET /api/v2/logs": 1}
    assert reading.end == reading.start


def test_the_limit_of_a_run_is_kept_to_the_event(tenant):
    tenant.add_many(500)
    got, reading, _ = read(tenant, limit=230)
    assert got == ids(tenant)[:230]
    assert (reading.stopped, reading.end.log_id) == ("limit", got[-1])


def test_a_start_in_time_begins_with_the_smallest_id_of_the_oldest_page(tenant):
    now = datetime.now(timezone.utc)
    tenant.add("f", when=now - timedelta(hours=3))
    late = tenant.add("s", when=now - timedelta(hours=1), happened=now - timedelta(hours=2, minutes=30))
    tenant.add_many(150, spread=1800)
    since = (now - timedelta(hours=2, minutes=45)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    got, reading, _ = read(tenant, Position(None, since))
    assert got == ids(tenant)[1:]
    assert got[0] == late
    assert reading.end.seen


def test_the_oldest_start_reads_the_whole_log(tenant):
    tenant.add_many(130)
    assert read(tenant, first_position("oldest"))[0] == ids(tenant)


def test_starting_now_reads_nothing_old_and_then_everything_new(tenant):
    tenant.add_many(20, spread=60)
    start = first_position("now")
    assert read(tenant, start)[0] == []
    wait_for(lambda: iso(datetime.now(timezone.utc)) > start.date)
    new = tenant.add("s")
    assert read(tenant, start)[0] == [new]
    assert first_position(datetime(2026, 1, 1, tzinfo=timezone.utc)) == Position(None, "2026-01-01T00:00:00.000Z")


def test_what_is_left_after_the_retention_is_read_from_an_older_place(tenant):
    tenant.refuses_expired = False
    tenant.add_many(150)
    start = Position(ids(tenant)[0], None)
    tenant.expire(60)
    assert read(tenant, start)[0] == ids(tenant)
    assert len(ids(tenant)) == 90


def test_an_empty_tenant_leaves_the_place_where_it_was(tenant):
    got, reading, hook = read(tenant, Position(None, OLDEST))
    assert (got, reading.end, hook.api_requests) == ([], Position(None, OLDEST), 2)


def test_the_token_is_kept_and_asked_for_again_when_the_connection_changes(tenant, monkeypatch):
    store = Store()
    assert read(tenant, store=store)[2].token_requests == 1
    assert read(tenant, store=store)[2].token_requests == 0
    tenant.audience = "https://demo.example.com/api/v2/"
    set_connection(
        monkeypatch, "auth0_default", host=tenant.url, login=CLIENT_ID, password=CLIENT_SECRET,
        extra={"audience": tenant.audience, "X-Trace": "a", "timeout": None},
    )  # fmt: skip
    assert read(tenant, store=store)[2].token_requests == 1


def test_a_token_is_renewed_before_it_runs_out(tenant, monkeypatch):
    store, began = Store(), time.time()
    tenant.token_life = 1000.0
    read(tenant, store=store)
    monkeypatch.setattr(tenant_module.time, "time", lambda: began + 890)
    assert read(tenant, store=store)[2].token_requests == 0
    monkeypatch.setattr(tenant_module.time, "time", lambda: began + 990)
    assert read(tenant, store=store)[2].token_requests == 1


def test_the_kept_token_is_encrypted(tenant):
    store = Store()
    read(tenant, store=store)
    (token,) = tenant._tokens
    assert token not in store.text


def test_a_revoked_token_is_asked_for_again_once(tenant):
    store = Store()
    read(tenant, store=store)
    tenant.revoke_tokens()
    tenant.add_many(5)
    got, _, hook = read(tenant, store=store)
    assert (len(got), hook.token_requests) == (5, 1)


@pytest.mark.parametrize("text", ["", "null", "x", "ünreadable", "gAAAAAB" + "a" * 100])
def test_a_kept_token_that_cannot_be_read_is_asked_for_anew(tenant, text):
    store = Store()
    store.text = text
    assert read(tenant, store=store)[2].token_requests == 1


def test_a_wrong_secret_fails_with_auth0s_reason_and_without_the_secret(tenant, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    set_connection(monkeypatch, "auth0_default", host=tenant.url, login=CLIENT_ID, password="wrong-secret")
    with pytest.raises(
        TenantDeniedError, match="no token to the application of connection 'auth0_default': 401 Unauthorized"
    ) as e:
        read(tenant)
    assert not e.value.retry
    assert "wrong-secret" not in str(e.value) + caplog.text
    assert tenant.requests["POST /oauth/token"] == 1


def test_a_missing_scope_fails_with_auth0s_reason(tenant):
    tenant.scope = "read:users"
    with pytest.raises(TenantDeniedError, match="403 Insufficient scope.*needs the scope read:logs") as caught:
        read(tenant)
    assert not caught.value.retry


def test_a_scope_that_is_granted_later_needs_no_other_mending(tenant):
    store, tenant.scope = Store(), ""
    with pytest.raises(TenantDeniedError):
        read(tenant, store=store)
    tenant.scope = "read:logs"
    tenant.add_many(3)
    assert read(tenant, store=store)[0] == ids(tenant)


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"login": "a", "password": "b"}, "no host"),
        ({"host": "h", "password": "b"}, r"no login \(the client id\)"),
        ({"host": "h", "login": "a"}, r"no password \(the client secret\)"),
    ],
)
def test_a_missing_field_is_named_with_its_connection(tenant, monkeypatch, fields, missing):
    set_connection(monkeypatch, "auth0_default", **fields)
    with pytest.raises(
        SettingError, match=f"connection 'auth0_default' has {missing}: set it under Admin > Connections or in AIRFLOW"
    ):
        read(tenant)


@pytest.mark.parametrize("fault", ["broken", "html", "not UTF-8", "object", "no id", "twice", "stuck", "500", "502", "reset"])
def test_a_passing_fault_of_the_tenant_loses_and_repeats_nothing(tenant, fault):
    tenant.add_many(350)
    tenant.fault, tenant.faults_left = fault, 1
    start = Position(ids(tenant)[120], None)
    if fault == "stuck":
        with pytest.raises(TenantAnswerError, match="cursor does not move"):
            read(tenant, start)
    assert read(tenant, start)[0] == ids(tenant)[121:]


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("broken", TenantAnswerError, "breaks off or is not JSON"),
        ("html", TenantAnswerError, "not a JSON array"),
        ("not UTF-8", TenantAnswerError, "not UTF-8"),
        ("object", TenantAnswerError, "not a JSON array"),
        ("no id", TenantAnswerError, "has no log_id"),
        ("twice", TenantAnswerError, "out of order"),
        ("503", TenantUnavailableError, "answers 503"),
        ("reset", TenantUnavailableError, "no answer from Auth0"),
        ("400", TenantRefusedError, "400 This is a fault"),
        ("302", SettingError, "answers with a redirect"),
        ("blocked", TenantDeniedError, r"refuses to show the log of [\d.:]+: 403 Forbidden"),
        ("token html", TenantAnswerError, r"the token endpoint of [\d.:]+ answers without a token"),
        ("token object", TenantAnswerError, r"the token endpoint of [\d.:]+ answers without a token"),
        ("token broken", TenantAnswerError, r"the token endpoint of [\d.:]+ answers without a token"),
    ],
)
def test_a_lasting_fault_of_the_tenant_is_a_clear_error(tenant, fault, error, message):
    tenant.add_many(350)
    tenant.fault, tenant.faults_left = fault, 100
    with pytest.raises(error, match=message) as caught:
        read(tenant, Position(ids(tenant)[120], None))
    assert caught.value.retry == (error in (TenantAnswerError, TenantUnavailableError))


def test_a_run_that_has_used_its_share_hands_on_what_it_read_and_leaves_the_rest(tenant):
    tenant.add_many(2000)
    tenant.bucket = Bucket(10, 10, NEVER, "window")
    got, reading, hook = read(tenant)
    assert reading.stopped == "rate limit"
    assert got == ids(tenant)[:700]
    assert (tenant.bucket.limited, tenant.bucket.warned, hook.figures()["api_remaining"]) == (0, 0, 3)


def test_a_run_that_may_send_no_request_reads_nothing_and_sends_none(tenant):
    tenant.bucket = Bucket(10, 10, NEVER, "window", left=4)
    read(tenant)  # as another process of this machine
    tenant.requests.clear()
    got, reading, _ = read(tenant)
    assert (got, reading.stopped, reading.end) == ([], "rate limit", reading.start)
    assert "GET /api/v2/logs" not in tenant.requests


@pytest.mark.parametrize("kind", ["drip", "window"])
@pytest.mark.parametrize("plan", ["free", "self-service", "enterprise"])
def test_a_backlog_is_read_without_a_429_or_a_warning_on_any_plan(tenant, plan, kind):
    """In real time, which passes faster for the bucket."""
    tenant.add_many(200 if plan == "free" else 900)
    tenant.bucket = Bucket.of(plan, kind, faster=60.0 if (plan, kind) == ("self-service", "window") else 1.0)
    place, got, before = ZERO, [], ids(tenant)

    def all_read():
        nonlocal place
        more, reading, _ = read(tenant, place)
        place = reading.end
        got.extend(more)
        return reading.stopped is None

    wait_for(all_read)
    assert got == before == ids(tenant)
    assert (tenant.bucket.limited, tenant.bucket.warned) == (0, 0)


def test_a_limit_that_others_have_used_up_is_waited_for_and_met_once(tenant):
    tenant.add_many(100)
    tenant.bucket = Bucket(10, 10, 1.0, "window", left=0)
    got, reading, _ = read(tenant)
    assert (got, reading.stopped) == ([log_id for log_id in ids(tenant) if log_id in got], None)
    assert len(got) >= 100
    assert tenant.bucket.limited <= 1


def test_a_429_that_states_no_time_is_waited_for_and_loses_nothing(tenant):
    tenant.add_many(100)
    tenant.fault, tenant.faults_left = "429", 1
    got, reading, hook = read(tenant)
    assert (got, reading.stopped, tenant.faults_left) == (ids(tenant), None, 0)
    assert hook.figures()["api_waited"] > 0


@pytest.mark.parametrize("date", ["yesterday", "", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"])
def test_a_tenant_whose_answers_have_no_readable_date_is_read_all_the_same(tenant, monkeypatch, date):
    tenant.add_many(350)
    monkeypatch.setattr(tenant, "_limits", lambda: {"Date": date})
    assert read(tenant)[0] == ids(tenant)


def test_the_rate_limit_is_kept_beside_the_token_for_other_machines(tenant, monkeypatch, tmp_path):
    tenant.add_many(2000)
    tenant.bucket, store = Bucket(10, 10, NEVER, "window"), Store()
    read(tenant, store=store)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # as on another machine
    tenant.requests.clear()
    assert read(tenant, store=store)[1].stopped == "rate limit"
    assert not tenant.requests, "neither a request to the log nor one for a token"


def test_a_connection_that_leads_to_another_tenant_takes_no_rate_limit_along(tenant, monkeypatch):
    tenant.add_many(2000)
    tenant.bucket, store = Bucket(10, 10, NEVER, "window"), Store()
    read(tenant, store=store)
    with Tenant().running() as other:
        other.add_many(100)
        set_connection(monkeypatch, "auth0_default", host=other.url, login=CLIENT_ID, password=CLIENT_SECRET)
        assert read(other, store=store)[0] == ids(other)


def test_a_rate_limit_with_room_is_not_stored(tenant):
    tenant.add_many(200)
    tenant.limit("self-service")
    store = Store()
    read(tenant, store=store)
    assert " " not in store.text


@pytest.mark.parametrize("reserve", [50, "50"])
def test_the_reserve_of_the_connection_stays_for_others(tenant, monkeypatch, reserve):
    fields = {"host": tenant.url, "login": CLIENT_ID, "password": CLIENT_SECRET}
    set_connection(monkeypatch, "auth0_default", **fields, extra={"api_reserve": reserve})
    tenant.add_many(2000)
    tenant.bucket = Bucket(10, 10, NEVER, "window")
    got, _, hook = read(tenant)
    assert (len(got), hook.figures()["api_remaining"]) == (400, 6)
    assert "api_reserve" not in hook.get_conn().headers


@pytest.mark.parametrize(("given", "kept"), [(None, 50), (20, 50), (70, 70)])
def test_an_audit_leaves_more_to_others_than_the_connection_says_and_never_less(tenant, monkeypatch, given, kept):
    fields = {"host": tenant.url, "login": CLIENT_ID, "password": CLIENT_SECRET}
    set_connection(monkeypatch, "auth0_default", **fields, extra={"api_reserve": given} if given else {})
    hook = TenantHook("auth0_default", least_reserve=50)
    hook.get_conn()
    assert hook.budget.reserve == kept


@pytest.mark.parametrize("reserve", [19, 91, "a third", [], True])
def test_a_reserve_that_is_none_is_named(tenant, monkeypatch, reserve):
    fields = {"host": tenant.url, "login": CLIENT_ID, "password": CLIENT_SECRET}
    set_connection(monkeypatch, "auth0_default", **fields, extra={"api_reserve": reserve})
    with pytest.raises(SettingError, match="extra 'api_reserve' is .*, expected a number from 20 to 90"):
        read(tenant)


def test_nothing_listening_is_named_by_host_only(monkeypatch):
    set_connection(monkeypatch, "auth0_default", host="http://127.0.0.1:9", login="a", password="b")
    with pytest.raises(TenantUnavailableError, match=r"no answer from Auth0 at 127\.0\.0\.1:9: the connection failed"):
        list(TenantHook(waits=QUICK).pages(ZERO))


def test_the_client_secret_and_own_extras_are_not_sent_to_the_log(tenant, monkeypatch):
    set_connection(
        monkeypatch, "auth0_default", host=tenant.url, login=CLIENT_ID, password=CLIENT_SECRET,
        extra={"audience": f"{tenant.url}/api/v2/", "X-Team": "security"},
    )  # fmt: skip
    session = TenantHook(waits=QUICK).get_conn()
    assert "audience" not in session.headers
    assert session.headers["X-Team"] == "security"
    assert "Authorization" not in session.prepare_request(__import__("requests").Request("GET", tenant.url)).headers


def expired(tenant, *, refused, left=50, days=3.0):
    """A log of which the checkpoint's event is gone; returns the checkpoint and what is left."""
    tenant.log_token_requests = False
    old = datetime.now(timezone.utc) - timedelta(days=days)
    gone = [tenant.add("s", when=old + timedelta(seconds=n)) for n in range(20)]
    start = Position(gone[9], iso(old + timedelta(seconds=9)), seen=True)
    for n in range(left):
        tenant.add("s", when=old + timedelta(days=1, seconds=n))
    tenant.expire(20)
    tenant.refuses_expired = refused
    return start, ids(tenant)


@pytest.mark.parametrize("refused", [True, False], ids=["400", "read like any position"])
def test_an_expired_checkpoint_is_a_gap_and_reading_goes_on_from_the_oldest_event_left(tenant, refused):
    start, left = expired(tenant, refused=refused)
    got, reading, _ = read(tenant, start)
    assert got == left
    assert reading.gap == (start.date, iso(datetime.strptime(left[0][3:20], "%Y%m%d%H%M%S%f").replace(tzinfo=timezone.utc)))
    assert tenant.requests[f"GET /api/v2/logs/{start.log_id}"] == 1
    assert next(iter(Reading(TenantHook(waits=QUICK), start, 10).events())).previous == start


def test_a_young_checkpoint_is_asked_for_only_after_a_400(tenant):
    start, left = expired(tenant, refused=False, days=1.5)
    reading = Reading(TenantHook(waits=QUICK), start, 1000, retention=timedelta(days=5), settle=0.0)
    assert [event.log_id for event in reading.events()] == left
    assert reading.gap is None
    tenant.refuses_expired = True
    reading = Reading(TenantHook(waits=QUICK), start, 1000, retention=timedelta(days=5), settle=0.0)
    assert [event.log_id for event in reading.events()] == left
    assert reading.gap is not None


def test_a_quiet_log_that_was_read_to_its_end_lately_has_no_gap_when_its_last_event_leaves(tenant):
    start, left = expired(tenant, refused=True)
    start = start._replace(date=iso(datetime.now(timezone.utc) - timedelta(hours=20)))
    got, reading, _ = read(tenant, start)
    assert (got, reading.gap) == (left, None)


@pytest.mark.parametrize(("hours", "moved"), [(5, False), (7, True), (48, True)])
def test_a_reading_that_finds_nothing_for_long_says_until_when(tenant, hours, moved):
    log_id = tenant.add("s", when=datetime.now(timezone.utc) - timedelta(hours=hours))
    start = Position(log_id, iso(datetime.now(timezone.utc) - timedelta(hours=hours)), seen=True)
    began = iso(datetime.now(timezone.utc))
    _, reading, _ = read(tenant, start)
    assert reading.end._replace(date=None) == start._replace(date=None)
    assert (reading.end.date >= began) is moved


def test_a_position_is_never_taken_for_an_expired_checkpoint(tenant):
    start, _ = expired(tenant, refused=True)
    with pytest.raises(TenantRefusedError, match="a date-time always works there"):
        read(tenant, start._replace(seen=False))
    assert tenant.requests[f"GET /api/v2/logs/{start.log_id}"] == 0
    tenant.refuses_expired = False
    assert read(tenant, start._replace(seen=False))[1].gap is None


def test_a_400_for_another_reason_is_no_gap(tenant):
    tenant.add_many(30)
    start = Position(ids(tenant)[3], iso(datetime.now(timezone.utc)), seen=True)
    tenant.fault, tenant.faults_left = "400", 1
    with pytest.raises(TenantRefusedError, match="400 This is a fault"):
        read(tenant, start)


def test_a_gap_in_an_empty_log_leaves_a_time_to_start_from(tenant):
    start, left = expired(tenant, refused=True, left=0)
    got, reading, _ = read(tenant, start)
    assert got == left == []
    assert reading.gap[0] == start.date
    assert reading.end == Position(None, OLDEST)


def test_a_gap_stops_a_route_that_says_so(tenant):
    start, _ = expired(tenant, refused=True)
    reading = Reading(TenantHook(waits=QUICK), start, 1000, on_gap="stop")
    with pytest.raises(CheckpointExpiredError, match="no longer in the tenant's log") as caught:
        list(reading.events())
    assert not caught.value.retry


def test_an_old_checkpoint_whose_event_is_still_there_costs_one_more_request(tenant):
    log_id = tenant.add("s", when=datetime.now(timezone.utc) - timedelta(days=2))
    start = Position(log_id, iso(datetime.now(timezone.utc) - timedelta(days=2)), seen=True)
    got, reading, hook = read(tenant, start)
    assert (got, reading.gap, hook.api_requests) == ([], None, 2)


def test_a_search_in_the_wrong_order_is_an_error(tenant, monkeypatch):
    tenant.add_many(150)
    monkeypatch.setattr(tenant, "_search", lambda _query: list(range(150))[::-1])
    with pytest.raises(TenantAnswerError, match="not in the order of dates"):
        TenantHook(waits=QUICK).search("2026-01-01T00:00:00.000Z")


def test_a_start_in_time_skips_no_event_though_the_first_ones_by_date_came_in_late(tenant):
    tenant.log_token_requests = False
    began = datetime.now(timezone.utc) - timedelta(hours=2)
    for n in range(50):
        tenant.add("s", when=began + timedelta(seconds=60 + n))
    for n in range(250):
        tenant.add("s", when=began + timedelta(minutes=30), happened=began + timedelta(milliseconds=n))
    got, reading, _ = read(tenant, Position(None, iso(began)))
    assert got == ids(tenant)
    assert reading.gap is None


def test_a_start_in_time_reads_more_events_of_one_moment_than_a_search_can_show(tenant):
    began = burst(tenant)
    assert read(tenant, Position(None, iso(began)))[0] == ids(tenant)


def test_a_start_in_time_says_so_where_only_a_search_is_left_and_cannot_show_where_to_start(tenant):
    began, tenant.unknown_from = burst(tenant), "400"
    with pytest.raises(WindowTooLargeError, match="cannot tell the events of"):
        read(tenant, Position(None, iso(began)))


def burst(tenant):
    """1,001 events of one millisecond; returns when."""
    tenant.log_token_requests = False
    began = datetime.now(timezone.utc) - timedelta(hours=2)
    for _ in range(1001):
        tenant.add("s", when=began)
    return began


def test_a_start_in_time_asks_for_little_where_events_come_in_as_they_happen(tenant):
    tenant.add_many(2000)
    _, _, hook = read(tenant, Position(None, OLDEST))
    assert hook.api_requests == 21 + 1
    _, _, hook = read(tenant, Position(None, iso(datetime.now(timezone.utc) - timedelta(minutes=30))))
    assert hook.api_requests == 12 + 1  # the events include those of the minute before the start


def test_a_checkpoint_that_is_gone_while_older_events_are_left_is_no_gap_and_repeats_nothing(tenant):
    start, left = expired(tenant, refused=True)
    older, text = str(int(start.log_id) - 5), tenant._texts[0].replace(left[0], str(int(start.log_id) - 5))
    for column, value in zip(
        (tenant._ids, tenant._dates, tenant._types, tenant._texts), (older, tenant._dates[0], "s", text), strict=True
    ):
        column.insert(0, value)
    got, reading, _ = read(tenant, start)
    assert got == left
    assert reading.gap is None


def test_a_gap_with_only_late_events_behind_it_ends_when_they_came_in(tenant):
    tenant.log_token_requests = False
    old = datetime.now(timezone.utc) - timedelta(days=3)
    gone = tenant.add("s", when=old)
    late = tenant.add("s", when=old + timedelta(hours=2), happened=old - timedelta(hours=1))
    tenant.expire(1)
    got, reading, _ = read(tenant, Position(gone, iso(old), seen=True))
    assert got == [late]
    assert reading.gap == (iso(old), iso(old + timedelta(hours=2)))


@pytest.mark.parametrize("unknown", ["position", "400", "empty", "oldest", "newest"])
@pytest.mark.parametrize("minutes", [0, 20, 90], ids=["all of it", "some", "before the first event"])
def test_a_start_in_time_reads_the_same_whatever_auth0_makes_of_a_log_id_that_is_no_events(tenant, unknown, minutes):
    tenant.add_many(700)
    tenant.unknown_from = unknown
    since = iso(datetime.now(timezone.utc) - timedelta(minutes=minutes)) if minutes else OLDEST
    wanted = [log_id for log_id in ids(tenant) if not minutes or dated(log_id) >= since]
    assert len(wanted) == 700 or 200 < len(wanted) < 300
    assert read(tenant, Position(None, since))[0] == wanted


@pytest.mark.parametrize("unknown", ["position", "400", "empty", "oldest", "newest"])
def test_a_start_after_the_last_event_reads_nothing(tenant, unknown):
    tenant.add_many(300)
    tenant.unknown_from = unknown
    got, reading, _ = read(tenant, first_position("now"))
    assert got == []
    assert reading.end.log_id in {None, ids(tenant)[-1]}


def dated(log_id):
    return iso(datetime.strptime(log_id[3:20], "%Y%m%d%H%M%S%f").replace(tzinfo=timezone.utc))


def test_a_start_in_time_leaves_out_what_happened_and_came_in_before_it_and_nothing_else(tenant):
    since = datetime.now(timezone.utc) - timedelta(hours=1)
    second = timedelta(seconds=1)
    tenant.add("s", when=since - 90 * second)
    tenant.add("s", when=since - 30 * second)
    ahead = tenant.add("s", when=since - 20 * second, happened=since + second)
    tenant.add("s", when=since - 10 * second)
    exact = tenant.add("s", when=since)
    late = tenant.add("s", when=since + second, happened=since - 3000 * second)
    start = Position(None, iso(since))
    tenant.log_token_requests = False
    reading = Reading(TenantHook(waits=QUICK), start, 1000)
    got = list(reading.events())
    assert [event.log_id for event in got] == [ahead, exact, late]
    assert [event.previous for event in got] == [start, got[0].position, got[1].position]


def test_a_start_that_leaves_all_out_goes_on_from_there_even_when_the_rate_limit_is_used_up(tenant):
    tenant.log_token_requests = False
    since = datetime.now(timezone.utc) - timedelta(minutes=5)
    before = [tenant.add("s", when=since - timedelta(milliseconds=500 - n)) for n in range(500)]
    wanted = tenant.add("s", when=since)
    tenant.bucket = Bucket(4, 4, NEVER, "window")
    got, reading, _ = read(tenant, Position(None, iso(since)))
    assert (got, reading.end.log_id, reading.stopped) == ([], before[199], "rate limit")
    tenant.bucket = None
    forget(tenant)
    assert read(tenant, reading.end)[0] == [*before[200:], wanted]


def test_a_search_that_shows_a_first_event_too_early_waits_until_no_earlier_one_can_appear(tenant):
    tenant.log_token_requests, tenant.unknown_from = False, "400"
    now = datetime.now(timezone.utc)
    start = Position(None, iso(now - timedelta(minutes=5)))
    hidden = tenant.add("s", when=now - timedelta(seconds=90))
    tenant.shown_after[hidden] = 1e9
    tenant.add("s", when=now - timedelta(seconds=50))
    got, reading = settled(start)
    assert (got, reading.end) == ([], start)


def test_a_search_that_shows_a_first_event_for_long_is_started_from(tenant):
    tenant.log_token_requests, tenant.unknown_from = False, "400"
    now = datetime.now(timezone.utc)
    for seconds in (200, 50):
        tenant.add("s", when=now - timedelta(seconds=seconds))
    assert settled(Position(None, iso(now - timedelta(minutes=5))))[0] == ids(tenant)


def settled(start, settle=0.01):
    """What a live run reads that waits for late events; and its reading."""
    reading = Reading(TenantHook(waits=QUICK), start, 10_000, settle=settle)
    return [event.log_id for event in reading.events()], reading


def test_an_event_that_is_shown_after_one_of_a_larger_id_is_not_passed_over(tenant):
    tenant.log_token_requests = False
    now = datetime.now(timezone.utc)
    old = tenant.add("s", when=now - timedelta(minutes=1))
    late, early = tenant.add("s", when=now), tenant.add("s", when=now + timedelta(milliseconds=1))
    tenant.shown_after[late] = 1e9
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        tenant.shown_after[late] = 0.0

    reading = Reading(TenantHook(waits=QUICK), Position(old, None), 1000, settle=30.0, sleep=sleep)
    assert [event.log_id for event in reading.events()] == [late, early]
    assert len(slept) == 1
    assert 0 < slept[0] <= 30


def test_waiting_for_late_events_costs_no_request_more(tenant):
    tenant.log_token_requests = False
    start = Position(tenant.add("s", when=datetime.now(timezone.utc) - timedelta(hours=1)), None)
    for count in (0, 1, 99):
        new = [tenant.add("s") for _ in range(count)]
        hook = TenantHook(waits=QUICK)
        reading = Reading(hook, start, 1000, settle=30.0, sleep=lambda _seconds: None)
        assert [event.log_id for event in reading.events()] == new
        assert hook.api_requests == (2 if new else 1)
        start = reading.end


def test_a_burst_is_read_in_one_run_though_all_of_it_came_in_just_now(tenant):
    tenant.log_token_requests = False
    start = Position(tenant.add("s", when=datetime.now(timezone.utc) - timedelta(hours=1)), None)
    made = [tenant.add("s") for _ in range(450)]
    got, reading = settled(start, settle=0.7)
    assert (got, reading.stopped) == (made, None)


def test_a_machine_whose_time_is_ahead_still_waits_for_late_events(tenant, monkeypatch):
    tenant.log_token_requests = False
    start = Position(tenant.add("s", when=datetime.now(timezone.utc) - timedelta(hours=1)), None)
    made = [tenant.add("s")]

    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(hours=1)

    monkeypatch.setattr(tenant_module, "datetime", Ahead)
    slept = []
    reading = Reading(TenantHook(waits=QUICK), start, 1000, settle=30.0, sleep=slept.append)
    assert [event.log_id for event in reading.events()] == made
    assert slept


def test_runs_that_follow_a_log_whose_events_are_shown_in_any_order_read_each_once(tenant):
    """In real time; the model in test_reading_model.py tries more of it."""
    tenant.log_token_requests = False
    chance, began = random.Random(7), datetime.now(timezone.utc)
    made = [tenant.add("s", when=began + timedelta(milliseconds=5 * number)) for number in range(150)]
    tenant.shown_after.update((log_id, chance.random() * 0.2) for log_id in made)
    place, got = Position(None, iso(began)), []

    def all_read():
        nonlocal place
        more, reading = settled(place, settle=0.2)
        place = reading.end
        got.extend(more)
        return len(got) >= len(made)

    wait_for(all_read)
    assert got == made


@pytest.mark.parametrize("where", ["", "token "], ids=["log", "token"])
@pytest.mark.parametrize("fault", ["hang", "drip", "drip body"])
def test_an_answer_that_never_ends_is_given_up_and_the_next_one_is_read(tenant, where, fault):
    tenant.add_many(5)
    tenant.log_token_requests = False
    hook = TenantHook(tries=1, waits=replace(QUICK, tenant_answer=0.3))
    tenant.fault, tenant.faults_left = where + fault, 1
    with pytest.raises(TenantUnavailableError, match=r"its answer was not complete after 0\.3 s") as caught:
        list(hook.pages(ZERO))
    assert caught.value.retry

    def reads_all():
        # A busy machine may take longer than that for a good answer, too.
        with contextlib.suppress(TenantUnavailableError):
            return [event.log_id for page in hook.pages(ZERO) for event in page] == ids(tenant)

    wait_for(reads_all)


def test_the_next_link_is_followed_within_the_host(tenant):
    tenant.add_many(350)
    tenant.next_link = "opaque"
    assert read(tenant)[0] == ids(tenant)
    assert len(tenant.queries) == 5
    assert tenant.queries[0]["from"] == "0"
    assert not any(query["from"].isdigit() for query in list(tenant.queries)[1:])


def test_a_next_link_that_is_no_address_is_not_followed(tenant, capsys):
    tenant.add_many(350)
    tenant.next_link = "http://["
    assert read(tenant)[0] == ids(tenant)
    assert "points to an invalid address; continuing by log id" in capsys.readouterr().out


@pytest.mark.parametrize("path", ["/api/v2/logs", "/api/v2/users"])
def test_a_next_link_to_another_place_is_not_followed_and_gets_no_token(tenant, capsys, path):
    tenant.add_many(350)
    with Tenant().running() as other:
        at = other if path == "/api/v2/logs" else tenant
        tenant.next_link = at.url + path
        assert read(tenant)[0] == ids(tenant)
        assert not other.requests
    assert set(tenant.requests) == {"POST /oauth/token", "GET /api/v2/logs"}
    assert capsys.readouterr().out.count("continuing by log id") == 1


def test_a_next_link_that_is_refused_is_left_for_the_log_id(tenant, monkeypatch):
    tenant.add_many(350)
    tenant.next_link, tenant.unknown_from = "opaque", "400"
    monkeypatch.setattr(tenant, "_cursors", type("Forgotten", (dict,), {"get": lambda _self, _key, default: default})())
    assert read(tenant)[0] == ids(tenant)


def test_a_next_link_that_skips_events_is_not_followed(tenant, monkeypatch):
    tenant.add_many(350)
    last = ids(tenant)[-1]
    monkeypatch.setattr(tenant, "_link", lambda _cursor, take: f'<{tenant.url}/api/v2/logs?from={last}&take={take}>; rel="next"')
    assert read(tenant)[0] == ids(tenant)


def test_an_expired_checkpoint_that_is_answered_by_no_events_is_found_out_within_hours(tenant):
    start, left = expired(tenant, refused=False)
    tenant.empty_when_expired = True
    refreshed = start._replace(date=iso(datetime.now(timezone.utc) - timedelta(hours=7)))
    got, reading, _ = read(tenant, refreshed)
    assert (got, reading.gap) == (left, None)
    assert tenant.requests[f"GET /api/v2/logs/{start.log_id}"] == 1


def test_an_expired_checkpoint_that_is_answered_by_no_events_is_a_gap_where_it_is_old(tenant):
    start, left = expired(tenant, refused=False)
    tenant.empty_when_expired = True
    reading = Reading(TenantHook(waits=QUICK), start, 1000, retention=timedelta(days=30))
    assert [event.log_id for event in reading.events()] == left
    assert reading.gap[0] == start.date


def test_a_quiet_tenant_is_asked_for_the_checkpoints_event_every_six_hours_only(tenant):
    log_id = tenant.add("s", when=datetime.now(timezone.utc) - timedelta(days=2))
    place = Position(log_id, iso(datetime.now(timezone.utc) - timedelta(hours=7)), seen=True)
    for _ in range(10):
        _, reading, _ = read(tenant, place)
        place = reading.end
    assert tenant.requests[f"GET /api/v2/logs/{log_id}"] == 1
    assert tenant.requests["GET /api/v2/logs"] == 10
