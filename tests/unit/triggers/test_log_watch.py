"""The watch: what it looks at, what wakes a run, and that nothing ends it. Over real HTTP, without a triggerer."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta, timezone

import pytest

from auth0_webhooks.errors import AirflowUnavailableError, TenantUnavailableError
from auth0_webhooks.hooks.auth0 import TenantHook
from auth0_webhooks.model.events import Position
from auth0_webhooks.state import variables
from auth0_webhooks.state.health import Health
from auth0_webhooks.triggers import log_watch as watch
from auth0_webhooks.triggers.log_watch import (
    BUSY_SECONDS,
    LONGEST_PAUSE,
    REMIND_SECONDS,
    LogWatch,
    Look,
    Seen,
    pause_between,
)
from auth0_webhooks.triggers.wakes import WakeUps
from simulation.tenant_limits import Bucket
from tests.support.factory import events

pytestmark = pytest.mark.usefixtures("connections")


@pytest.fixture
def stored(monkeypatch):
    """Airflow's Variables, in memory: the real ones are in the live tests."""
    values = {}
    monkeypatch.setattr(variables, "read_variable", values.get)
    monkeypatch.setattr("auth0_webhooks.state.health.read_rare_variable", values.get)
    monkeypatch.setattr(variables.TokenVariable, "save", lambda _self, text: values.update(token=text))
    monkeypatch.setattr(variables.TokenVariable, "load", lambda _self: values.get("token"))
    return values


@pytest.fixture
def look(tenant, stored):
    tenant.log_token_requests = False
    return Look(TenantHook(tries=1), ["a_checkpoint", "b_checkpoint"])


def ids(tenant):
    return [log_id for log_id, _, _ in tenant.log()]


def test_the_first_look_begins_at_the_earliest_checkpoint_of_its_routes(tenant, stored, look):
    tenant.add_many(5, types={"s": 1})
    tenant.add("f")
    stored["a_checkpoint"], stored["b_checkpoint"] = ids(tenant)[4], ids(tenant)[3]
    assert look().types == {"s", "f"}


def test_without_a_checkpoint_the_first_look_begins_at_the_newest_event(tenant, look):
    tenant.add_many(5)
    assert look() is None
    tenant.add("f")
    assert look().types == {"f"}


def test_an_event_is_seen_once_and_an_idle_look_costs_one_request(tenant, stored, look):
    tenant.add("s")
    stored["a_checkpoint"] = ids(tenant)[0]
    tenant.add("f")
    assert look().types == {"f"}
    tenant.requests.clear()
    assert [look() for _ in range(3)] == [None] * 3
    assert tenant.requests == {"GET /api/v2/logs": 3}


def test_the_first_event_of_an_empty_log_is_seen(tenant, look):
    assert [look(), look()] == [None, None]
    tenant.add("s")
    assert look() == Seen(many=True)
    assert look() is None


def test_a_backlog_wakes_its_routes_once_and_the_watch_goes_on_from_its_end(tenant, stored, look):
    tenant.add_many(1000)
    stored["a_checkpoint"] = ids(tenant)[0]
    assert look() == Seen(many=True)
    assert look() is None
    tenant.add("f")
    assert look().types == {"f"}


def test_an_expired_cursor_wakes_a_run_which_finds_out(tenant, stored, look):
    tenant.add_many(5)
    stored["a_checkpoint"] = ids(tenant)[0]
    tenant.expire(2)
    assert look() == Seen(many=True)
    assert look() is None


MALFORMED = [
    "last tuesday",
    "",
    "[]",
    '{"log_id": []}',
    '{"log_id": "1", "acknowledged": [null]}',
    '{"log_id": ' + '{"a":' * 100_000,
    "0001-01-01T00:00:00+14:00",
]


@pytest.mark.parametrize("text", MALFORMED, ids=["text", "empty", "list", "id", "acknowledged", "deep", "before all time"])
def test_a_checkpoint_that_is_none_concerns_its_own_route_only(tenant, stored, look, caplog, text):
    tenant.add_many(5, types={"s": 1})
    tenant.add("f")
    stored["a_checkpoint"], stored["b_checkpoint"] = text, ids(tenant)[4]
    assert look().types == {"f"}
    assert "'a_checkpoint'" in caplog.text
    assert "the runs of its route fail until then" in caplog.text


