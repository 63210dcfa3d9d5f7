"""The fault matrix: every way in which a webhook can fail, at every place, and what it costs.

test_guarantees.py makes the page docs/guarantees.md from one case of each fault.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from auth0_webhooks.errors import WebhookRouteError
from auth0_webhooks.model.checkpoint import Checkpoint
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state.dead_letters import DeadLetterStore
from auth0_webhooks.waits import Waits
from simulation.receiver import Receiver
from tests.support.factory import Keeper, delivery, one_batch
from tests.support.shapes import shaped_events

pytestmark = pytest.mark.slow

EVENTS = 60
LOGINS = ["s"] * EVENTS
BATCHES = Payload("array", max_events=7)
PLACES = {"first": 0, "middle": 30, "last": EVENTS - 1}
SHORT = Waits(post_retries=0.05, first_back_off=0.01, longest_back_off=0.1)
HANGS = 5.0
"""Seconds after which a POST without an answer is given up, in the tests of just that: no busy machine takes so long."""
LONG = replace(SHORT, post_retries=30.0)


# Name, answer, whether it is one of the distinct outcomes (tried at every place with 1 and with 5 calls), whether it may pass.
FAULTS: list[tuple[str, Any, bool, bool]] = [
    ("connection closed after the request was read", "reset", True, True),
    ("time-out", "hang", True, True),
    ("500", 500, True, True),
    ("502", 502, False, True),
    ("503", 503, False, True),
    ("503 with a short Retry-After", (503, {"Retry-After": "0"}), True, True),
    ("503 with a long Retry-After", (503, {"Retry-After": "600"}), True, False),
    ("504", 504, False, True),
    ("408", 408, False, True),
    ("408 with a short Retry-After", (408, {"Retry-After": "0"}), False, True),
    ("425", 425, False, True),
    ("425 with a long Retry-After", (425, {"Retry-After": "600"}), False, False),
    ("429", 429, True, True),
    ("429 with a short Retry-After", (429, {"Retry-After": "0"}), False, True),
    ("429 with a long Retry-After", (429, {"Retry-After": "600"}), False, False),
    ("410", 410, True, False),
    ("301", 301, False, False),
    ("302", 302, True, False),
    ("401", 401, True, False),
    ("403", 403, False, False),
    ("404", 404, False, False),
    ("400", 400, True, False),
    ("413", 413, False, False),
    ("422", 422, False, False),
    ("half an answer after 200", "half", True, True),
    ("slow answer", ("slow", 0.15), True, True),
]
CASES = [
    pytest.param(answer, place, calls, id=f"{name}, {place}, {calls} calls")
    for name, answer, everywhere, _ in FAULTS
    for place in (PLACES if everywhere else ["middle"])
    for calls in ((1, 5) if everywhere else (5,))
    if answer != "hang"  # they take seconds, and have a test of their own
]
PASSING = [case for case in CASES if case.values[0] in [answer for _, answer, _, passes in FAULTS if passes]]


def normal(message: str) -> str:
    """An error without what differs from run to run."""
    message = re.sub(r"http://127\.0\.0\.1:\d+|\btest\b", "https://hooks.example.com", message)
    message = re.sub(r"900\d{53}", "900...", message)
    message = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "2026-11-22T...Z", message)
    message = re.sub(r"no answer within \d+ s", "no answer within 30 s", re.sub(r"try \d+", "try N", message))
    return message.replace("retried for 0 s", "retried for 60 s")


def deliver_until_done(
    receiver: Receiver, fix: Callable[[], object], calls: int, url: str | None = None, waits: Waits = SHORT, **settings: Any
) -> list[str]:
    """Run, repair what is broken when it fails, run again as the schedule would; returns what the operator sees of it."""
    made, keeper, sees = shaped_events(LOGINS), Keeper(), []
    for attempt in range(3):
        if keeper.stored and keeper.stored.hold:
            keeper.stored = Checkpoint(keeper.stored.position, keeper.stored.acknowledged)  # the operator lifts the hold
        try:
            sent_to = url if url and attempt == 0 else receiver.url
            delivery(sent_to, keeper, made, concurrent_calls=calls, waits=waits, **settings).run(lambda: [one_batch(made)])
        except WebhookRouteError as error:
            sees.append(normal(str(error)))
            fix()
        else:
            break
    assert set(receiver.accepted) == {event.log_id for event in made}
    assert receiver.repeats == 0
    assert keeper.stored == Checkpoint(made[-1].position)
    return sees


def until_fixed(receiver: Receiver, answer: Any, place: str, calls: int, **settings: Any) -> list[str]:
    """The event at this place gets this answer until someone repairs the webhook."""
    bad, broken = shaped_events(LOGINS)[PLACES[place]].log_id, [True]
    receiver.behave = lambda post: answer if broken and bad in post.log_ids else 200
    waits = replace(SHORT, answer=HANGS) if answer == "hang" else SHORT
    return deliver_until_done(receiver, broken.clear, calls, waits=waits, **settings)


@pytest.mark.parametrize(("answer", "place", "calls"), CASES)
def test_a_fault_that_stays_until_it_is_fixed_loses_and_repeats_nothing(receiver, answer, place, calls):
    until_fixed(receiver, answer, place, calls)


@pytest.mark.parametrize(("answer", "place", "calls"), [case for case in CASES if case.values[2] == 5])
def test_a_fault_of_a_batch_loses_and_repeats_nothing_either(receiver, answer, place, calls):
    until_fixed(receiver, answer, place, calls, payload=BATCHES)


def passes(receiver: Receiver, answer: Any, place: str, calls: int) -> None:
    """The event at this place gets this answer twice, which nobody gets to see."""
    bad, left = shaped_events(LOGINS)[PLACES[place]].log_id, [1, 1]
    receiver.behave = lambda post: answer if post.log_id == bad and left and left.pop() else 200
    waits = replace(LONG, answer=HANGS) if answer == "hang" else LONG
    deliver_until_done(receiver, lambda: pytest.fail("it was seen"), calls, waits=waits)


@pytest.mark.parametrize(("answer", "place", "calls"), PASSING)
def test_a_fault_that_passes_is_not_seen_at_all(receiver, answer, place, calls):
    passes(receiver, answer, place, calls)


@pytest.mark.parametrize("payload", [Payload(), BATCHES], ids=["single", "batches"])
@pytest.mark.parametrize("calls", [1, 5])
@pytest.mark.parametrize("place", PLACES)
def test_a_refused_event_that_is_set_aside_holds_up_nothing(receiver, place, calls, payload, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    store = DeadLetterStore(Route(name="r", on_reject="dead_letter", dead_letter_path=str(tmp_path)))
    made, keeper = shaped_events(LOGINS), Keeper()
    bad = made[PLACES[place]].log_id
    receiver.behave = lambda post: 422 if bad in post.log_ids else 200
    delivery(receiver.url, keeper, made, payload=payload, concurrent_calls=calls, dead_letters=store).run(
        lambda: [one_batch(made)]
    )
    assert {letter.log_id for letter, _ in store.letters()} | set(receiver.accepted) == {event.log_id for event in made}
    assert receiver.repeats == 0


def refuses_everything(receiver: Receiver, calls: int, **settings: Any) -> list[str]:
    """The webhook refuses all from the middle on, until someone repairs it; returns what the operator sees of it."""
    broken = [True]
    receiver.behave = lambda _post: 400 if broken and len(receiver.posts) > 5 else 200
    return deliver_until_done(receiver, broken.clear, calls, dead_letters=NothingIsSetAside(), **settings)


class NothingIsSetAside:
    """Where no event may arrive."""

    def put(self, event: Any, _answer: Any, _tries: int) -> None:
        pytest.fail(f"{event.log_id} was set aside")


@pytest.mark.parametrize("settings", [{}, {"payload": BATCHES}], ids=["single", "batches"])
@pytest.mark.parametrize("calls", [1, 5])
def test_a_webhook_that_refuses_everything_until_it_is_repaired_has_nothing_set_aside(receiver, calls, settings):
    (seen,) = refuses_everything(receiver, calls, **settings)
    assert "like the 19 before it" in seen


def a_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refuses_connections(calls: int) -> list[str]:
    receiver = Receiver(a_port())
    try:
        return deliver_until_done(receiver, receiver.start, calls)
    finally:
        receiver.stop()


def resets_connections(calls: int) -> list[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener, Receiver().running() as receiver:

        def reset() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                # No lingering: the close becomes a reset.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

        threading.Thread(target=reset, daemon=True).start()
        sees = deliver_until_done(receiver, lambda: None, calls, url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)
        return sees


def cannot_be_reached(url: str, calls: int) -> list[str]:
    with Receiver().running() as receiver:
        return deliver_until_done(receiver, lambda: None, calls, url=url.format(port=receiver.port))


def restarts(calls: int) -> list[str]:
    restarted: list[threading.Thread] = []
    with Receiver().running() as receiver:

        def behave(_post: Any) -> Any:
            if len(receiver.posts) == 30 and not restarted:
                restarted.append(threading.Thread(target=lambda: (receiver.stop(), receiver.start())))
                restarted[0].start()
                return "reset"
            return 200

        receiver.behave = behave
        sees = deliver_until_done(receiver, lambda: pytest.fail("it was seen"), calls, waits=LONG)
        restarted[0].join()
        return sees


ENDPOINT_FAULTS: dict[str, Callable[[int], list[str]]] = {
    "connection refused": refuses_connections,
    "connection reset before the request was read": resets_connections,
    "TLS failure": lambda calls: cannot_be_reached("https://127.0.0.1:{port}", calls),
    "DNS failure": lambda calls: cannot_be_reached("http://no-such-host.invalid:{port}", calls),
    "receiver restarts": restarts,
}


@pytest.mark.parametrize("calls", [1, 5])
@pytest.mark.parametrize("name", ENDPOINT_FAULTS)
def test_a_fault_of_the_whole_endpoint_loses_and_repeats_nothing(name, calls):
    ENDPOINT_FAULTS[name](calls)
