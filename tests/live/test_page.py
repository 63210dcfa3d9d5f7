"""The page in a real browser: real logins, real runs, every button.

WRITE_DOCS=1 takes the pictures in docs/images; run by itself, so that they show its routes only.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from auth0_webhooks.page.plugin import PREFIX
from auth0_webhooks.reading.window import SETTLE
from auth0_webhooks.times import iso, parse_time
from tests.live.support.browser import BROWSE, MISSING
from tests.live.support.page import DEAD_LETTERS, Stack, behave
from tests.live.support.stack import routes_of

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture(scope="module")
def stack(airflow):
    with routes_of(airflow) as make:
        yield Stack(make)


@pytest.fixture
def window(browser, stack):
    """The browser, on the page of these routes."""
    browser.stack = stack
    return browser


@pytest.fixture
def page(window, stack):
    """The operator's browser, no run under way; the webhooks answer as they did at first."""
    window.log_in(stack.airflow, "operator")
    stack.idle()
    stack.receiver.behave = behave
    return window


def entered(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def settled():
    """The time before which all events can be found by Auth0's search."""
    return iso(datetime.now(timezone.utc) - SETTLE)


def times(tenant, kinds):
    return [json.loads(text)["date"] for _, kind, text in tenant.log() if kind in kinds]


def test_the_page_in_the_navigation_says_in_words_how_every_route_is(page):
    page.driver.get(page.stack.airflow.url)
    page.click(BROWSE)
    page.click("//*[@role='menuitem'][contains(., 'Auth0 webhooks')]")
    page.driver.switch_to.frame(page.find("//iframe"))
    page.find("//main[@aria-busy='false']")
    text = page.text()
    bad, total = re.search(r"(\d+) of (\d+) routes are unhealthy", text).groups()
    states = [
        badge.get_attribute("class") for badge in page.driver.find_elements(By.XPATH, "//tr//span[starts-with(@class, 'state')]")
    ]
    troubles = [state for state in states if state.split()[1] in {"failing", "held", "gap", "waiting"}]
    assert (int(total), int(bad)) == (len([state for state in states if state != "state off"]), len(troubles))
    for name, state, words in (
        ("billing", "failing", "Correct the webhook, or connection 'webhook_billing'"),
        ("alerts", "held", "press Lift the hold"),
        ("logins", "healthy", "for at least"),
    ):
        row = page.text(f"//tr[th[normalize-space()='{name}']]")
        assert state in row
        assert words in row
    tenant = page.text("//tr[th[normalize-space()='auth0_shop']]")
    assert "6 routes" in tenant
    assert re.search(r"[\d,]+ of [\d,]+ left", tenant)
    with page.sized(1300, 760):
        page.picture("page-routes")


def test_the_tab_of_a_route_shows_its_runs_chart_checkpoint_and_dead_letters(page, stack):
    page.open_in_airflow("signups")
    text = page.text()
    assert stack.last in text  # the checkpoint
    refused = times(stack.tenant, {"fp"})
    assert f"Dead-lettered: {len(refused)}" in text
    assert f"Delivered: {len(times(stack.tenant, {'ss'}))}" in text
    assert "422 Unprocessable Entity" in text
    assert "everything wanted was delivered" in text
    page.picture("page-route")


def test_pointing_at_a_bar_of_the_chart_says_its_numbers_which_are_those_of_the_table(page, stack):
    page.open("signups").used()
    plot = page.find("//div[@role='img'][starts-with(@aria-label, 'Delivered over time')]")
    assert f"{len(times(stack.tenant, {'ss'}))} in all" in plot.get_attribute("aria-label")
    bars = plot.find_element(By.CLASS_NAME, "u-over")
    page.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", bars)
    last_bar = bars.size["width"] // 2 - 5
    ActionChains(page.driver).move_to_element_with_offset(bars, last_bar, 0).perform()
    said = page.text("//p[@id='readout'][contains(., ' delivered, ')]")
    page.click("//summary")
    row = page.find("//details//tbody/tr[last()]")
    assert row.text.startswith(said[:16])
    assert re.findall(r"([\d,]+) [a-z]", said.partition(": ")[2]) == [cell.text for cell in row.find_elements(By.XPATH, "td")]


def test_the_chart_gets_as_wide_as_the_window_and_takes_the_colours_of_the_theme(page):
    def drawn():
        return page.driver.execute_script(
            "const canvas = document.querySelector('.plot canvas'), { width, height } = canvas;"
            "const ground = canvas.getContext('2d').getImageData(0, 0, width, height).data;"
            "const colours = new Set(); for (let at = 0; at < ground.length; at += 4) if (ground[at + 3] === 255)"
            "  colours.add([...ground.slice(at, at + 3)].map((part) => part.toString(16).padStart(2, '0')).join(''));"
            "return [canvas.clientWidth, canvas.closest('.plot').clientWidth, [...colours]]"
        )

    def bar():
        return page.driver.execute_script("return getComputedStyle(document.documentElement).getPropertyValue('--bar').trim()")

    page.open_in_airflow("signups").used()
    for dark in (False, True):
        page.in_theme(dark=dark)
        page.stack.airflow.wait_until(lambda: bar().strip("#") in drawn()[2], "the bars have the colour of the theme", 20)
    wide = drawn()[0]
    with page.sized(900, 900):
        page.stack.airflow.wait_until(lambda: drawn()[0] == drawn()[1] < wide, "the chart has the width of the page", 20)


def test_a_run_on_the_page_leads_to_the_run_in_airflow(page, stack):
    page.open_in_airflow("signups")
    page.click("//table//tbody/tr[1]/th/a")
    page.driver.switch_to.default_content()
    ((run_id, _),) = stack.routes["signups"].runs()
    stack.airflow.wait_until(lambda: "/dags/signups/runs/" in page.driver.current_url, "Airflow shows the run", 20)
    assert run_id.split("__")[0] in page.driver.current_url


def test_a_viewer_sees_and_cannot_act(window, stack):
    window.log_in(stack.airflow, "viewer")
    window.open_in_airflow("logins")
    assert "You may view this route, but not act on it" in window.text()
    buttons = window.driver.find_elements(By.XPATH, "//div[@class='actions']/button")
    assert len(buttons) >= 5
    assert not any(button.is_enabled() for button in buttons)


def test_without_a_login_the_page_shows_no_data(window, stack):
    window.log_out()
    window.driver.get(f"{stack.airflow.url}/{PREFIX}/page")
    assert "You are not logged in" in window.text("//main[@aria-busy='false']")
    assert "logins" not in window.driver.page_source


def test_run_now_delivers_what_is_new(page, stack):
    new = stack.tenant.add("f")
    page.open("logins").press("Run now", until="everything wanted was delivered")
    assert new in stack.sent("logins")
    assert stack.audited("trigger_dag_run", "logins")


def test_pause_and_unpause_pause_the_dag(page, stack):
    paused = "select is_paused from dag where dag_id = 'logins'"
    page.open("logins").press("Pause")
    page.find("//button[normalize-space()='Unpause']")
    assert stack.airflow.rows(paused) == [(1,)]
    assert not page.find("//button[normalize-space()='Run now']").is_enabled()
    page.press("Unpause")
    page.find("//button[normalize-space()='Pause']")
    assert stack.airflow.rows(paused) == [(0,)]
    assert stack.audited("patch_dag", "logins")


def test_a_replay_is_counted_first_and_sends_just_that(page, stack):
    since, until = (datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=back) for back in (60, 30))
    wanted = [
        log_id
        for log_id, kind, text in stack.tenant.log()
        if kind in {"s", "f"} and since <= parse_time(json.loads(text)["date"]) < until
    ]
    page.open("logins").press("Replay a range …")
    page.enter("since", entered(since))
    page.enter("until", entered(until))
    assert not page.find("//button[@id='confirm']").is_enabled()
    stack.receiver.posts.clear()
    page.press("Count first (dry run)", until=f"{len(wanted)} of them would be sent")
    assert stack.receiver.posts == []
    page.picture("page-replay", "//dialog")
    page.press(f"Send {len(wanted)} events")
    page.said("The replay", 30)
    stack.idle()
    assert sorted(stack.sent("logins")) == sorted(wanted)