def test_where_no_checkpoint_is_one_the_first_look_begins_at_the_newest_event(tenant, stored, look):
    tenant.add_many(5)
    stored["a_checkpoint"] = stored["b_checkpoint"] = "last tuesday"
    assert look() is None
    tenant.add("f")
    assert look().types == {"f"}


@pytest.fixture
def sealed(stored, monkeypatch):
    """The names of Variables that Airflow cannot read, as after a lost Fernet key or while its API server restarts."""
    names = set()

    def read(key):
        if key in names:
            raise AirflowUnavailableError(f"Variable {key!r} is there but could not be read just now")
        return stored.get(key)

    monkeypatch.setattr(variables, "read_variable", read)
    return names


def test_a_checkpoint_that_cannot_be_read_concerns_its_own_route_only(tenant, stored, look, sealed):
    tenant.add_many(5, types={"s": 1})
    tenant.add("f")
    stored["b_checkpoint"] = ids(tenant)[4]
    sealed.add("a_checkpoint")
    assert look().types == {"f"}


def test_while_no_variable_can_be_read_the_first_look_is_still_to_come(tenant, stored, look, sealed):
    tenant.add_many(5, types={"s": 1})
    stored["a_checkpoint"] = stored["b_checkpoint"] = ids(tenant)[3]
    sealed.update({"a_checkpoint", "b_checkpoint"})
    with pytest.raises(AirflowUnavailableError):
        look()
    sealed.clear()
    assert look().types == {"s"}


def make(route="r", seconds=1.0, **settings):
    return LogWatch(
        **{
            "route": route,
            "auth0_conn_id": "auth0_default",
            "seconds": seconds,
            "log_level": 0,
            "log_types": [],
            "exclude_types": ["sapi"],
            "checkpoint": "r_checkpoint",
            "checkpoints": ["a_checkpoint"],
            **settings,
        }
    )


def at(log_id, date="2026-11-22T10:00:00.000Z"):
    return Position(log_id, date, seen=True)


def fired(seen, **settings):
    """How often a route's watch fires for what the looks have seen."""

    async def stream():
        for one in seen:
            yield one

    async def count():
        return [event async for event in make(**settings).filter_shared_stream(stream())]

    return len(asyncio.run(count()))


def test_only_what_the_route_wants_wakes_it(stored):
    seen = [*(Seen(tuple(events(types))) for types in (["s"], ["sapi"], ["sapi", "f"])), Seen(many=True)]
    assert fired(seen) == 3
    assert fired(seen, log_types=["f"]) == 2
    assert fired(seen, log_level=4) == 1
    assert fired(seen, where="number == `2` && type == 'f'") == 2


def test_a_route_whose_last_live_run_failed_or_is_held_waits_for_its_schedule(stored, monkeypatch):
    monkeypatch.setattr("auth0_webhooks.state.health.Variable.set", lambda key, text, **_: stored.update({key: text}))
    Health("r").note("failed: x", "run")
    assert fired([Seen(many=True)] * 3) == 0
    assert fired([Seen(many=True)] * 3, route="other") == 3
    del stored["r_health"]
    assert fired([Seen(many=True)]) == 1
    Health("r").keep_refused([str(number) for number in range(20)])
    assert fired([Seen(many=True)]) == 0


