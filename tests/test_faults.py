"""The fault matrix: every way in which a webhook can fail, at every place, and what it costs.

The page docs/guarantees.md is made from what these tests find (``make guarantees`` writes it, the last test here compares it).
"""

from __future__ import annotations

import os
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientTimeout

from auth0_webhooks import delivery as delivery_module
from auth0_webhooks import endpoint as endpoint_module
from auth0_webhooks.checkpoint import Checkpoint
from auth0_webhooks.dead_letters import DeadLetterStore
from auth0_webhooks.errors import WebhookRouteError
from auth0_webhooks.payload import Payload
from auth0_webhooks.route import Route
from demo.receiver import Receiver
from tests.conftest import PROJECT
from tests.factory import Keeper, delivery, events, one_batch

EVENTS = 60
BATCHES = Payload("array", max_events=7)
PLACES = {"first": 0, "middle": 30, "last": EVENTS - 1}
RETRIED = "nothing, where it passes within 60 s: it is tried again. Where it stays: "


@dataclass
class Finding:
    """What the cases of one fault showed, the worst of each."""

    cases: int = 0
    lost: int = 0
    repeats: int = 0
    sees: list[str] = field(default_factory=list)


FINDINGS: dict[str, Finding] = {}

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
    pytest.param(name, answer, passes, place, calls, id=f"{name}, {place}, {calls} calls")
    for name, answer, everywhere, passes in FAULTS
    for place in (PLACES if everywhere else ["middle"])
    for calls in ((1, 5) if everywhere else (5,))
]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch, request):
    monkeypatch.setattr(delivery_module, "RETRY_SECONDS", 0.25)
    monkeypatch.setattr(delivery_module, "FIRST_BACK_OFF", 0.01)
    monkeypatch.setattr(delivery_module, "LONGEST_BACK_OFF", 0.1)
    answer = request.node.callspec.params.get("answer") if hasattr(request.node, "callspec") else None
    monkeypatch.setattr(endpoint_module, "TIMEOUT", ClientTimeout(total=1.5 if answer == "hang" else 30))


def normal(message: str) -> str:
    """An error without what differs from run to run."""
    message = re.sub(r"http://127\.0\.0\.1:\d+|\btest\b", "https://hooks.example.com", message)
    message = re.sub(r"900\d{53}", "900...", message)
    message = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "2026-11-22T...Z", message)
    message = re.sub(r"no answer within \d+ s", "no answer within 30 s", re.sub(r"try \d+", "try N", message))
    return message.replace("tried again for 0 s", "tried again for 60 s")


def deliver_until_done(
    name: str, receiver: Receiver, mend: Callable[[], None], calls: int, url: str | None = None, **settings: Any
):
    """Run, mend what is broken when it fails, run again as the clock would; then count."""
    made, keeper = events(EVENTS), Keeper()
    finding = FINDINGS.setdefault(name, Finding())
    finding.cases += 1
    for attempt in range(3):
        if keeper.stored and keeper.stored.hold:
            keeper.stored = Checkpoint(keeper.stored.position, keeper.stored.acknowledged)  # the operator lifts the hold
        try:
            delivery(url if url and attempt == 0 else receiver.url, keeper, made, concurrent_calls=calls, **settings).run(
                lambda: [one_batch(made)]
            )
        except WebhookRouteError as error:
            if (message := normal(str(error))) not in finding.sees:
                finding.sees.append(message)
            mend()
        else:
            break
    accepted = set(receiver.accepted)
    finding.lost = max(finding.lost, EVENTS - len(accepted))
    finding.repeats = max(finding.repeats, receiver.repeats)
    assert accepted == {event.log_id for event in made}
    assert receiver.repeats == 0
    assert keeper.stored == Checkpoint(made[-1].position)


