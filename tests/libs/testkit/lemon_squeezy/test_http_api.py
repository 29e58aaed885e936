"""The API over real HTTP: documents, paging, filters, errors, the limit, faults."""

from typing import Any

import httpx
import pytest

from libs.testkit.lemon_squeezy.client import DoubleClient
from libs.testkit.lemon_squeezy.documents import MEDIA_TYPE
from libs.testkit.lemon_squeezy.fixture import StartDouble

HEADERS = {
    "Authorization": "Bearer local-api-key",
    "Accept": MEDIA_TYPE,
    "Content-Type": MEDIA_TYPE,
}


def checkout_body(variant: object = 1001, **attributes: Any) -> dict[str, Any]:
    return {
        "data": {
            "type": "checkouts",
            "attributes": attributes,
            "relationships": {
                "store": {"data": {"type": "stores", "id": "1"}},
                "variant": {"data": {"type": "variants", "id": str(variant)}},
            },
        }
    }


async def send(double: DoubleClient, method: str, path: str, body: object = None) -> httpx.Response:
    async with httpx.AsyncClient(base_url=double.base_url, headers=HEADERS) as http:
        return await http.request(method, path, json=body)


def only_error(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The one error of a JSON:API error document."""
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith(MEDIA_TYPE)
    (found,) = answer.json()["errors"]
    assert found["status"] == str(status) and found["title"] and found["detail"]
    return dict(found)


async def test_a_subscription_document_has_the_documented_shape(
    lemon_squeezy: DoubleClient,
) -> None:
    bought = await lemon_squeezy.buy(1012, email="ann@example.com")
    answer = await send(lemon_squeezy, "GET", f"/v1/subscriptions/{bought.subscription_id}")
    assert answer.headers["content-type"] == MEDIA_TYPE
    document = answer.json()
    self = f"{lemon_squeezy.base_url}/v1/subscriptions/{bought.subscription_id}"
    assert set(document) == {"jsonapi", "links", "data"}
    assert document["jsonapi"] == {"version": "1.0"}
    assert document["links"] == document["data"]["links"] == {"self": self}
    relation = {"links": {"related": f"{self}/customer", "self": f"{self}/relationships/customer"}}
    assert document["data"]["relationships"]["customer"] == relation
    attributes = document["data"]["attributes"]
    assert attributes["status"] == "on_trial" and attributes["status_formatted"] == "On trial"
    assert attributes["renews_at"] == attributes["trial_ends_at"]
    assert attributes["renews_at"].endswith(".000000Z")
    assert attributes["first_subscription_item"] is None
    assert set(attributes["urls"]) == {
        "update_payment_method",
        "customer_portal",
        "customer_portal_update_subscription",
    }


async def test_an_invoice_has_no_renewal_date(lemon_squeezy: DoubleClient) -> None:
    await lemon_squeezy.buy(1001, email="ann@example.com", skip_trial=True)
    (invoice,) = await lemon_squeezy.find("subscription-invoices")
    attributes = invoice["attributes"]
    assert "renews_at" not in attributes and "variant_id" not in attributes
    assert (attributes["total"], attributes["total_formatted"]) == (2500, "$25.00")
    assert (attributes["billing_reason"], attributes["status"]) == ("initial", "paid")


async def test_a_checkout_keeps_what_it_was_given(lemon_squeezy: DoubleClient) -> None:
    body = checkout_body(
        2003,
        checkout_data={"email": "ann@example.com", "custom": {"user_id": "7"}},
        product_options={"redirect_url": "http://127.0.0.1/after"},
        expires_at="2030-01-01T00:00:00Z",
        preview=True,
    )
    made = await send(lemon_squeezy, "POST", "/v1/checkouts", body)
    assert made.status_code == 201
    data = made.json()["data"]
    attributes = data["attributes"]
    assert attributes["checkout_data"]["custom"] == {"user_id": "7"}
    assert attributes["product_options"]["redirect_url"] == "http://127.0.0.1/after"
    assert attributes["expires_at"] == "2030-01-01T00:00:00.000000Z"
    assert attributes["preview"]["total_formatted"] == "$100.00"
    again = await send(lemon_squeezy, "GET", f"/v1/checkouts/{data['id']}")
    assert again.json()["data"]["attributes"]["url"] == attributes["url"]


async def test_lists_are_paged_newest_first(lemon_squeezy: DoubleClient) -> None:
    for number in range(5):
        await lemon_squeezy.buy(2001, email=f"{number}@example.com")
    first = (await send(lemon_squeezy, "GET", "/v1/orders?page[size]=2")).json()
    assert first["meta"]["page"] == {
        "currentPage": 1,
        "from": 1,
        "lastPage": 3,
        "perPage": 2,
        "to": 2,
        "total": 5,
    }
    assert set(first["links"]) == {"first", "last", "next"}
    numbers = [row["attributes"]["order_number"] for row in first["data"]]
    url = first["links"]["next"]
    while url:
        page = (await send(lemon_squeezy, "GET", url)).json()
        numbers += [row["attributes"]["order_number"] for row in page["data"]]
        url = page["links"].get("next")
    assert numbers == [5, 4, 3, 2, 1]
    beyond = (await send(lemon_squeezy, "GET", "/v1/orders?page[number]=9")).json()
    assert beyond["data"] == [] and beyond["meta"]["page"]["from"] is None
    only_error(await send(lemon_squeezy, "GET", "/v1/orders?page[size]=101"), 400)


async def test_lists_are_filtered(lemon_squeezy: DoubleClient) -> None:
    bought = await lemon_squeezy.buy(1001, email="ann@example.com")
    await lemon_squeezy.buy(1011, email="bob@example.com", skip_trial=True)
    (found,) = await lemon_squeezy.find("subscriptions", status="on_trial", store_id="1")
    assert found["id"] == bought.subscription_id
    assert await lemon_squeezy.find("subscriptions", status="expired") == []
    assert len(await lemon_squeezy.find("subscription-invoices", refunded="false")) == 2
    assert len(await lemon_squeezy.find("variants", product_id="1010")) == 2
    only_error(await send(lemon_squeezy, "GET", "/v1/orders?filter[colour]=red"), 400)
    only_error(await send(lemon_squeezy, "GET", "/v1/orders?include=customer"), 400)


@pytest.mark.parametrize("key", ["", "Bearer wrong", "Basic local-api-key", "Bearer"])
async def test_without_the_key_nothing_is_told(lemon_squeezy: DoubleClient, key: str) -> None:
    async with httpx.AsyncClient(base_url=lemon_squeezy.base_url) as http:
        headers = {**HEADERS, "Authorization": key}
        answer = await http.get("/v1/subscriptions", headers=headers)
    assert only_error(answer, 401)["detail"] == "Unauthenticated."


async def test_media_types_are_asked_for(lemon_squeezy: DoubleClient) -> None:
    async with httpx.AsyncClient(base_url=lemon_squeezy.base_url) as http:
        plain = {**HEADERS, "Content-Type": "application/json"}
        only_error(await http.post("/v1/checkouts", json=checkout_body(), headers=plain), 415)
        html = {**HEADERS, "Accept": "text/html"}
        only_error(await http.get("/v1/orders", headers=html), 406)


@pytest.mark.parametrize("path", ["subscriptions/1", "orders/1", "checkouts/x", "nothing", "no/1"])
async def test_what_is_not_there_is_404(lemon_squeezy: DoubleClient, path: str) -> None:
    only_error(await send(lemon_squeezy, "GET", f"/v1/{path}"), 404)


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        ({"checkout_data": "x"}, "/data/attributes/checkout_data"),
        ({"checkout_data": {"custom": {"id": 7}}}, "/data/attributes/checkout_data/custom/id"),
        ({"custom_price": -1}, "/data/attributes/custom_price"),
        ({"expires_at": "soon"}, "/data/attributes/expires_at"),
    ],
)
async def test_bad_checkouts_are_422(
    lemon_squeezy: DoubleClient, attributes: dict[str, Any], pointer: str
) -> None:
    answer = await send(lemon_squeezy, "POST", "/v1/checkouts", checkout_body(**attributes))
    assert only_error(answer, 422)["source"] == {"pointer": pointer}
    assert await lemon_squeezy.find("checkouts") == []


async def test_bodies_that_are_no_documents_are_refused(lemon_squeezy: DoubleClient) -> None:
    unknown = await send(lemon_squeezy, "POST", "/v1/checkouts", checkout_body(9))
    assert only_error(unknown, 404)["source"] == {"pointer": "/data/relationships/variant"}
    bodies: list[object] = ["x", [], {"data": None}, {"data": {}}]
    for body in bodies:
        only_error(await send(lemon_squeezy, "POST", "/v1/checkouts", body), 400)
    other = {"data": {"type": "orders", "attributes": {}}}
    only_error(await send(lemon_squeezy, "POST", "/v1/checkouts", other), 409)


async def test_a_subscription_is_changed_by_patch_and_delete(lemon_squeezy: DoubleClient) -> None:
    bought = await lemon_squeezy.buy(1001, email="ann@example.com", skip_trial=True)
    sub = bought.subscription_id or ""
    changed = await lemon_squeezy.change(sub, variant_id=1011, invoice_immediately=True)
    assert (changed["variant_id"], changed["product_name"]) == (1011, "Easel Pro")
    paused = await lemon_squeezy.change(sub, pause={"mode": "free"})
    assert (paused["status"], paused["pause"]) == ("paused", {"mode": "free", "resumes_at": None})
    assert (await lemon_squeezy.change(sub, pause=None))["status"] == "active"
    cancelled = await send(lemon_squeezy, "DELETE", f"/v1/subscriptions/{sub}")
    attributes = cancelled.json()["data"]["attributes"]
    assert (attributes["status"], attributes["cancelled"]) == ("cancelled", True)
    assert attributes["ends_at"] == attributes["renews_at"]
    resumed = await lemon_squeezy.change(sub, cancelled=False)
    assert (resumed["status"], resumed["ends_at"]) == ("active", None)


@pytest.mark.parametrize(
    "attributes",
    [
        {"variant_id": 2001},
        {"variant_id": "x"},
        {"pause": {"mode": "never"}},
        {"billing_anchor": 32},
        {"cancelled": "yes"},
        {"trial_ends_at": "2020-01-01T00:00:00Z"},
    ],
)
async def test_bad_changes_are_422(lemon_squeezy: DoubleClient, attributes: dict[str, Any]) -> None:
    bought = await lemon_squeezy.buy(1001, email="ann@example.com")
    sub = bought.subscription_id
    body = {"data": {"type": "subscriptions", "id": sub, "attributes": attributes}}
    only_error(await send(lemon_squeezy, "PATCH", f"/v1/subscriptions/{sub}", body), 422)


async def test_refunds(lemon_squeezy: DoubleClient) -> None:
    bought = await lemon_squeezy.buy(1001, email="ann@example.com", skip_trial=True)
    (invoice,) = await lemon_squeezy.find("subscription-invoices")
    await lemon_squeezy.refund("subscription-invoices", invoice["id"], 1000)
    (invoice,) = await lemon_squeezy.find("subscription-invoices", status="partial_refund")
    assert invoice["attributes"]["refunded_amount_formatted"] == "$10.00"
    whole = await send(lemon_squeezy, "POST", f"/v1/orders/{bought.order_id}/refund")
    assert whole.json()["data"]["attributes"]["status"] == "refunded"
    again = await send(lemon_squeezy, "POST", f"/v1/orders/{bought.order_id}/refund")
    only_error(again, 422)


async def test_the_limit_of_calls_a_minute(start_lemon_squeezy: StartDouble) -> None:
    double = await start_lemon_squeezy(rate_limit=3)
    left = [(await send(double, "GET", "/v1/stores")).headers for _ in range(3)]
    assert [headers["x-ratelimit-remaining"] for headers in left] == ["2", "1", "0"]
    assert {headers["x-ratelimit-limit"] for headers in left} == {"3"}
    refused = await send(double, "GET", "/v1/stores")
    only_error(refused, 429)
    assert 0 < int(refused.headers["retry-after"]) <= 60
    await double.limit(300)
    assert (await send(double, "GET", "/v1/stores")).status_code == 200


async def test_faults_hit_before_or_after_the_effect(lemon_squeezy: DoubleClient) -> None:
    await lemon_squeezy.faults(2, status=503)
    for _ in range(2):
        only_error(await send(lemon_squeezy, "POST", "/v1/checkouts", checkout_body()), 503)
    assert await lemon_squeezy.find("checkouts") == []
    await lemon_squeezy.faults(1, status=500, after_effect=True)
    only_error(await send(lemon_squeezy, "POST", "/v1/checkouts", checkout_body()), 500)
    assert len(await lemon_squeezy.find("checkouts")) == 1


async def test_the_store_and_its_goods_are_listed(lemon_squeezy: DoubleClient) -> None:
    await lemon_squeezy.buy(2001, email="ann@example.com")
    (store,) = await lemon_squeezy.find("stores")
    assert (store["id"], store["attributes"]["currency"]) == ("1", "USD")
    variants = {row["id"]: row["attributes"] for row in await lemon_squeezy.find("variants")}
    assert variants["1022"]["price"] == 150000 and variants["1022"]["interval"] == "year"
    assert variants["2001"]["is_subscription"] is False
    assert len(await lemon_squeezy.find("products")) == 6
    (customer,) = await lemon_squeezy.find("customers", email="ann@example.com")
    assert customer["attributes"]["total_revenue_currency"] == 600