@pytest.mark.parametrize(
    "text",
    [
        '{"problem": 5, "run_id": "x", "since": "", "told": ""}',
        '{"problem": null, "run_id": "x", "since": "", "told": ""}',
        '{"problem": "failed: x", "run_id": "x", "since": "", "told": "yesterday"}',
        '{"problem": "failed: x", "run_id": "x", "since": "", "told": "", "untold": 5}',
        '{"problem": "failed: x", "run_id": "x", "since": "", "told": "", "untold": [["bad"]]}',
        '{"problem": "failed: x", "run_id": "x", "since": "", "told": "", "aside": "5"}',
        '{"problem": "failed: x", "run_id": "x", "since": "", "told": "", "aside_told": "yesterday"}',
        '{"problem": "failed: x", "run_id": "x", "since": "", "told": "", "stuck": {"log_id": "1", "type": "s", "since": "-"}}',
        '{"problem": "failed: x", "run_id": "x", "since": "", "told": "", "stuck": "1"}',
        '{"problem": "failed: x", "run_id": "x", "since": "", "told": "", "refused": 20}',
        '["failed"]',
        "failed",
        '{"a":' * 100_000,
    ],
    ids=[
        "number",
        "null",
        "time",
        "untold",
        "untold pair",
        "aside",
        "aside time",
        "stuck",
        "stuck text",
        "refused",
        "list",
        "text",
        "deep",
    ],
)
def test_a_health_record_that_is_none_leaves_its_route_woken_and_its_alarm_working(stored, monkeypatch, text):
    monkeypatch.setattr("auth0_webhooks.state.health.Variable.set", lambda key, text, **_: stored.update({key: text}))
    stored["r_health"] = text
    assert fired([Seen(many=True)] * 2) == 2
    assert Health("r").note("failed: x", "run") == [["bad", "failed: x"]]
    assert fired([Seen(many=True)] * 2) == 0


@pytest.mark.parametrize("text", MALFORMED)
def test_a_route_whose_own_checkpoint_is_none_is_watched_on(stored, text):
    stored["r_checkpoint"] = text
    wanted, nothing = Seen(tuple(events(["f"])), upto=at("7")), Seen(upto=at("7"))
    assert fired([nothing, wanted, nothing, nothing, wanted], remind_seconds=0.0) == 2


@pytest.fixture
def runs(monkeypatch):
    """How many runs a route has: what Airflow says is in the live tests."""
    counted = {"r": 0}
    monkeypatch.setattr(watch, "runs_of", counted.get)
    return counted


DAY_OF_LOOKS = 28_800
"""One each 3 seconds, as the default of ``watch`` is."""


def test_a_thousand_looks_with_wanted_events_wake_a_route_once_while_no_run_comes_of_it(stored, runs):
    """As of a DAG that was paused, or while a run is under way for hours."""
    stored["r_checkpoint"] = "5"
    assert fired([Seen(tuple(events(["f"])), upto=at("7"))] * 1000, remind_seconds=1e9) == 1


def test_each_event_that_comes_after_a_run_was_made_wakes_the_next(stored, runs):
    stored["r_checkpoint"] = "5"
    wanted = Seen(tuple(events(["f"])), upto=at("7"))

    def stream():
        for made in [0, 0, 1, 1, 1, 2, 2]:  # the run of the first wake-up, then that of the second
            runs["r"] = made
            yield wanted

    assert fired(stream(), remind_seconds=1e9) == 3


def test_where_airflow_does_not_say_what_became_of_a_wake_up_each_event_wakes(stored, runs):
    runs["r"] = None
    assert fired([Seen(tuple(events(["f"])), upto=at("7"))] * 3, remind_seconds=1e9) == 3


def test_wake_ups_of_which_no_run_comes_are_written_rarely_and_never_end():
    """A paused DAG that is enabled again starts with the next one."""
    wakes, woken = WakeUps(REMIND_SECONDS), []
    for now in range(0, DAY_OF_LOOKS * 3, 3):
        if wakes.is_needed(float(now), runs=7):
            wakes.woke(float(now), runs=7)
            woken.append(now)
    assert woken == list(range(0, 86_400, 30))
    assert wakes.is_needed(float(woken[-1] + 3), runs=8), "a run was made"


def test_a_route_that_was_left_to_its_schedule_is_woken_as_soon_as_it_is_not(stored, runs, monkeypatch):
    monkeypatch.setattr("auth0_webhooks.state.health.Variable.set", lambda key, text, **_: stored.update({key: text}))
    Health("r").note("failed: x", "run")
    wanted = Seen(tuple(events(["f"])), upto=at("7"))

    def stream():
        yield from [wanted] * 3
        del stored["r_health"]
        yield from [wanted] * 3

    assert fired(stream(), remind_seconds=1e9) == 1


def test_a_route_is_woken_again_until_it_has_read_what_it_wants(stored):
    stored["r_checkpoint"] = "5"
    wanted, nothing = Seen(tuple(events(["f"])), upto=at("7")), Seen(upto=at("7"))
    assert fired([wanted, nothing, nothing], remind_seconds=0.0) == 3
    stored["r_checkpoint"] = "7"
    assert fired([wanted, nothing, nothing], remind_seconds=0.0) == 1
    stored["r_checkpoint"] = "5"
    assert fired([wanted, nothing, nothing]) == 1