def test_dead_letters_are_listed_with_their_answer_and_sent_again(page, stack):
    refused = [log_id for log_id, kind, _ in stack.tenant.log() if kind == "fp"]
    page.open("refunds").press("List dead letters")
    page.said(f"of {DEAD_LETTERS}: success")
    page.find(f"//p[contains(., '{len(refused)} dead letters when last listed')]")
    stack.receiver.behave = lambda post: behave(post) if post.path != "/refunds" else 200
    page.press("Send dead letters again …")
    page.press("Send again")
    page.find("//p[contains(., '0 dead letters when last listed')]", 120)
    assert set(refused) <= set(stack.sent("refunds"))


def test_a_hold_is_lifted_and_the_next_run_delivers(page, stack):
    page.open("pager")
    assert "held until" in page.text()
    stack.receiver.behave = lambda _post: 200
    page.press("Lift the hold …")
    page.press("Lift the hold", until="The hold is lifted")
    page.find("//main[contains(., 'the hold is over')]")
    page.press("Run now", until="everything wanted was delivered")
    assert len(stack.sent("pager")) == len(times(stack.tenant, {"limit_wc"}))


def test_moving_the_checkpoint_back_says_how_many_events_that_means_and_sends_them_again(page, stack):
    stack.receiver.behave = lambda _post: 200
    back = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=100)
    again = [moment for moment in times(stack.tenant, {"s", "f"}) if moment >= back.isoformat()[:19]]
    page.open("logins").press("Move the checkpoint …")
    page.enter("at", entered(back))
    first = settled()
    page.press("Count first (dry run)", until="will be sent again, with the same webhook-id")
    said = page.text("//dialog//*[@role='status']")
    counted = int(said.split(": ")[1].split(" ")[0])
    # What is too new to be searched is not counted, nor is the checkpoint's own event.
    least, most = (len([date for date in again if date < until]) for until in (first, settled()))
    assert least - 1 <= counted <= most
    page.picture("page-move", "//dialog")
    stack.receiver.posts.clear()
    page.confirm(until="The checkpoint is at")
    assert stack.airflow.rows("select is_paused from dag where dag_id = 'logins'") == [(0,)]
    stack.idle()
    page.open("logins").press("Run now", until="everything wanted was delivered")
    assert len(stack.sent("logins")) == len(again)
    assert stack.audited("patch_variable", "logins_checkpoint")


