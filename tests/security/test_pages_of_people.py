"""What the web pages owe to people's passwords and sessions, by their sources."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from tests.security.asvs import ROOT

SITE = ROOT / "services" / "studio" / "site"


class Inputs(HTMLParser):
    """Collects the input fields of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "input":
            self.found.append(dict(attrs))


def password_fields() -> Iterator[dict[str, str | None]]:
    for page in sorted(SITE.glob("*.html")):
        for field in Inputs(page).found:
            if "password" in (field.get("name") or ""):
                yield field


def test_password_fields_are_masked_and_managers_are_welcome() -> None:
    found = list(password_fields())
    assert len(found) >= 4
    assert {field["type"] for field in found} == {"password"}
    assert {field["autocomplete"] for field in found} == {"current-password", "new-password"}
    assert not any("onpaste" in field for field in found)


def scripts() -> Iterator[str]:
    for path in sorted((SITE / "assets").glob("*.js")):
        yield path.read_text()


def test_browser_storage_holds_a_mark_alone() -> None:
    lines = [line.strip() for script in scripts() for line in script.splitlines()]
    storing = [line for line in lines if "setItem" in line or "sessionStorage" in line]
    assert storing == ['localStorage.setItem(HINT, "1");']
    assert not any(word in line for line in lines for word in ("indexedDB", "document.cookie"))


def test_whoever_is_logged_in_sees_a_way_out() -> None:
    assert "Log out" in (SITE / "account.html").read_text()