@pytest.mark.parametrize(("name", "answer", "passes", "place", "calls"), CASES)
def test_a_fault_that_stays_until_it_is_mended_loses_and_repeats_nothing(receiver, name, answer, passes, place, calls):
    bad = events(EVENTS)[PLACES[place]].log_id
    broken = [True]
    receiver.behave = lambda post: answer if broken and post.log_id == bad else 200
    deliver_until_done(name, receiver, broken.clear, calls)


@pytest.mark.parametrize(("name", "answer", "passes", "place", "calls"), [case for case in CASES if case.values[4] == 5])
def test_a_fault_of_a_batch_loses_and_repeats_nothing_either(receiver, name, answer, passes, place, calls):
    bad = events(EVENTS)[PLACES[place]].log_id
    broken = [True]
    receiver.behave = lambda post: answer if broken and bad in post.log_ids else 200
    deliver_until_done(name, receiver, broken.clear, calls, payload=BATCHES)


@pytest.mark.parametrize(("name", "answer", "passes", "place", "calls"), [case for case in CASES if case.values[2]])
def test_a_fault_that_passes_is_not_seen_at_all(receiver, name, answer, passes, place, calls):
    bad, left = events(EVENTS)[PLACES[place]].log_id, [1, 1]
    receiver.behave = lambda post: answer if post.log_id == bad and left and left.pop() else 200
    monkey = delivery_module.RETRY_SECONDS
    delivery_module.RETRY_SECONDS = 10.0
    try:
        deliver_until_done(name, receiver, lambda: pytest.fail("it was seen"), calls)
    finally:
        delivery_module.RETRY_SECONDS = monkey


@pytest.mark.parametrize("payload", [Payload(), BATCHES], ids=["single", "batches"])
@pytest.mark.parametrize("calls", [1, 5])
@pytest.mark.parametrize("place", PLACES)
def test_a_refused_event_that_is_set_aside_holds_up_nothing(receiver, place, calls, payload, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    store = DeadLetterStore(Route(name="r", on_reject="dead_letter", dead_letter_path=str(tmp_path)))
    made, keeper = events(EVENTS), Keeper()
    bad = made[PLACES[place]].log_id
    receiver.behave = lambda post: 422 if bad in post.log_ids else 200
    delivery(receiver.url, keeper, made, payload=payload, concurrent_calls=calls, dead_letters=store).run(
        lambda: [one_batch(made)]
    )
    finding = FINDINGS.setdefault("422 with on_reject: dead_letter", Finding())
    finding.cases += 1
    assert {letter.log_id for letter, _ in store.letters()} | set(receiver.accepted) == {event.log_id for event in made}
    assert receiver.repeats == 0
    if not finding.sees:
        finding.sees.append("the event under dead letters, in the report and in the DAG auth0_webhook_dead_letters")


def a_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("calls", [1, 5])
def test_an_endpoint_that_refuses_connections_until_it_is_started(calls):
    receiver = Receiver(a_port())
    try:
        deliver_until_done("connection refused", receiver, receiver.start, calls)
    finally:
        receiver.stop()


@pytest.mark.parametrize("calls", [1, 5])
def test_an_endpoint_that_resets_connections_before_it_reads(calls):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

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
        receiver = Receiver()
        with receiver.running():
            url = f"http://127.0.0.1:{port}"
            deliver_until_done("connection reset before the request was read", receiver, lambda: None, calls, url=url)
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("name", "url"), [("TLS failure", "https://127.0.0.1:{port}"), ("DNS failure", "http://no-such-host.invalid:{port}")]
)
def test_an_address_that_cannot_be_reached_until_it_is_mended(receiver, name, url):
    deliver_until_done(name, receiver, lambda: None, 5, url=url.format(port=receiver.port))


@pytest.mark.parametrize("calls", [1, 5])
def test_a_receiver_that_restarts_in_the_middle(receiver, calls):
    restarted = []

    def behave(_post):
        if len(receiver.posts) == 30 and not restarted:
            restarted.append(threading.Thread(target=lambda: (receiver.stop(), receiver.start())))
            restarted[0].start()
            return "reset"
        return 200

    receiver.behave = behave
    delivery_module.RETRY_SECONDS = 20.0
    deliver_until_done("receiver restarts", receiver, lambda: pytest.fail("it was seen"), calls)
    restarted[0].join()


