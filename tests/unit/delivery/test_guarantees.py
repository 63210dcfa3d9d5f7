"""The page docs/guarantees.md: one case of each fault makes it (``make guarantees`` writes it). And the faults that take long."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from simulation.receiver import Receiver
from tests.conftest import PROJECT
from tests.unit.delivery.test_faults import BATCHES, ENDPOINT_FAULTS, FAULTS, PLACES, passes, refuses_everything, until_fixed

pytestmark = pytest.mark.slow

RETRIED = "nothing if it ends within 60 s, because the POST is retried. If it lasts: "


def test_time_outs_lose_and_repeat_nothing_wherever_they_are():
    """All at once, because each case mostly waits."""

    def case(way: Any, place: str, calls: int, settings: dict[str, Any]) -> None:
        with Receiver().running() as receiver:
            way(receiver, "hang", place, calls, **settings)

    ways = [
        (until_fixed, 1, {}),
        (until_fixed, 5, {}),
        (until_fixed, 5, {"payload": BATCHES}),
        (passes, 1, {}),
        (passes, 5, {}),
    ]
    with ThreadPoolExecutor(len(ways) * len(PLACES)) as pool:
        running = [pool.submit(case, way, place, calls, settings) for way, calls, settings in ways for place in PLACES]
    for each in running:
        each.result()


NEVER_PASSES = (
    "failed runs, with an alarm; after 10 of them and 6 hours, and once a later event is accepted, the event under dead letters"
)
BOUND = "at most 500 + `concurrent_calls`"
LIVE = {
    # What tests/live shows on a running Airflow: (fault, repeats, what the operator sees).
    "test_a_deliver_task_that_is_killed_repeats_at_most_what_was_not_saved": (
        "SIGKILL of the task",
        BOUND,
        "a failed try; the retry continues from the checkpoint",
    ),
    "test_a_scheduler_that_is_killed_in_mid_delivery_costs_at_most_the_bound": (
        "SIGKILL of the scheduler, with its executor and tasks",
        BOUND,
        "after the restart the run continues, or the next run sends the rest",
    ),
    "test_an_api_server_that_is_killed_in_mid_delivery_costs_at_most_the_bound": (
        "SIGKILL of the API server",
        BOUND,
        "the task waits for the API server to come back, or fails because the checkpoint cannot be saved",
    ),
    "test_a_locked_database_in_mid_delivery_costs_at_most_the_bound": (
        "database locked",
        BOUND,
        "slow saves; if they fail, a failed try and a retry",
    ),
    "test_a_worker_that_was_thought_dead_and_comes_back_does_no_harm": (
        "worker frozen, believed dead, and back",
        BOUND,
        "a second try that continues; the first one ends",
    ),
    "test_a_task_that_is_failed_in_the_ui_ends_cleanly_and_counts_what_it_sent": (
        "task marked failed in the UI",
        "0",
        "the report: what was sent and what was not reached; the next run sends the rest",
    ),
}
PROCESSES = {
    # What tests/unit shows with a process, an HTTP server and a database, without Airflow.
    "test_a_worker_that_is_frozen_in_a_save_loses_nothing_and_costs_at_most_the_bound": (
        "worker frozen in the middle of a save of the checkpoint, believed dead, and back",
        BOUND,
        "a second try that continues; the first one ends; the next run's notes name the late save, which it does not use",
    ),
}


def seen(name: str, answer: Any) -> list[str]:
    """What the operator sees of one fault."""
    if name in ENDPOINT_FAULTS:
        return ENDPOINT_FAULTS[name](5)
    with Receiver().running() as receiver:
        return until_fixed(receiver, answer, "middle", 1)


def as_page() -> str:
    """The page, made from one case of each fault. The other tests assert for every case that no event is lost or repeated."""
    faults = {name: (answer, passes) for name, answer, _, passes in FAULTS}
    faults |= dict.fromkeys(ENDPOINT_FAULTS, (None, True))
    with ThreadPoolExecutor(8) as pool:
        found = list(zip(faults, pool.map(seen, faults, [answer for answer, _ in faults.values()]), strict=True))
    rows = []
    for name, messages in found:
        sees = messages[0] if messages else "nothing: the event is delivered"
        if "retried for" in sees and faults[name][1]:
            sees = RETRIED + sees
        rows.append(f"| {name} | 0 | 0 | {sees} |")
    set_aside = "the event under dead letters, in the report and in the DAG auth0_webhook_dead_letters"
    rows.append(f"| 422 with on_reject: dead_letter | 0 | 0 | {set_aside} |")
    with Receiver().running() as receiver:
        (sees,) = refuses_everything(receiver, 1)
    rows.append(f"| 400 to every event, with on_reject: dead_letter | 0 | 0 | {sees} |")
    rows.append(f"| 5xx or a time-out for one event, forever, with on_reject: dead_letter | 0 | 0 | {NEVER_PASSES} |")
    rows += [f"| {name} | 0 | {repeats} | {sees} |" for name, repeats, sees in [*LIVE.values(), *PROCESSES.values()]]
    rows.append(
        "| a task cleared or marked, alone or with others, or its XCom deleted, at any time | 0 | 0; a replay or backfill is "
        "sent again if its events have changed | a failed task that says what to clear; a live route's next run sends "
        "the rest |"
    )
    return "\n".join(
        [
            "# Guarantees, fault by fault",
            "",
            (
                "`make guarantees` writes this page from a test run. `tests/unit/delivery/test_faults.py` tries every fault over "
                "real HTTP: each distinct outcome at the first, a middle and the last event, with 1 and with 5 concurrent calls, "
                "and again with batches. `tests/live` tries the rows from SIGKILL on with a running Airflow, with one event per "
                "POST. `tests/unit/state/test_frozen_save.py` freezes a save, and `test_task_operations.py` tries the last row "
                "at random."
            ),
            (
                "For batches the bound is 500 + `concurrent_calls` x `max_events`, never more than 600 "
                "(`tests/unit/payload/test_payload.py` kills such a delivery)."
            ),
            "A repeat is an event that was sent again although the webhook had acknowledged it with 2xx.",
            "An event without an acknowledgement is sent again: nobody can know whether the webhook processed it.",
            (
                "Receivers [drop repeats](receivers.md#drop-repeats) by their `webhook-id`, and those in batches by the `log_id` "
                "of each event."
            ),
            "",
            "| fault | events lost | repeats | what the operator sees |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def test_the_page_in_the_docs_is_what_these_tests_find():
    for folder, tests in (("live", LIVE), ("unit", PROCESSES)):
        found = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "tests" / folder).rglob("test_*.py"))
        assert [test for test in tests if f"def {test}(" not in found] == []
    page, text = PROJECT / "docs" / "guarantees.md", as_page()
    if os.environ.get("WRITE_DOCS"):
        page.write_text(text, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == text
