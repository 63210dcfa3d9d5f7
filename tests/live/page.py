"""What the tests of the page share: its routes and their webhook, a live Airflow whose users log in, a browser in its frame."""

from __future__ import annotations

import contextlib
import json
import urllib.request

from selenium.webdriver.common.keys import Keys

from demo.local_airflow import ask
from tests.live.browser import Browser

ROUTES = {
    "logins": "log_types: [s, f], retention_days: 30",
    "signups": "on_reject: dead_letter, log_types: [ss, fp], retention_days: 2",
    "alerts": "log_types: [limit_wc]",
    "billing": "log_types: [slo]",
}
"""In the order of their troubles: none, events refused, a webhook that is gone, a webhook whose key is wrong."""
BROWSE = "//button[@aria-label='Browse']"
DEAD_LETTERS = "auth0_webhook_dead_letters"


def behave(post):
    """What the four webhooks answer at first."""
    if post.path == "/alerts":
        return 410
    if post.path == "/billing":
        return 401
    return 422 if post.event["type"] == "fp" else 200


class Stack:
    """A live Airflow whose users have roles, a tenant, a webhook; and a browser in which one of the users is logged in."""

    def __init__(self, airflow, tenant, receiver):
        self.airflow, self.tenant, self.receiver = airflow, tenant, receiver
        path = airflow.home / "simple_auth_manager_passwords.json.generated"
        self.passwords = json.loads(path.read_text(encoding="utf-8"))

    def rest(self, method, path, **body):
        """Call Airflow's API as the admin."""
        token = self._json("POST", "/auth/token", {"username": "admin", "password": self.passwords["admin"]})["access_token"]
        return self._json(method, f"/api/v2{path}", body or None, Authorization=f"Bearer {token}")

    def _json(self, method, path, body, **headers):
        data = json.dumps(body).encode() if body else None
        headers["Content-Type"] = "application/json"
        request = urllib.request.Request(f"{self.airflow.url}{path}", data, headers, method=method)
        return ask(request)

    def idle(self):
        running = "select 1 from dag_run where state in ('running', 'queued')"
        self.airflow.wait_until(lambda: not self.airflow.rows(running), "no run is under way", 120)

    def sent(self, path):
        return [post.log_id for post in self.receiver.posts if post.path == path and post.answer == 200]


class Page(Browser):
    """A browser in which a user is logged in, inside the page's frame."""

    def __init__(self, stack, user=None):
        super().__init__()
        self.stack = stack
        if user:
            self.driver.get(f"{stack.airflow.url}/auth/login")
            self.find("//input[@name='username']").send_keys(user)
            self.find("//input[@name='password']").send_keys(stack.passwords[user], Keys.ENTER)
            self.find(BROWSE)

    def open(self, dag_id=None):
        """All routes from the navigation's place, or the tab of a DAG; then inside the frame."""
        self.driver.switch_to.default_content()
        path = f"dags/{dag_id}/plugin/auth0-webhook-route" if dag_id else "plugin/auth0-webhooks"
        self.driver.get(f"{self.stack.airflow.url}/{path}")
        self.driver.switch_to.frame(self.find("//iframe"))
        self.find("//main[@aria-busy='false']")
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

    def press(self, name):
        self.click(f"//button[normalize-space()='{name}' and not(@disabled)]")

    def said(self, words, seconds=120):
        self.find(f"//*[@role='status'][contains(., \"{words}\")]", seconds)

    def enter(self, field, value):
        """Fill in a field of a form; a date-time as its own picker stores it."""
        self.driver.execute_script(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
            self.find(f"//dialog//input[@id='{field}']"),
            value,
        )
