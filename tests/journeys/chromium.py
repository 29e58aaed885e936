"""A real browser, as the person in front of it: pages, links, buttons, fields.

Needs Chromium and its driver, found by EASEL_CHROMIUM and EASEL_CHROMEDRIVER or on PATH (Debian:
`apt-get install chromium chromium-driver`).
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

SECONDS = 30.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Browser:
    """One browser with a profile of its own."""

    def __init__(self, driver: Chrome, origin: str) -> None:
        self.driver, self.origin = driver, origin

    def open(self, path: str) -> None:
        self.driver.get(path if path.startswith("http") else self.origin + path)

    def until(self, condition: Callable[[], Any]) -> Any:
        """What the condition gives once it is true; elements that are drawn anew are waited for."""
        wait = WebDriverWait(self.driver, SECONDS, ignored_exceptions=(WebDriverException,))
        try:
            return wait.until(lambda _: condition())
        except TimeoutException:
            body = self.driver.find_element(By.CSS_SELECTOR, "body").text
            said = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
            raise AssertionError(f"{self.driver.current_url}: {body}\n{said}") from None

    def find(self, selector: str) -> WebElement:
        """The element, once it is shown."""

        def shown() -> WebElement | None:
            found = self.driver.find_elements(By.CSS_SELECTOR, selector)
            return found[0] if found and found[0].is_displayed() else None

        element: WebElement = self.until(shown)
        return element

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def fill(self, **fields: str) -> None:
        """Type into fields by their ids."""
        for name, value in fields.items():
            field = self.find(f"#{name}")
            field.clear()
            field.send_keys(value)

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def is_at(self, path: str) -> bool:
        return self.driver.current_url.partition("?")[0] == self.origin + path

    def arrive(self, path: str) -> None:
        """Wait for the page of that path."""
        self.until(lambda: self.is_at(path))

    def open_account(self) -> None:
        """The account page with everything on it."""
        self.arrive("/account")
        self.find("#account[data-ready]")

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def complaints(self) -> list[str]:
        """What the browser said about blocked or broken scripts and styles so far."""
        said = [str(line["message"]) for line in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]
        return [line for line in said if "Security Policy" in line or "Uncaught" in line]


def program(variable: str, name: str) -> str:
    """The path of a program; skips the test without one."""
    found = os.environ.get(variable) or shutil.which(name)
    if not found:
        mend = f"install chromium, chromium-driver and curl, or set {variable}"
        pytest.skip(f"no {name} on PATH: {mend}")
    return found


@contextmanager
def running_browser(origin: str, profile: Path) -> Iterator[Browser]:
    """A browser for the pages of an origin."""
    options = ChromeOptions()
    options.binary_location = program("EASEL_CHROMIUM", "chromium")
    for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1280,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = ChromeService(program("EASEL_CHROMEDRIVER", "chromedriver"))
    driver = Chrome(options=options, service=service)
    try:
        yield Browser(driver, origin)
    finally:
        driver.quit()
