"""Airflow's own forms, filled in as a person does. WRITE_DOCS=1 takes the pictures in docs/images."""

from __future__ import annotations

import contextlib
import time

import pytest

from auth0_webhooks.times import iso
from tests.live.support.browser import MISSING, Browser
from tests.live.support.past import HOUR, Past

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture
def browser(airflow):
    with Browser() as opened:
        opened.log_in(airflow, "admin")
        yield opened


def test_a_backfill_started_in_the_ui_delivers_its_intervals(route, browser):
    one = route("backfilled_in_the_ui").enabled()
    past = Past(one)
    one.enable(on=False)  # until the runs are there: see Past.create
    browser.open_form(one.airflow, one.name, "Backfill")
    browser.click("//*[@role='dialog']//label[contains(., 'Unpause')]")
    browser.enter_moment("From", past.start)
    browser.enter_moment("To", past.start + HOUR)
    browser.find("//*[@role='dialog']//*[contains(text(), '2 runs')]")
    browser.picture("backfill-form", "//*[@role='dialog']")
    deadline = time.monotonic() + 600
    while len(past.backfills()) < 2:
        # Where SQLite is busy the form shows an error and stays: then again.
        assert time.monotonic() < deadline, "the form created no backfill"
        past.cancel_leftover()
        browser.click("//button[normalize-space()='Run Backfill']")
        with contextlib.suppress(TimeoutError):
            one.airflow.wait_until(lambda: len(past.backfills()) == 2, "the backfill's runs are there", 10)
    assert one.airflow.rows("select is_paused from dag where dag_id = ?", one.name) == [(1,)]
    one.enable()
    past.wait_for_backfills(2)
    assert past.sent() == past.wanted(0, 1)
    assert one.receiver.repeats == 0


def test_a_dry_run_by_the_form_reports_its_window_and_sends_nothing(route, browser):
    one = route("dry_run_in_the_ui").enabled()
    past, before = Past(one), len(one.runs())
    browser.open_form(one.airflow, one.name, "Single Run")
    browser.enter_moment("Replay since", past.start)
    browser.enter_moment("Replay until", past.start + 4 * HOUR)
    browser.click("//input[@name='element_dry_run']/..")
    browser.picture("replay-form", "//*[@role='dialog']")
    browser.click("//*[@role='dialog']//button[normalize-space()='Trigger']")
    one.airflow.wait_until(lambda: len(one.runs()) > before and one.all_ended(), "the run ends", 120)
    run_id, state = one.runs()[-1]
    report = one.report(run_id)
    assert (state, report["dry_run"], report["mode"]) == ("success", True, "replay")
    assert report["window"] == f"{iso(past.start)} .. {iso(past.start + 4 * HOUR)}"
    assert report["selected"] == len(past.wanted(0, 3))
    assert one.receiver.posts == []
    browser.driver.get(f"{one.airflow.url}/dags/{one.name}/runs/{run_id}/tasks/deliver")
    browser.find("//*[contains(text(), 'would be sent')]")
    browser.picture("dry-run-report")
