"""Airflow's own forms, filled in as a person does. WRITE_DOCS=1 takes the pictures in docs/images."""

from __future__ import annotations

import contextlib
import time

import pytest

from auth0_webhooks.times import iso
from tests.live.support.browser import MISSING
from tests.live.support.past import HOUR, Past

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture
def admin(airflow, browser):
    browser.log_in(airflow, "admin")
    return browser


def test_a_backfill_started_in_the_ui_delivers_its_intervals(route, admin):
    one = route("backfilled_in_the_ui").enabled()
    past = Past(one)
    one.enable(on=False)  # until the runs are there: see Past.create
    admin.open_form(one.airflow, one.name, "Backfill")
    admin.click("//*[@role='dialog']//label[contains(., 'Unpause')]")
    admin.enter_moment("From", past.start)
    admin.enter_moment("To", past.start + HOUR)
    admin.find("//*[@role='dialog']//*[contains(text(), '2 runs')]")
    admin.picture("backfill-form", "//*[@role='dialog']")
    deadline = time.monotonic() + 600
    while len(past.backfills()) < 2:
        # Where SQLite is busy the form shows an error and stays: then again.
        assert time.monotonic() < deadline, "the form created no backfill"
        past.cancel_leftover()
        admin.click("//button[normalize-space()='Run Backfill']")
        with contextlib.suppress(TimeoutError):
            one.airflow.wait_until(lambda: len(past.backfills()) == 2, "the backfill's runs are there", 10)
    assert one.airflow.rows("select is_paused from dag where dag_id = ?", one.name) == [(1,)]
    one.enable()
    past.wait_for_backfills(2)
    assert past.sent() == past.wanted(0, 1)
    assert one.receiver.repeats == 0


def test_a_dry_run_by_the_form_reports_its_window_and_sends_nothing(route, admin):
    one = route("dry_run_in_the_ui").enabled()
    past, before = Past(one), len(one.runs())
    admin.open_form(one.airflow, one.name, "Single Run")
    admin.enter_moment("Replay since", past.start)
    admin.enter_moment("Replay until", past.start + 4 * HOUR)
    admin.click("//input[@name='element_dry_run']/..")
    admin.picture("replay-form", "//*[@role='dialog']")
    admin.click("//*[@role='dialog']//button[normalize-space()='Trigger']")
    one.airflow.wait_until(lambda: len(one.runs()) > before and one.all_ended(), "the run ends", 120)
    run_id, state = one.runs()[-1]
    report = one.report(run_id)
    assert (state, report["dry_run"], report["mode"]) == ("success", True, "replay")
    assert report["window"] == f"{iso(past.start)} .. {iso(past.start + 4 * HOUR)}"
    assert report["selected"] == len(past.wanted(0, 3))
    assert one.receiver.posts == []
    admin.driver.get(f"{one.airflow.url}/dags/{one.name}/runs/{run_id}/tasks/deliver")
    admin.find("//*[contains(text(), 'would be sent')]")
    admin.picture("dry-run-report")
