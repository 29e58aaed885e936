"""A person with a browser: signs up, signs in with Google, makes an API key, leaves."""

import re
import shlex
import subprocess
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.journeys.billing import Shop, wait_for_plan
from tests.journeys.chromium import Browser, program, running_browser
from tests.running_platform import Platform, User

PAGES = ("/", "/sign-up", "/log-in", "/forgot-password", "/confirm-email", "/reset-password", "/no")
REFRESH_COOKIE = "__Host-easel_refresh"
NARROW = 360


@pytest.fixture
def browser(platform: Platform, tmp_path: Path) -> Iterator[Browser]:
    with running_browser(platform.url, tmp_path / "profile") as started:
        yield started
        assert started.complaints() == []


def newcomer(platform: Platform) -> User:
    """Somebody without an account."""
    client = httpx.Client(base_url=platform.url, timeout=30)
    return User(client, f"{uuid4().hex}@easel.example", "four words make a sentence")


def log_in_program(user: User) -> None:
    """The same person's program, beside the browser."""
    body = {"email": user.email, "password": user.password}
    tokens = user.http.post("/api/v1/auth/login", json=body).json()
    user.http.headers["Authorization"] = f"Bearer {tokens['access_token']}"


def sign_up(browser: Browser, shop: Shop, user: User) -> None:
    """Fill in the form, follow the link of the e-mail, open the account."""
    browser.open("/sign-up")
    browser.fill(display_name="Ada", email=user.email, password=user.password)
    browser.click("#form button")
    assert user.email in browser.text("#done")
    mail = shop.wait_for_email(user, "Confirm your e-mail address")
    (link,) = re.findall(r"http\S+/confirm-email#token=\S+", mail["text"])
    browser.open(link)
    browser.fill(password=user.password)
    assert "token" not in browser.driver.current_url
    browser.click("#form button")
    browser.open_account()


def sign_in_with_google(browser: Browser, email: str, verified: bool = True) -> None:
    """From the log-in page over the provider's page and back."""
    browser.open("/log-in")
    assert browser.text("[data-provider=google]") == "Sign in with Google (local)"
    browser.click("[data-provider=google]")
    browser.fill(email=email, name="Ada at Google")
    if not verified:
        browser.click("input[name=verified]")
    browser.click("button.big")


def test_sign_up_google_and_an_api_key(platform: Platform, browser: Browser) -> None:
    shop, user = Shop(platform), newcomer(platform)
    sign_up(browser, shop, user)
    assert browser.text("#me-email") == user.email
    assert "Pro" in browser.text("#keys-closed")
    browser.click("#log-out")
    browser.arrive("/")

    sign_in_with_google(browser, user.email)
    browser.open_account()
    assert browser.text("#me-email") == user.email
    assert "Google" in browser.text("#identities li[data-provider=google]")
    assert "Google" in shop.wait_for_email(user, "You can log in with Google now")["text"]

    log_in_program(user)
    shop.pay(shop.open_checkout(user, plan="pro", interval="month"))
    wait_for_plan(user, "pro", "on_trial")
    browser.driver.refresh()
    browser.open_account()
    browser.fill(key_name="my laptop")
    browser.click("#key-form button")
    key = browser.text("#key-value")
    assert re.fullmatch(r"ek_[\w-]+", key)
    name, *rest = shlex.split(browser.text("#key-curl"))
    command = [program("EASEL_CURL", name), *rest]
    answered = subprocess.run([*command, "--silent", "--fail"], capture_output=True, text=True)
    assert answered.returncode == 0 and user.email in answered.stdout, answered.stderr
    browser.click("#key-done")
    assert "my laptop" in browser.text("#keys")
    assert key not in browser.driver.page_source
    browser.click("#keys button")
    browser.until(lambda: not browser.all("#keys li"))


def test_a_login_survives_reloads_and_tabs_and_scripts_cannot_read_it(
    platform: Platform, browser: Browser
) -> None:
    user = newcomer(platform)
    sign_up(browser, Shop(platform), user)
    (cookie,) = [c for c in browser.driver.get_cookies() if c["name"] == REFRESH_COOKIE]
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
    script = (
        "return document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)"
    )
    kept = browser.driver.execute_script(script)
    assert cookie["value"] not in kept and "eyJ" not in kept
    # tabs that start at once take turns with the one refresh token
    open_tabs = "for (let i = 0; i < 4; i++) window.open('/account')"
    browser.driver.execute_script(open_tabs)
    browser.until(lambda: len(browser.driver.window_handles) == 5)
    for tab in browser.driver.window_handles:
        browser.driver.switch_to.window(tab)
        browser.open_account()
        assert browser.text("#me-email") == user.email
    browser.click("#log-out")
    browser.arrive("/")
    browser.open("/account")
    browser.arrive("/log-in")


def test_what_goes_wrong_at_the_provider_is_said(platform: Platform, browser: Browser) -> None:
    email = f"{uuid4().hex}@easel.example"
    sign_in_with_google(browser, email, verified=False)
    browser.arrive("/log-in")
    assert "has not verified" in browser.text("#say")
    browser.click("[data-provider=discord]")
    browser.click("button[name=deny]")
    browser.arrive("/log-in")
    assert "turned back" in browser.text("#say")
    browser.fill(email=email, password="not the password")
    browser.click("#form button")
    browser.until(lambda: "wrong" in browser.text("#say"))


def test_the_pages_suit_a_narrow_screen_and_the_keyboard(browser: Browser) -> None:
    browser.resize(NARROW, 740)
    for page in PAGES:
        browser.open(page)
        browser.find("h1")
        width = "return document.documentElement.scrollWidth"
        assert browser.driver.execute_script(width) <= NARROW, page
    browser.open("/log-in")
    browser.find("[data-provider=google]")
    focused = []
    for _ in range(6):
        browser.driver.switch_to.active_element.send_keys("\ue004")
        focused.append(browser.driver.switch_to.active_element.text)
    assert focused[0] == "Skip to the content"
    assert "Log in" in focused


def test_the_archive_and_the_end_of_an_account(platform: Platform, browser: Browser) -> None:
    user = newcomer(platform)
    sign_up(browser, Shop(platform), user)
    browser.click("#export")
    address = browser.find("#archive[href]").get_attribute("href")
    archive = zipfile.ZipFile(BytesIO(httpx.get(str(address)).raise_for_status().content))
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert user.email.encode() in everything
    browser.fill(confirm=user.email, delete_password="not the password")
    browser.click("#delete-form button")
    browser.until(lambda: "wrong" in browser.text("#delete-say"))
    browser.fill(delete_password=user.password)
    browser.click("#delete-form button")
    browser.arrive("/")
    browser.open("/log-in")
    browser.fill(email=user.email, password=user.password)
    browser.click("#form button")
    browser.until(lambda: "wrong" in browser.text("#say"))
