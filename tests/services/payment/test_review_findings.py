"""What must hold when a customer has two subscriptions, or the provider acts by halves."""

from uuid import UUID, uuid4

from tests.services.callers import Caller, named_fields
from tests.services.payment.storefront import CURRENT, Storefront
from tests.services.payment.test_spend_caps import CAPS, cap

PRO = {"plan": "pro", "interval": "month"}


async def buy_twice(shop: Storefront, customer: Caller) -> None:
    """Two pages that were open side by side are both paid; both trials are over."""
    pages = [await shop.checkout(customer, **PRO) for _ in range(2)]
    for page in pages:
        await shop.provider.pay(page["checkout_url"])
    await shop.tell()
    await shop.advance(days=7, minutes=1)


async def test_cancelling_twice_cancels_both_subscriptions(shop: Storefront) -> None:
    ada = await shop.customer("ada")
    assert (await shop.current(ada))["other_subscriptions"] == 0
    await buy_twice(shop, ada)
    assert (await shop.current(ada))["other_subscriptions"] == 1
    for left in (["active", "cancelled"], ["cancelled", "cancelled"]):
        answer = await ada.post(f"{CURRENT}/cancel", {})
        assert (answer.status_code, answer.json()["other_subscriptions"]) == (200, 1)
        await shop.tell()
        query = "SELECT status FROM billing.subscriptions ORDER BY 1"
        assert [status for (status,) in await shop.rows(query)] == left
    assert (await shop.current(ada))["subscription"]["status"] == "cancelled"
    await shop.advance(days=32)
    ended = await shop.current(ada)
    assert (ended["subscription"], ended["other_subscriptions"]) == (None, 0)


async def test_a_cap_of_no_key_is_named(ada: Caller) -> None:
    zero = str(UUID(int=0))
    for limit in (0, 1_000, None):
        assert named_fields(await ada.put(CAPS, cap("total", limit, zero))) == ["body.key_id"]
    assert (await ada.get(CAPS)).json() == {"items": []}


async def test_a_user_has_a_hundred_caps(ada: Caller, eve: Caller) -> None:
    keys = [str(uuid4()) for _ in range(100)]
    for key in keys:
        assert (await ada.put(CAPS, cap("day", 1, key))).status_code == 200
    refused = await ada.put(CAPS, cap("day", 1))
    assert named_fields(refused) == ["body"]
    assert "lift one first" in refused.json()["detail"]
    assert (await eve.put(CAPS, cap("day", 1))).status_code == 200
    assert (await ada.put(CAPS, cap("day", 2, keys[0]))).status_code == 200
    assert (await ada.put(CAPS, cap("day", None, keys[0]))).status_code == 200
    assert (await ada.put(CAPS, cap("day", 1))).status_code == 200
