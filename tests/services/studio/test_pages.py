"""The site: every page is whole, served safely, and asks nothing of another host."""

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser

import httpx
import pytest

from services.studio.app import build_app
from services.studio.pages import POLICY
from services.studio.settings import StudioSettings
from services.studio.site_files import SITE, read_site
from tests.services.callers import problem_of

FILES = read_site()
PAGES = sorted(address for address, found in FILES.items() if found.is_page)
SCRIPTS = sorted(address for address in FILES if address.endswith(".js"))
IMPORT = re.compile(r'(?:from|import) "(\.{1,2}/[^"]+)"')


class Reader(HTMLParser):
    """What a page refers to, and what its form fields are called."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.fields: list[str] = []
        self.inline: list[str] = []
        self.inside_label = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.links += [given[name] for name in ("href", "src", "action") if name in given]
        self.ids += [given["id"]] if "id" in given else []
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "script" and "src" not in given or tag == "style":
            self.inline.append(tag)
        if tag == "label":
            self.inside_label = True
            self.labelled.add(given.get("for", ""))
        if tag in ("input", "select"):
            self.fields.append(given["id"])
            if self.inside_label:
                self.labelled.add(given["id"])

    def handle_endtag(self, tag: str) -> None:
        self.inside_label = self.inside_label and tag != "label"


def read(address: str) -> Reader:
    return Reader(FILES[address].body.decode())


@pytest.fixture
async def site() -> AsyncIterator[httpx.AsyncClient]:
    app = build_app(StudioSettings(port=0, public_url="https://easel.example"))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://studio") as client:
        yield client


@pytest.mark.parametrize("address", PAGES)
def test_a_page_leads_to_what_there_is(address: str) -> None:
    page = read(address)
    assert len(set(page.ids)) == len(page.ids)
    for link in page.links:
        path = link.partition("?")[0].partition("#")[0]
        assert link.startswith(("/", "#")) and not link.startswith("//"), link
        assert path in ("", *FILES) or path.startswith(("/docs/", "/api/v1/")), link


@pytest.mark.parametrize("address", PAGES)
def test_a_page_has_no_inline_code_and_labels_every_field(address: str) -> None:
    page = read(address)
    assert page.inline == []
    assert set(page.fields) <= page.labelled


@pytest.mark.parametrize("address", SCRIPTS)
def test_a_module_imports_what_there_is_and_writes_no_markup(address: str) -> None:
    text = FILES[address].body.decode()
    folder = (SITE / address.removeprefix("/")).parent
    for wanted in IMPORT.findall(text):
        assert (folder / wanted).resolve().is_file(), wanted
    for danger in ("innerHTML", "outerHTML", "document.write", "eval(", "insertAdjacentHTML"):
        assert danger not in text
    assert re.findall(r"https?://", text) == []


def test_a_module_uses_elements_that_its_page_has() -> None:
    ids = {name for address in PAGES for name in read(address).ids}
    made = {"error"}
    for address in SCRIPTS:
        used = set(re.findall(r'byId\("([^"]+)"\)', FILES[address].body.decode()))
        assert used - ids - made == set(), address


@pytest.mark.parametrize("address", PAGES)
async def test_a_page_comes_with_its_policy(site: httpx.AsyncClient, address: str) -> None:
    answer = await site.get(address, headers={"Accept": "text/html"})
    assert answer.status_code == (404 if address == "/not-found" else 200)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    headers = answer.headers
    assert headers.get_list("content-security-policy") == [POLICY]
    assert "unsafe" not in POLICY and "default-src 'none'" in POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["strict-transport-security"].startswith("max-age=")


async def test_files_are_kept_until_they_change(site: httpx.AsyncClient) -> None:
    first = await site.get("/assets/api.js")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    assert first.headers["cache-control"] == "no-cache"
    known = {"If-None-Match": f'"old", W/{first.headers["etag"]}'}
    again = await site.get("/assets/api.js", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    changed = await site.get("/assets/api.js", headers={"If-None-Match": '"old"'})
    assert changed.status_code == 200
    head = await site.head("/assets/api.js")
    assert head.content == b"" and head.headers["content-length"] == str(len(first.content))


@pytest.mark.parametrize(
    "path", ["/nothing", "/sign-up.html", "/assets/", "/assets/%2e%2e/app.py", "/../settings.py"]
)
async def test_what_is_not_there(site: httpx.AsyncClient, path: str) -> None:
    page = await site.get(path, headers={"Accept": "text/html"})
    assert page.status_code == 404 and "There is no such page" in page.text
    assert problem_of(await site.get(path)) == (404, "not-found")


async def test_pages_are_only_read(site: httpx.AsyncClient) -> None:
    assert problem_of(await site.post("/log-in")) == (405, "method-not-allowed")


async def test_the_site_has_health_and_no_operations(site: httpx.AsyncClient) -> None:
    assert (await site.get("/healthz")).status_code == 200
    assert (await site.get("/openapi.json")).json()["paths"] == {}
