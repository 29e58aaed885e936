"""The edge of a service over a real server: whom it believes, what it refuses, what it answers."""

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import ValidationError

from libs.web.client_addresses import countable
from libs.web.request_limits import MAX_HEAD_BYTES, MAX_HEADERS
from libs.web.settings import WebSettings
from tests.libs.web.served import serving

API_POLICY = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
EVERY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": API_POLICY,
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with serving() as client:
        yield client


async def seen(http: httpx.AsyncClient, *forwarded: str) -> str:
    headers = [("X-Forwarded-For", value) for value in forwarded]
    answer: str = (await http.get("/address", headers=headers)).json()
    return answer


async def test_the_gateway_is_believed_and_what_its_client_says_is_not(
    http: httpx.AsyncClient,
) -> None:
    assert await seen(http) == "127.0.0.1"
    assert await seen(http, "203.0.113.7") == "203.0.113.7"
    # a client wrote the first address, the gateway appended the one it saw
    assert await seen(http, "198.51.100.1, 203.0.113.7") == "203.0.113.7"
    assert await seen(http, "198.51.100.1", "203.0.113.7") == "203.0.113.7"
    assert await seen(http, "127.0.0.1, 203.0.113.7, 127.0.0.1") == "203.0.113.7"


async def test_whoever_is_no_trusted_proxy_is_not_believed() -> None:
    async with serving(trusted_proxies="10.0.0.0/8, 192.0.2.1") as http:
        assert await seen(http, "203.0.113.7") == "127.0.0.1"
    async with serving(trusted_proxies="127.0.0.0/8, 10.0.0.0/8") as http:
        assert await seen(http, "203.0.113.7, 10.1.2.3") == "203.0.113.7"


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
        ("a:b", "a:b"),
    ],
)
def test_one_customers_ipv6_addresses_count_as_one(host: str, counted: str) -> None:
    assert countable(host) == counted


@pytest.mark.parametrize("path", ["/address", "/broken", "/nowhere", "/healthz", "/metrics"])
async def test_every_answer_tells_browsers_to_be_careful(
    http: httpx.AsyncClient, path: str
) -> None:
    answer = await http.get(path)
    assert {name: answer.headers[name] for name in EVERY} == EVERY
    assert "strict-transport-security" not in answer.headers
    assert "server" not in answer.headers


async def test_a_route_may_say_how_long_its_answer_keeps(http: httpx.AsyncClient) -> None:
    answer = await http.get("/public")
    assert answer.headers.get_list("cache-control") == ["public, max-age=60"]


async def test_a_public_https_origin_stays_https() -> None:
    async with serving(public_url="https://easel.example") as http:
        for path in ("/address", "/broken"):
            told = (await http.get(path)).headers["strict-transport-security"]
            assert told == "max-age=63072000; includeSubDomains"


PREFLIGHT = {
    "Origin": "https://app.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,idempotency-key",
}


async def test_pages_of_other_origins_may_not_call_unless_it_is_configured(
    http: httpx.AsyncClient,
) -> None:
    preflight = await http.options("/notes", headers=PREFLIGHT)
    answer = await http.get("/address", headers={"Origin": "https://app.example"})
    for headers in (preflight.headers, answer.headers):
        assert not [name for name in headers if name.startswith("access-control")]


async def test_pages_of_a_configured_origin_may_call_without_credentials() -> None:
    async with serving(cors_origins="https://app.example") as http:
        preflight = await http.options("/notes", headers=PREFLIGHT)
        answer = await http.get("/address", headers={"Origin": "https://app.example"})
        failed = await http.get("/broken", headers={"Origin": "https://app.example"})
        foreign = await http.options("/notes", headers={**PREFLIGHT, "Origin": "https://evil.test"})
        cookies = {**PREFLIGHT, "Access-Control-Request-Headers": "x-easel-browser"}
        browser = await http.options("/notes", headers=cookies)
    assert preflight.status_code == 200
    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed and "idempotency-key" in allowed
    for told in (preflight, answer, failed):
        assert told.headers["access-control-allow-origin"] == "https://app.example"
        assert "access-control-allow-credentials" not in told.headers
    assert "RateLimit-Remaining" in answer.headers["access-control-expose-headers"]
    assert foreign.status_code == browser.status_code == 400
    assert "access-control-allow-origin" not in foreign.headers


async def test_any_origin_may_be_let_in_but_never_with_credentials() -> None:
    async with serving(cors_origins="*") as http:
        answer = await http.get("/address", headers={"Origin": "https://any.test", "Cookie": "a=b"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "ftp://x", "null"])
def test_what_no_browser_sends_is_no_origin(origin: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        WebSettings.model_validate({"port": 0, "cors_origins": origin})


def test_the_environment_lists_words_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_PORT", "1")
    monkeypatch.setenv("EASEL_TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    monkeypatch.setenv("EASEL_CORS_ORIGINS", "https://a.example,http://localhost:3000")
    settings = WebSettings()
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1")
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")


async def test_a_head_that_is_too_large_is_refused(http: httpx.AsyncClient) -> None:
    many = {f"X-{number}": "" for number in range(MAX_HEADERS)}
    for answer in (
        await http.get("/address", headers=many),
        await http.get("/address", headers={"X-Long": "x" * MAX_HEAD_BYTES}),
        await http.get("/address", params={"q": "x" * MAX_HEAD_BYTES}),
    ):
        assert (answer.status_code, answer.json()["type"]) == (431, "/problems/headers-too-large")


async def test_the_documentation_needs_no_other_host(http: httpx.AsyncClient) -> None:
    page = await http.get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text and "<script>" not in page.text
    assert 'data-document="/openapi/test.json"' in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy and "frame-ancestors" in policy
    for name, kind in (
        ("swagger-ui-bundle.js", "text/javascript"),
        ("start.js", "text/javascript"),
        ("swagger-ui.css", "text/css"),
        ("favicon.png", "image/png"),
    ):
        assert f"/docs/assets/{name}" in page.text
        asset = await http.get(f"/docs/assets/{name}")
        assert asset.status_code == 200 and len(asset.content) > 100
        assert asset.headers["content-type"].startswith(kind)
        assert asset.headers["cache-control"] == "public, max-age=86400"
    assert b"SwaggerUIBundle" in (await http.get("/docs/assets/swagger-ui-bundle.js")).content
    for name in ("redoc.standalone.js", "..%2f__init__.py", "x"):
        assert (await http.get(f"/docs/assets/{name}")).status_code == 404
