"""Backfills and replays under a live Airflow, beside live runs, started by the CLI and in the UI.

The tests of the UI need Chromium and chromedriver on PATH; WRITE_DOCS=1 makes them take the pictures in docs/images.
"""

from __future__ import annotations

import contextlib
import time
import urllib.error
from datetime import datetime, timedelta, timezone

import pytest

from auth0_webhooks.checkpoint import iso, parse_checkpoint
from tests.live.browser import MISSING, Browser
from tests.live.stack import WINDOWS, all_ended, leftovers

pytestmark = pytest.mark.live

FIVE = timedelta(minutes=5)


class Past:
    """Six five-minute intervals of yesterday, with events in them, at their seams and around them."""

    def __init__(self, tenant):
        self.tenant = tenant
        now = datetime.now(timezone.utc) - timedelta(days=1)
        self.start = now.replace(minute=now.minute // 5 * 5, second=0, microsecond=0)
        self.ids = {}
        moment = timedelta(milliseconds=1)
        for second in range(-60, 1860, 10):
            self.add(self.start + timedelta(seconds=second))
        for seam in range(7):
            for offset in (-moment, timedelta(0), timedelta(0), moment):
                self.add(self.start + seam * FIVE + offset)

    def add(self, when):
        kind = "sapi" if len(self.ids) % 7 == 3 else "s"
        self.ids[self.tenant.add(kind, when=when + timedelta(hours=1), happened=when)] = (when, kind)

    def wanted(self, first=0, last=3):
        since, until = self.start + first * FIVE, self.start + (last + 1) * FIVE
        return sorted(log_id for log_id, (when, kind) in self.ids.items() if since <= when < until and kind != "sapi")

    def sent(self, receiver):
        return sorted(log_id for log_id in receiver.accepted if log_id in self.ids)


@pytest.fixture(scope="module")
def past(services):
    (_, tenant, _), _ = services
    return Past(tenant)


@pytest.fixture(scope="module")
def _switched_on(airflow, past):
    airflow.cli("dags", "unpause", WINDOWS)
    airflow.wait_until(lambda: airflow.runs(WINDOWS) and all_ended(airflow, WINDOWS), "the clock's run ends", 120)
    yield
    airflow.cli("dags", "pause", WINDOWS)


@pytest.fixture
def windows(airflow, services, past, _switched_on):
    """The route for backfills, its receiver with nothing recorded."""
    (_, tenant, _), (_, receiver, _) = services
    tenant.log_token_requests = False
    airflow.wait_until(lambda: all_ended(airflow, WINDOWS), "earlier runs end", 180)
    receiver.posts.clear()
    receiver.problems.clear()
    receiver.behave = lambda _post: 200
    return airflow, tenant, receiver


def backfills(airflow):
    return airflow.rows(
        "select run_id, state, start_date, end_date from dag_run where dag_id = ? and run_type = 'backfill'", WINDOWS
    )


def cancel_leftover(airflow):
    """Where SQLite is busy even taking back can fail, and leave a backfill without runs that keeps others out."""
    for (backfill_id,) in airflow.rows("select id from backfill where completed_at is null"):
        with contextlib.suppress(urllib.error.HTTPError):
            airflow.rest("PUT", f"/backfills/{backfill_id}/cancel")


def switch(airflow, *, on):
    """Pause or unpause the DAG, again where the database is busy."""

    def switched():
        with contextlib.suppress(urllib.error.HTTPError):
            airflow.rest("PATCH", f"/dags/{WINDOWS}", is_paused=not on)
        return airflow.rows("select is_paused from dag where dag_id = ?", WINDOWS) == [(not on,)]

    airflow.wait_until(switched, "the DAG is switched", 60)


def create(airflow, past, first, last, *more):
    """``airflow backfill create`` for some of the intervals; --to-date is inclusive."""
    since, until = (past.start + number * FIVE for number in (first, last))
    dates = ("--from-date", since.isoformat(), "--to-date", until.isoformat())

    def created():
        cancel_leftover(airflow)
        done = airflow.cli("backfill", "create", "--dag-id", WINDOWS, *dates, *more, check=False)
        # On SQLite the command gives up where the database is busy, having taken back what it did: then again.
        assert done.returncode == 0 or "database is locked" in done.stdout + done.stderr, done.stderr[-2000:]
        return done.returncode == 0

    airflow.wait_until(
        lambda: not airflow.rows("select 1 from backfill where completed_at is null"), "no backfill is active", 200
    )
    # While the DAG is paused the scheduler leaves its runs alone; a task that is running goes on.
    switch(airflow, on=False)
    airflow.wait_until(created, "the backfill is created", 240)
    switch(airflow, on=True)


def wait_for_backfills(airflow, count):
    def ended():
        runs = backfills(airflow)
        return len(runs) >= count and all(state in {"success", "failed"} for _, state, *_ in runs) and all_ended(airflow, WINDOWS)

    airflow.wait_until(ended, "the backfill ends", 240)
    assert {state for _, state, *_ in backfills(airflow)} == {"success"}


def checkpoint(airflow):
    stored = airflow.cli("variables", "get", f"{WINDOWS}_checkpoint").stdout
    return parse_checkpoint(stored[stored.index("{") :], key="k").position


def test_a_backfill_by_the_cli_delivers_each_interval_once_beside_a_live_run(windows, past):
    airflow, tenant, receiver = windows
    now = [tenant.add("f") for _ in range(150)]
    # The live run stands still, in mid-delivery, until a backfill run has begun.
    receiver.behave = lambda post: 200 if post.log_id in past.ids or past.sent(receiver) else 503
    airflow.trigger(WINDOWS, "live-beside")
    airflow.wait_until(lambda: len(receiver.posts) >= 5, "the live run delivers", 120)
    create(airflow, past, 0, 3, "--max-active-runs", "2")
    wait_for_backfills(airflow, 4)
    assert airflow.run_state(WINDOWS, "live-beside") == "success"

    assert past.sent(receiver) == past.wanted()
    assert sorted(set(receiver.accepted) - past.ids.keys()) == now
    assert receiver.repeats == 0
    assert receiver.problems == []
    ((_, live_end),) = airflow.rows("select start_date, end_date from dag_run where run_id = 'live-beside'")
    assert any(start < live_end for _, _, start, _ in backfills(airflow)), "they did not run beside each other"
    for run_id, *_ in backfills(airflow):
        report = airflow.xcom(WINDOWS, run_id, "report")
        since = datetime.fromisoformat(report["window"].split(" ")[0].replace("Z", "+00:00"))
        number = (since - past.start) // FIVE
        assert (report["mode"], report["delivered_now"]) == ("backfill", len(past.wanted(number, number)))
    assert checkpoint(airflow).log_id == now[-1]
    airflow.wait_until(lambda: not leftovers(airflow), "the batches are removed", 30)


def test_reprocessing_delivers_an_interval_again_with_the_same_webhook_id(windows, past):
    airflow, _, receiver = windows
    before = checkpoint(airflow)
    create(airflow, past, 1, 1, "--reprocess-behavior", "completed")
    airflow.wait_until(lambda: past.sent(receiver), "the backfill delivers", 120)
    wait_for_backfills(airflow, 4)
    assert past.sent(receiver) == past.wanted(1, 1)
    assert receiver.problems == []
    assert checkpoint(airflow) == before


def test_a_replay_that_failed_and_is_cleared_sends_only_what_is_left(windows, past):
    airflow, _, receiver = windows
    receiver.behave = lambda _post: 200 if len(receiver.posts) <= 30 else 401
    conf = {"since": iso(past.start), "until": iso(past.start + 4 * FIVE), "concurrent_calls": 1}
    airflow.trigger(WINDOWS, "replay", conf)
    assert airflow.wait_for_run(WINDOWS, "replay") == "failed"
    assert len(past.sent(receiver)) == 30
    receiver.behave = lambda _post: 200
    airflow.rest("POST", f"/dags/{WINDOWS}/clearTaskInstances", dry_run=False, only_failed=False, dag_run_id="replay")
    airflow.wait_until(lambda: airflow.run_state(WINDOWS, "replay") == "success", "the cleared run ends", 120)
    assert past.sent(receiver) == past.wanted()
    assert receiver.repeats == 0
    assert airflow.xcom(WINDOWS, "replay", "report")["delivered_before"] == 30


@pytest.fixture
def browser():
    if MISSING:
        pytest.skip(MISSING)
    with Browser() as opened:
        yield opened


def test_a_backfill_started_in_the_ui_delivers_its_intervals(windows, past, browser):
    airflow, _, receiver = windows
    browser.open_form(airflow, WINDOWS, "Backfill")
    browser.enter_moment("From", past.start + 4 * FIVE)
    browser.enter_moment("To", past.start + 5 * FIVE)
    browser.find("//*[@role='dialog']//*[contains(text(), '2 runs')]")
    browser.picture("backfill-form", "//*[@role='dialog']")
    deadline = time.monotonic() + 600
    while len(backfills(airflow)) < 6:
        # Where SQLite is busy the form shows an error and stays: then again.
        assert time.monotonic() < deadline, "the form created no backfill"
        cancel_leftover(airflow)
        browser.click("//button[normalize-space()='Run Backfill']")
        with contextlib.suppress(TimeoutError):
            airflow.wait_until(lambda: len(backfills(airflow)) == 6, "the backfill's runs are there", 10)
    wait_for_backfills(airflow, 6)
    assert past.sent(receiver) == past.wanted(4, 5)
    assert receiver.repeats == 0


def test_a_dry_run_by_the_form_reports_its_window_and_sends_nothing(windows, past, browser):
    airflow, _, receiver = windows
    by_hand = "select run_id, state from dag_run where dag_id = ? and run_type = 'manual' order by id"
    runs = len(airflow.rows(by_hand, WINDOWS))
    browser.open_form(airflow, WINDOWS, "Single Run")
    browser.enter_moment("Replay since", past.start)
    browser.enter_moment("Replay until", past.start + 6 * FIVE)
    browser.click("//input[@name='element_dry_run']/..")
    browser.picture("replay-form", "//*[@role='dialog']")
    browser.click("//*[@role='dialog']//button[normalize-space()='Trigger']")
    airflow.wait_until(lambda: len(airflow.rows(by_hand, WINDOWS)) > runs and all_ended(airflow, WINDOWS), "the run ends", 120)
    run_id, state = airflow.rows(by_hand, WINDOWS)[-1]
    report = airflow.xcom(WINDOWS, run_id, "report")
    assert (state, report["dry_run"], report["mode"]) == ("success", True, "replay")
    assert report["window"] == f"{iso(past.start)} .. {iso(past.start + 6 * FIVE)}"
    assert report["selected"] == len(past.wanted(0, 5))
    assert past.sent(receiver) == []
    browser.driver.get(f"{airflow.url}/dags/{WINDOWS}/runs/{run_id}/tasks/deliver")
    browser.find("//*[contains(text(), 'would be sent')]")
    browser.picture("dry-run-report")
