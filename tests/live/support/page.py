"""What the tests of the page share: its routes and their webhook, and a browser in its frame."""

from __future__ import annotations

import contextlib
import time

from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium_axe_python import Axe

from auth0_webhooks.page.plugin import PREFIX
from simulation.local_airflow import PATIENCE
from tests.live.support.browser import Browser
from tests.live.support.stack import PAGE

DEAD_LETTERS = "auth0_webhook_dead_letters"
LOADS = 3
TOO_BUSY = ("Airflow answers 5", "Failed to fetch", "still under way")
"""What the page says where Airflow, or its database, was too busy to do it."""


def behave(post):
    """What the webhooks answer at first: one is gone, one finds the key wrong, two refuse an event."""
    if post.path in {"/alerts", "/pager"}:
        return 410
    if post.path == "/billing":
        return 401
    return 422 if post.event["type"] == "fp" else 200


class Stack:
    """The routes of the page, after the first run of each on 300 events of the last two hours."""

    def __init__(self, make):
        self.routes = {"logins": make("logins")}
        first = self.routes["logins"]
        self.airflow, self.tenant, self.receiver = first.airflow, first.tenant, first.receiver
        self.receiver.behave = behave
        for name in list(PAGE)[1:]:
            self.routes[name] = make(name, self.tenant, self.receiver)
        self.tenant.add_many(300, types={"s": 8, "f": 4, "ss": 2, "fp": 1, "limit_wc": 1, "slo": 1}, spread=7200)
        self.last = self.tenant.log()[-1][0]
        for route in self.routes.values():
            route.enable()
        self.airflow.wait_until(lambda: all(map(self.has_run, self.routes)), "each route's first run ends", 240)
        noted = "select 1 from variable where key in ('alerts_health', 'pager_health', 'billing_health')"
        self.airflow.wait_until(lambda: len(self.airflow.rows(noted)) == 3, "three routes are noted as bad", 60)

    def has_run(self, name):
        return any(state in {"success", "failed"} for _, state in self.routes[name].runs())

    def idle(self):
        self.airflow.wait_until(lambda: all(route.all_ended() for route in self.routes.values()), "no run is under way", 120)

    def sent(self, name):
        return [post.log_id for post in self.receiver.posts if post.path == f"/{name}" and post.answer == 200]

    def audited(self, event, name):
        """How often Airflow's audit log has an event of the operator on a DAG."""
        query = "select count(*) from log where owner = 'operator' and event = ? and (dag_id = ? or extra like ?)"
        return self.airflow.rows(query, event, name, f"%{name}%")[0][0]


class Page(Browser):
    """A browser on the page. ``stack`` is set once its routes have run."""

    stack = None

    def open(self, dag_id=None):
        """The page by itself, which takes a fraction of the work of Airflow's UI around it: all routes, or one."""
        return self._load(f"{PREFIX}/page?dag={dag_id}" if dag_id else f"{PREFIX}/page")

    def open_in_airflow(self, dag_id=None):
        """All routes from the navigation's place, or the tab of a DAG; then inside the frame."""
        return self._load(f"dags/{dag_id}/plugin/auth0-webhook-route" if dag_id else "plugin/auth0-webhooks", framed=True)

    def _load(self, path, *, framed=False):
        for _ in range(LOADS):
            self.driver.switch_to.default_content()
            self.driver.get(f"{self.stack.airflow.url}/{path}")
            if framed:
                self.driver.switch_to.frame(self.find("//iframe"))
            # A file of the page that a busy server did not deliver is not asked for again, so load it as a person would.
            with contextlib.suppress(AssertionError):
                self.find("//main[@aria-busy='false']")
                return self
        raise AssertionError(f"{path} is not shown after {LOADS} loads")

    def barriers(self):
        """What axe finds against the rules of WCAG 2.0, 2.1 and 2.2, A and AA: the elements, by the rule."""
        axe = Axe(self.driver)
        axe.inject()
        found = axe.run(options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
        assert found["passes"], "no rule was checked"
        return {rule["id"]: [node["html"] for node in rule["nodes"]] for rule in found["violations"]}

    def used(self):
        """The page as it is while somebody uses it: it does not reload its data."""
        self.driver.execute_script("document.getElementById('days').focus()")
        return self

    def in_theme(self, *, dark):
        """In Airflow's dark or light theme, which the page follows in its frame."""
        self.driver.switch_to.default_content()
        self.driver.execute_script("document.documentElement.classList.toggle('dark', arguments[0])", dark)
        self.driver.switch_to.frame(self.find("//iframe"))
        return self.has_theme(dark=dark)

    @contextlib.contextmanager
    def preferring(self, *, dark):
        """A browser that prefers the dark or the light theme, which the page by itself follows."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    def has_theme(self, *, dark):
        """Wait until the page is in the dark or the light theme."""
        has = "return document.documentElement.classList.contains('dark')"
        self.stack.airflow.wait_until(lambda: self.driver.execute_script(has) is dark, "the page follows", 20)
        return self

    @contextlib.contextmanager
    def sized(self, width, height):
        """A window of another size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def text(self, xpath="//main"):
        return self.find(xpath).text

    def press(self, name, *, until=None):
        """:param until: what the page then says."""
        self._press(f"//button[normalize-space()='{name}' and not(@disabled)]", until)

    def confirm(self, *, until):
        """Press the main button of a dialog."""
        self._press("//button[@id='confirm' and not(@disabled)]", until)

    def _press(self, button, until):
        self.click(button)
        if until:
            self.said(until, again=button)

    def said(self, words, seconds=120, *, again=None):
        """Wait until the page says it.

        :param again: the button to press again, as a person would, where the page says that Airflow was too busy.
        """
        deadline = time.monotonic() + seconds * PATIENCE
        while words not in (told := self._told()):
            assert time.monotonic() < deadline, f"not said within {seconds * PATIENCE:.0f} s: {words!r}, but {told!r}"
            if again and any(busy in told for busy in TOO_BUSY):
                with contextlib.suppress(WebDriverException):  # it may be drawn again, or be gone, just then
                    for button in self.driver.find_elements(By.XPATH, again):
                        button.click()
            time.sleep(0.3)

    def _told(self):
        told = "return [...document.querySelectorAll('[role=status]')].map((each) => each.textContent).join(' | ')"
        return self.driver.execute_script(told)

    def enter(self, field, value):
        """Fill in a field of a form; a date-time as its own picker stores it."""
        self.driver.execute_script(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
            self.find(f"//dialog//input[@id='{field}']"),
            value,
        )