def test_an_older_checkpoint_that_was_restored_counts_once_a_person_says_so(page, stack):
    stack.receiver.behave = lambda _post: 200
    key = "/variables/logins_checkpoint"
    backup = stack.airflow.rest("GET", key)["value"]
    new = stack.tenant.add("f")
    page.open("logins").press("Run now", until="everything wanted was delivered")
    assert "The stored checkpoint is older than the last save" not in page.text()
    stack.idle()
    stack.airflow.rest("PATCH", key, key="logins_checkpoint", value=backup)
    page.open("logins")
    assert "The stored checkpoint is older than the last save" in page.text()
    page.press("Use this checkpoint …")
    page.press("Use this checkpoint", until="The next live run continues from")
    assert stack.airflow.rows("select is_paused from dag where dag_id = 'logins'") == [(0,)]
    stack.receiver.posts.clear()
    page.open("logins").press("Run now", until="everything wanted was delivered")
    assert new in stack.sent("logins")
    assert stack.audited("patch_variable", "logins_checkpoint")


def test_forms_are_worked_by_keyboard_and_give_the_focus_back(page):
    page.open("logins")
    button = page.find("//button[@id='replay']")
    button.send_keys(Keys.ENTER)
    page.find("//dialog[@open]")
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.stack.airflow.wait_until(lambda: not page.driver.find_elements(By.XPATH, "//dialog"), "the form is closed", 10)
    assert page.driver.switch_to.active_element.get_attribute("id") == "replay"


@pytest.mark.parametrize("dark", [False, True])
def test_the_theme_is_airflows(page, dark):
    page.open_in_airflow("logins").in_theme(dark=dark)
    if dark:
        page.driver.switch_to.default_content()
        page.picture("page-dark")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [(1300, 1500), (390, 844)])
def test_axe_finds_no_barrier_in_the_list_in_a_route_and_in_a_form(page, dark, size):
    with page.sized(*size), page.preferring(dark=dark):
        page.open().has_theme(dark=dark)
        assert page.barriers() == {}
        page.open("signups").has_theme(dark=dark).used()
        page.click("//summary")
        assert page.barriers() == {}
        page.press("Replay a range …")
        page.find("//dialog[@open]")
        assert page.barriers() == {}


def test_on_a_phone_nothing_is_cut_off(page):
    with page.sized(390, 844):
        page.open_in_airflow()
        assert fits(page)
        page.picture("page-phone")
        page.click("//a[normalize-space()='signups']")
        page.find("//h2[normalize-space()='Last runs']")
        assert fits(page)


def fits(page):
    width, shown = page.driver.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    return width <= shown


def test_a_connection_of_the_tenants_own_type_has_labelled_fields(window, stack):
    window.log_in(stack.airflow, "admin")
    window.driver.get(f"{stack.airflow.url}/connections")
    window.click("//button[contains(., 'Add Connection')]")
    window.find("//input[@name='connection_id']").send_keys("auth0_default")
    window.click("//*[@role='dialog']//*[@role='combobox']")
    window.driver.switch_to.active_element.send_keys("Auth0")
    window.find("//*[@role='option'][contains(., 'Auth0 tenant')]")
    window.driver.switch_to.active_element.send_keys(Keys.ENTER)
    for label in ("Tenant domain", "Client ID", "Client secret"):
        window.find(f"//*[@role='dialog']//label[contains(., '{label}')]")
    window.picture("connection-form", "//*[@role='dialog']")


def test_test_runs_on_a_worker_and_says_what_the_webhook_answered(stack):
    body = {"connection_id": "webhook_new", "conn_type": "webhook", "host": f"{stack.receiver.url}/new"}
    stack.receiver.posts.clear()
    queued = stack.airflow.rest("POST", "/connections/enqueue-test", **body)
    token = queued["token"]
    message = "select state, result_message from connection_test_request where token = ?"
    stack.airflow.wait_until(lambda: stack.airflow.rows(message, token)[0][1], "the test has an outcome", 60)
    ((state, said),) = stack.airflow.rows(message, token)
    assert (state, "accepted a test event" in said) == ("success", True)
    assert [post.event["type"] for post in stack.receiver.posts] == ["connection_test"]