def test_a_route_whose_checkpoint_cannot_be_read_just_now_is_woken_once_it_can(stored, sealed):
    stored["r_checkpoint"] = "5"
    nothing = Seen(upto=at("7"))

    def stream():
        yield Seen(tuple(events(["f"])), upto=at("7"))
        sealed.add("r_checkpoint")
        yield from [nothing] * 3
        sealed.clear()
        yield nothing

    assert fired(stream(), remind_seconds=0.0) == 2


def test_a_route_that_joins_a_look_under_way_is_woken_if_it_lies_behind(stored):
    """As after a pause: the shared look has long been past its backlog."""
    stored["r_checkpoint"] = "5"
    assert fired([Seen(upto=at("7"))]) == 1
    assert fired([Seen(tuple(events(["sapi"])), upto=at("7"))]) == 1
    stored["r_checkpoint"] = "7"
    assert fired([Seen(upto=at("7")), Seen(tuple(events(["sapi"])), upto=at("8"))]) == 0
    stored["r_checkpoint"] = "2026-11-22T10:00:00Z"
    assert fired([Seen(upto=at("7"))]) == 1
    assert fired([Seen(upto=at("7", "2026-11-22T09:59:59.999Z"))]) == 0
    del stored["r_checkpoint"]
    assert fired([Seen(upto=at("7"))]) == 0, "where it starts is for its first run to find"


def test_routes_on_one_tenant_at_one_pace_share_one_look_and_it_survives_the_triggerer():
    one, other = make("one"), make("other", log_types=["f"], checkpoints=["b_checkpoint"])  # of another file
    assert one.shared_stream_key() == other.shared_stream_key()
    assert one.shared_stream_key() != make("one", auth0_conn_id="auth0_eu").shared_stream_key()
    assert one.shared_stream_key() != make("one", seconds=5.0).shared_stream_key()
    path, kwargs = one.serialize()
    assert path == "auth0_webhooks.triggers.log_watch.LogWatch"
    assert LogWatch(**kwargs).serialize() == one.serialize()


def looks(tenant, monkeypatch, until, trouble=lambda _pauses: None, seconds=0.05):
    """Let the shared look run until it has seen something; returns that, the pauses before it, and the requests."""
    pauses, slept = [], asyncio.sleep
    monkeypatch.setattr(watch.asyncio, "sleep", lambda pause: (pauses.append(pause), trouble(pauses), slept(min(pause, 0.02)))[2])

    async def first():
        async for seen in LogWatch.open_shared_stream(make(seconds=seconds).serialize()[1]):
            if until(seen):
                return seen
        return None

    return asyncio.run(asyncio.wait_for(first(), 60)), pauses


@pytest.mark.parametrize("fault", ["500", "html", "reset", "401", "403", "400", "token 500"])
def test_nothing_that_the_tenant_does_ends_the_watch(tenant, stored, monkeypatch, fault):
    tenant.log_token_requests = False
    tenant.add("s")
    stored["a_checkpoint"] = ids(tenant)[0]
    tenant.fault, tenant.faults_left = fault, 6

    def then(_pauses):
        if tenant.faults_left <= 0:
            tenant.add("f")

    seen, pauses = looks(tenant, monkeypatch, lambda seen: "f" in seen.types, then)
    assert seen.types == {"f"}
    if fault != "400":
        assert max(pauses) > 0.05, "it did not slow down"
    assert max(pauses) <= 60


def test_a_malformed_checkpoint_or_token_stops_no_look_when_the_triggerer_starts_again(tenant, stored, monkeypatch):
    tenant.log_token_requests = False
    tenant.add("s")
    for text in ["last tuesday", "0001-01-01T00:00:00+14:00"]:
        for token in ["no token", "é", "gAAAA", ""]:
            stored["a_checkpoint"], stored["token"] = text, token
            seen, pauses = looks(tenant, monkeypatch, lambda seen: "f" in seen.types, lambda _pauses: tenant.add("f"))
            assert seen.types == {"f"}
            assert max(pauses) <= 1, "it took a fault of one route for one of the tenant"


