"""Drives Airflow's UI in a headless Chromium, as a person clicks through it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import ElementClickInterceptedException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from simulation.local_airflow import PATIENCE, PROJECT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")
MISSING = "" if CHROMIUM and CHROMEDRIVER else "needs Chromium and its chromedriver on PATH (Debian: chromium chromium-driver)"
BROWSE = "//button[@aria-label='Browse']"
PICTURES = PROJECT / "docs" / "images"


class Browser:
    """One window, in which users log in one after the other. Elements are found by XPath and waited for."""

    def __init__(self):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--force-prefers-reduced-motion",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1300,1500",
        ):
            options.add_argument(argument)
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
        self.user = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()

    def log_out(self):
        """Forget every login."""
        self.driver.switch_to.default_content()
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.user = None

    def log_in(self, airflow, user):
        """Log in to the UI, with a password; not again who is logged in."""
        self.driver.switch_to.default_content()
        if user == self.user:
            return
        self.log_out()
        self.driver.get(f"{airflow.url}/auth/login")
        self.find("//input[@name='username']").send_keys(user)
        self.find("//input[@name='password']").send_keys(airflow.passwords[user], Keys.ENTER)
        self.find(BROWSE)
        self.user = user

    def find(self, xpath, seconds=30.0):
        """The first visible element, or an error that says which did not come."""
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            try:
                shown = [element for element in self.driver.find_elements(By.XPATH, xpath) if element.is_displayed()]
            except StaleElementReferenceException:
                shown = []
            if shown:
                return shown[0]
            assert time.monotonic() < deadline, f"not shown within {seconds * PATIENCE:.0f} s: {xpath}"
            time.sleep(0.3)

    def click(self, xpath):
        # Again where the page is being drawn again just then.
        moved = (StaleElementReferenceException, ElementClickInterceptedException)
        WebDriverWait(self.driver, 30 * PATIENCE, ignored_exceptions=moved).until(lambda _: self._click(xpath))

    def _click(self, xpath):
        # Scrolled into the middle first: the page's own bars lie over its edges.
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", self.find(xpath))
        self.find(xpath).click()
        return True

    def open_form(self, airflow, dag_id, kind):
        """The trigger form of a DAG; ``kind`` is "Single Run" or "Backfill"."""
        self.driver.get(f"{airflow.url}/dags/{dag_id}")
        self.click("//button[normalize-space()='Trigger']")
        self.click(f"//*[@role='dialog']//label[contains(., '{kind}')]")

    def enter_moment(self, name, moment):
        """Pick a date and time (UTC) in the field with this label."""
        self.click(f"//*[text()='{name}']/following::*[@data-testid='datetime-input'][1]")
        for placeholder, form in (("YYYY/MM/DD", "%Y/%m/%d"), ("HH:mm", "%H:%M")):
            field = self.find(f"//input[@placeholder='{placeholder}']")
            field.send_keys(Keys.CONTROL, "a")
            field.send_keys(moment.strftime(form), Keys.TAB)
        self.driver.switch_to.active_element.send_keys(Keys.ESCAPE)

    def picture(self, name, xpath=None):
        """A picture for the docs, where WRITE_DOCS asks for it: of the window, or of one element."""
        if os.environ.get("WRITE_DOCS"):
            time.sleep(1)  # for what moves on the page to come to rest
            PICTURES.mkdir(exist_ok=True)
            path = str(Path(PICTURES, f"{name}.png"))
            self.find(xpath).screenshot(path) if xpath else self.driver.save_screenshot(path)