BOUND = "at most 100 + `concurrent_calls`"
LIVE = {
    # What tests/live shows on a running Airflow: (fault, repeats, what the operator sees).
    "test_a_deliver_task_that_is_killed_repeats_at_most_what_was_not_saved": (
        "SIGKILL of the task",
        BOUND,
        "a failed try; the retry goes on from the checkpoint",
    ),
    "test_a_scheduler_that_is_killed_in_mid_delivery_costs_at_most_the_bound": (
        "SIGKILL of the scheduler, with its executor and tasks",
        BOUND,
        "after the restart the run is taken up, or the next run sends the rest",
    ),
    "test_an_api_server_that_is_killed_in_mid_delivery_costs_at_most_the_bound": (
        "SIGKILL of the API server",
        BOUND,
        "the task waits for the API server to come back, or fails saying that the checkpoint cannot be saved",
    ),
    "test_a_locked_database_in_mid_delivery_costs_at_most_the_bound": (
        "database locked",
        BOUND,
        "slow saves; where they fail, a failed try and a retry",
    ),
    "test_a_worker_that_was_thought_dead_and_comes_back_does_no_harm": (
        "worker frozen, thought dead, and back",
        BOUND,
        "a second try that goes on; the first one ends",
    ),
    "test_a_task_that_is_failed_in_the_ui_ends_cleanly_and_counts_what_it_sent": (
        "task marked failed in the UI",
        "0",
        "the report: what was sent and what was not reached; the next run sends the rest",
    ),
}


def as_page() -> str:
    """The page, from what the tests of this file found."""
    rows = []
    for name, finding in FINDINGS.items():
        # Faults of the whole endpoint stay until someone mends them; those in the table may be of one event.
        passes = name not in {fault[0] for fault in FAULTS} or any(fault[0] == name and fault[3] for fault in FAULTS)
        sees = finding.sees[0] if finding.sees else "nothing: it is delivered"
        if passes and "tried again" in sees:
            sees = RETRIED + sees
        rows.append(f"| {name} | {finding.lost} | {finding.repeats} | {sees} |")
    rows += [f"| {name} | 0 | {repeats} | {sees} |" for name, repeats, sees in LIVE.values()]
    cases = sum(finding.cases for finding in FINDINGS.values())
    return "\n".join(
        [
            "# Guarantees, fault by fault",
            "",
            f"Made from the test run (`make guarantees`): {cases} cases over real HTTP in `tests/test_faults.py`, each",
            "distinct outcome at the first, a middle and the last event with 1 and with 5 concurrent calls, and all of them",
            "once more with batches; the last rows on a running Airflow in `tests/live`, with one event a POST. For batches",
            "their bound is 100 + `concurrent_calls` x `max_events`, never more than 600 (`tests/test_payload.py` kills such a",
            "delivery). A repeat is an event that the webhook acknowledged with 2xx and was sent again all the same. An event",
            "whose acknowledgement never came is sent again: nobody can know whether the webhook took it in.",
            "Drop what you have seen before by its `webhook-id`.",
            "",
            "| fault | events lost | repeats | what the operator sees |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def test_the_page_in_the_docs_is_what_these_tests_found(request):
    names = {fault[0] for fault in FAULTS}
    if not names <= FINDINGS.keys():
        pytest.skip("only with the whole file")
    live = (PROJECT / "tests" / "live" / "test_live.py").read_text(encoding="utf-8")
    assert [test for test in LIVE if f"def {test}(" not in live] == []
    page = PROJECT / "docs" / "guarantees.md"
    if os.environ.get("WRITE_DOCS"):
        page.write_text(as_page(), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == as_page()
