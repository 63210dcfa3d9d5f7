"""Delivery against a model of a webhook, driven by hypothesis: faults, crashes, late saves and rewinds, in any order.

EXAMPLES=1000 in the environment tries as many sequences.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from auth0_webhooks.delivery.delivery import Delivery
from auth0_webhooks.delivery.refusals import MOST_REFUSED
from auth0_webhooks.errors import AirflowUnavailableError, WebhookRouteError
from auth0_webhooks.model.checkpoint import Checkpoint, before, parse_checkpoint
from auth0_webhooks.model.events import LogEvent
from auth0_webhooks.payload.payload import MOST_EVENTS, Payload
from auth0_webhooks.state import variables
from auth0_webhooks.waits import Waits
from auth0_webhooks.webhook.answers import Answer
from tests.support.factory import START, most_repeated, one_batch
from tests.support.shapes import shaped_events
from tests.support.variables import StoredVariables

ANSWERS = [None, 200, 204, 302, 400, 401, 408, 410, 413, 422, 429, 500, 503]
PAYLOADS = [Payload(), Payload("array", max_events=7), Payload("lines"), Payload("array", max_bytes=10_000)]
CALLS = st.sampled_from([1, 5, 20])
KEY, RECORD = "r_checkpoint", "r_checkpoint_writer"


class ModelEndpoint:
    """A webhook that answers as told and remembers what it accepted."""

    name = "model"

    def __init__(self):
        self.accepted: list[str] = []
        self.started: list[str] = []
        self.faults: dict[int, int | None] = {}
        self.kill_at = -1
        self.dead = False
        self.posts = 0
        self.chance = random.Random(1)

    @contextlib.asynccontextmanager
    async def session(self, _calls):
        yield None

    async def post(self, _session, message):
        if self.dead:
            return Answer(None, "the process is gone")
        self.posts += 1
        number = self.posts
        self.started.extend(message.log_ids)
        for _ in range(self.chance.randrange(3)):
            await asyncio.sleep(0)
        if self.dead:
            return Answer(None, "the process is gone")
        status = self.faults.get(number, 200)
        if status is not None and 200 <= status < 300:
            self.accepted.extend(message.log_ids)
        if number == self.kill_at:
            self.dead = True  # nothing that the process does from here on has an effect
        return Answer(status, "model")


class MortalVariables(StoredVariables):
    """Variables whose writes may fail, that a dead process cannot reach, and that one frozen in a write reaches later."""

    def __init__(self, endpoint):
        super().__init__()
        self.endpoint = endpoint
        self.writes, self.fail_at, self.freeze_at = 0, -1, -1

    def get(self, key):
        if self.endpoint.dead:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))
        return super().get(key)

    def set(self, key, value, description=None):
        self.writes += not self.endpoint.dead
        if self.writes == self.freeze_at and not self.endpoint.dead:
            self.late.append((key, value))
            self.endpoint.dead = True  # by the time that it goes on, others have taken over
        if self.endpoint.dead or self.writes == self.fail_at:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))
        self.values[key] = value

    def land(self):
        """What a frozen process was writing arrives."""
        for key, value in self.late:
            self.values[key] = value
        self.late = []


class MortalLetters:
    """A place for dead letters that a dead process cannot reach."""

    def __init__(self, endpoint):
        self.endpoint, self.log_ids, self.in_a_row = endpoint, set(), 0

    def put(self, event, _answer, _tries):
        if self.endpoint.dead:
            raise AirflowUnavailableError("the process is gone")
        self.in_a_row += event.log_id not in self.log_ids
        self.log_ids.add(event.log_id)


class MortalRow:
    """What is kept of refusals, which a dead process cannot reach."""

    def __init__(self, endpoint):
        self.endpoint, self.log_ids = endpoint, ()

    def load(self):
        return self.log_ids

    def save(self, log_ids):
        if self.endpoint.dead:
            raise AirflowUnavailableError("the process is gone")
        self.log_ids = tuple(log_ids)


class DeliveryMachine(RuleBasedStateMachine):
    """What may happen to a route, and what must hold all the same."""

    def __init__(self):
        super().__init__()
        self.endpoint = ModelEndpoint()
        self.variables = MortalVariables(self.endpoint)
        self.backups: list[str] = []
        self.log: list[LogEvent] = []
        self.allowed_repeats = 0
        self.letters, self.row = MortalLetters(self.endpoint), MortalRow(self.endpoint)

    def teardown(self):
        self.variables.land()
        self.run(calls=5)
        assert set(self.endpoint.accepted) | self.letters.log_ids == {event.log_id for event in self.log}, "an event is lost"

    def keeper(self):
        """The checkpoint's keeper of another try."""
        return variables.CheckpointVariable(KEY, description="model", saved_by="model", reread_seconds=0.0)

    def run(self, *how, **settings):
        """One run, as fetch and filter would hand it on."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(variables, "Variable", self.variables)
            self.run_here(*how, **settings)
        self.endpoint.faults, self.endpoint.kill_at, self.endpoint.dead = {}, -1, False
        self.variables.fail_at = self.variables.freeze_at = -1
        if (saved := self.variables.values.get(KEY)) and "sum" in saved:
            self.backups.append(saved)

    def run_here(self, calls, size=1000, payload=PAYLOADS[0], *, sets_aside=False):
        if (stored := self.keeper().load()) and stored.hold:
            stored = Checkpoint(stored.position, stored.acknowledged)
            self.variables.values[KEY] = stored.dump()  # as a person lifts it
        start = stored.position if stored else START
        unread = [event for event in self.log if before(start, event.position)]
        if unread:
            self.deliver(unread, stored, start, calls, size, payload, sets_aside)

    def deliver(self, unread, stored, start, calls, size, payload, sets_aside):
        keeper = self.keeper()
        delivery = Delivery(
            self.endpoint,
            keeper,
            start=start,
            end=unread[-1].position,
            first=stored is None,
            payload=payload,
            concurrent_calls=calls,
            dead_letters=self.letters if sets_aside else None,
            refusals=self.row,
            suspect=unread[0].log_id if sets_aside else None,
            waits=Waits(post_retries=0.02, first_back_off=0.001),
        )
        started = len(self.endpoint.started)
        with contextlib.suppress(WebhookRouteError):
            delivery.run(lambda: [one_batch(unread[at : at + size]) for at in range(0, len(unread), size)])
        keeper.close()
        if calls == 1:
            order = list(dict.fromkeys(self.endpoint.started[started:]))
            assert order == sorted(order), "one call at a time keeps the order"

    @rule(count=st.integers(1, 900))
    def log_events(self, count):
        self.log_events_of(count)

    def log_events_of(self, count):
        new = shaped_events(count, first=len(self.log) + 1)
        if self.log:
            new[0] = new[0]._replace(previous=self.log[-1].position)
        self.log += new

    def allow_a_crash(self, calls, payload):
        in_one_post = 1 if payload.form == "event" else payload.max_events
        self.allowed_repeats += most_repeated(calls, in_one_post)

    @rule(calls=CALLS, size=st.sampled_from([7, 100, 1000]), payload=st.sampled_from(PAYLOADS))
    def run_well(self, calls, size, payload):
        self.run(calls, size, payload)

    @rule(
        calls=CALLS,
        faults=st.dictionaries(st.integers(1, 60), st.sampled_from(ANSWERS), max_size=8),
        payload=st.sampled_from(PAYLOADS),
    )
    def run_with_faults(self, calls, faults, payload):
        self.endpoint.faults = {self.endpoint.posts + number: status for number, status in faults.items()}
        self.run(calls, payload=payload)

    @rule(
        calls=CALLS,
        faults=st.dictionaries(st.integers(1, 60), st.sampled_from(ANSWERS), max_size=20),
        payload=st.sampled_from(PAYLOADS),
        kill_at=st.one_of(st.just(-1), st.integers(1, 60)),
    )
    def run_with_faults_and_set_aside(self, calls, faults, payload, kill_at):
        self.endpoint.faults = {self.endpoint.posts + number: status for number, status in faults.items()}
        if kill_at > 0:
            self.endpoint.kill_at = self.endpoint.posts + kill_at
            self.allow_a_crash(calls, payload)
        self.run(calls, payload=payload, sets_aside=True)

    @rule(
        calls=CALLS,
        status=st.sampled_from([400, 402, 422]),
        runs=st.integers(1, 4),
        size=st.sampled_from([3, 7, 1000]),
        payload=st.sampled_from(PAYLOADS),
        kill_at=st.one_of(st.just(-1), st.integers(1, 60)),
    )
    def refuse_everything(self, calls, status, runs, size, payload, kill_at):
        self.letters.in_a_row = 0
        for _ in range(runs):
            self.log_events_of(count=10)
            self.endpoint.faults = {self.endpoint.posts + number: status for number in range(1, 3000)}
            self.endpoint.kill_at = self.endpoint.posts + kill_at
            self.run(calls, size, payload, sets_aside=True)
            assert self.letters.in_a_row < MOST_REFUSED

    @rule(calls=CALLS, at=st.integers(1, 800), payload=st.sampled_from(PAYLOADS))
    def run_and_be_killed(self, calls, at, payload):
        self.endpoint.kill_at = self.endpoint.posts + at
        self.allow_a_crash(calls, payload)
        self.run(calls, payload=payload)

    @rule(calls=CALLS, at=st.integers(1, 8), payload=st.sampled_from(PAYLOADS))
    def run_and_fail_to_save(self, calls, at, payload):
        self.variables.fail_at = self.variables.writes + at
        self.allow_a_crash(calls, payload)
        self.run(calls, payload=payload)

    @rule(calls=CALLS, at=st.integers(1, 8), payload=st.sampled_from(PAYLOADS))
    def run_and_be_frozen_in_a_save(self, calls, at, payload):
        self.variables.land()  # one at a time
        self.variables.freeze_at = self.variables.writes + at
        self.allow_a_crash(calls, payload)
        self.run(calls, payload=payload)

    @rule()
    def a_late_save_arrives(self):
        self.variables.land()

    def allow_all_after(self, place):
        self.allowed_repeats += sum(before(place, event.position) for event in self.log) + MOST_EVENTS

    @rule(back=st.integers(1, 100))
    def rewind_by_hand(self, back):
        stored = self.stored(KEY)
        if stored and stored.position.log_id:
            at = self.log[max(0, int(stored.position.log_id[20:]) - back)].position
            self.variables.values[KEY] = at.log_id
            self.allow_all_after(at)

    @rule(chance=st.randoms(use_true_random=False), said=st.sampled_from([None, "page", "record deleted"]))
    def restore_an_older_checkpoint(self, chance, said):
        """It costs nothing until a person says that it counts."""
        self.variables.land()
        if not self.backups or RECORD not in self.variables.values:
            return
        text = chance.choice(self.backups)
        self.variables.values[KEY] = text
        if said == "page":
            self.variables.values[KEY] = json.dumps({key: value for key, value in json.loads(text).items() if key != "sum"})
        elif said == "record deleted":
            del self.variables.values[RECORD]
        if said:
            self.allow_all_after(parse_checkpoint(text, key=KEY).position)

    def stored(self, key):
        text = self.variables.values.get(key)
        return parse_checkpoint(text, key=key) if text else None

    @invariant()
    def the_checkpoint_is_never_ahead_of_an_unacknowledged_event(self):
        accepted = set(self.endpoint.accepted)
        for stored in filter(None, (self.stored(KEY), self.stored(RECORD))):
            passed = {event.log_id for event in self.log if not before(stored.position, event.position)}
            assert passed | set(stored.acknowledged) <= accepted | self.letters.log_ids
            assert len(stored.acknowledged) <= MOST_EVENTS
            assert len(stored.dump()) < 40_000

    @invariant()
    def repeats_stay_within_the_bound(self):
        assert len(self.endpoint.accepted) - len(set(self.endpoint.accepted)) <= self.allowed_repeats


TestDelivery = DeliveryMachine.TestCase
TestDelivery.settings = settings(max_examples=int(os.environ.get("EXAMPLES", "60")), stateful_step_count=12, deadline=None)