def test_the_log_is_looked_at_more_often_while_events_come_within_the_watchs_share():
    assert pause_between(3, BUSY_SECONDS - 1, share=0) == 1
    assert pause_between(3, BUSY_SECONDS, share=0) == 3
    assert pause_between(60, 0, share=0) == 20
    assert pause_between(1, 0, share=0) == 1
    assert pause_between(3, 0, share=4.3) == 4.3
    assert pause_between(3, 0, share=600) == LONGEST_PAUSE


def test_a_tenant_that_is_away_for_days_is_looked_for_once_a_minute():
    assert [watch.pause_after(failed, 3.0) for failed in (1, 2, 5, 10_000)] == [6.0, 12.0, 60.0, 60.0]
    assert watch.pause_after(1, 3.0, asked=20.0) == 20.0


def test_a_revoked_token_is_replaced_by_one(tenant, stored, monkeypatch):
    tenant.log_token_requests = False
    tenant.add("s")
    stored["a_checkpoint"] = ids(tenant)[0]
    done = []

    def then(_pauses):
        tenant.revoke_tokens() if not done else tenant.add("f")
        done.append(1)

    assert looks(tenant, monkeypatch, lambda seen: "f" in seen.types, then)[0].types == {"f"}
    assert tenant.requests["POST /oauth/token"] == 2


class EnoughError(Exception):
    """Ends the looks of a test."""


def test_a_rate_limit_that_is_used_up_slows_the_watch_down_and_is_no_fault(tenant, stored, monkeypatch, caplog):
    tenant.log_token_requests = False
    tenant.add("s")
    stored["a_checkpoint"] = ids(tenant)[0]
    tenant.bucket = Bucket(10, 10, 1e9, "window", left=5)
    found = []

    def then(pauses):
        found.append(pauses[-1])
        if len(found) == 4:
            raise EnoughError

    with pytest.raises(EnoughError):
        looks(tenant, monkeypatch, lambda _seen: False, then)
    assert found == [60.0] * 4
    assert tenant.requests["GET /api/v2/logs"] == 2
    assert (tenant.bucket.warned, [record for record in caplog.records if record.levelno > logging.INFO]) == (0, [])


@pytest.mark.parametrize(
    ("bucket", "least", "most"), [((2, 2.0, 1.0), 5.0, 5.0), ((10, 100.0, 60.0), 4.2, 4.3), ((50, 50.0, 1.0), 3.0, 3.0)]
)
def test_the_watch_takes_a_fifth_of_what_reading_may_use_and_slows_down_where_that_is_less_than_its_pace(
    tenant, stored, monkeypatch, bucket, least, most
):
    tenant.log_token_requests = False
    tenant.add("s")
    stored["a_checkpoint"] = ids(tenant)[0]
    tenant.bucket = Bucket(*bucket)

    def then(pauses):
        if len(pauses) == 2:
            tenant.add("f")

    _, pauses = looks(tenant, monkeypatch, lambda seen: "f" in seen.types, then, seconds=3.0)
    assert all(least <= pause <= most for pause in pauses)


def test_the_watch_leaves_most_of_a_window_of_a_minute_to_runs(tenant, stored, monkeypatch):
    tenant.log_token_requests = False
    tenant.add("s")
    stored["a_checkpoint"] = ids(tenant)[0]
    tenant.bucket = Bucket(10, 10, 1e9, "window")
    _, pauses = looks(tenant, monkeypatch, lambda seen: "f" in seen.types, lambda _pauses: tenant.add("f"), seconds=3.0)
    assert pauses[0] == 60.0


def test_the_watchs_own_token_request_wakes_a_route_at_most_once(tenant, stored, monkeypatch):
    tenant.add("s", when=datetime.now(timezone.utc) - timedelta(hours=1))
    stored["a_checkpoint"] = ids(tenant)[0]
    look = Look(TenantHook(token_store=variables.TokenVariable("auth0_default"), tries=1), ["a_checkpoint"])
    found = [look() for _ in range(5)]
    assert [seen.types for seen in found if seen] == [{"seccft"}]


def test_one_try_is_all_that_a_look_makes(tenant, look):
    tenant.fault, tenant.faults_left = "500", 1
    with pytest.raises(TenantUnavailableError):
        look()
