"""Customer webhooks through the API: who may do what with them, and what jobs tell."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from libs.kernel.clock import utc_now
from libs.testkit.tokens import TokenIssuer
from libs.web.outgoing import OutgoingClient
from libs.webhooks.addresses import webhook_policy
from libs.webhooks.messages import MESSAGE_TYPES
from libs.webhooks.sending import Post
from services.generation.service.webhooks import MAX_WEBHOOKS
from services.generation.webhook_rounds import chance
from services.user.client.addresses import address_of_tenant
from tests.libs.webhooks.receiver import Receiver, answer
from tests.services.callers import Caller, named_fields, new_caller, problem_of
from tests.services.generation.conftest import SessionsOf
from tests.services.generation.webhook_shop import PATH, deliver, make

JOBS = "/api/v1/generations"
REQUEST = {"model": "demo", "prompt": "a red apple", "seed": 7}
ADD_USER = text(
    """
    INSERT INTO identity.users (id, email, display_name, password_hash, created_at)
    VALUES (:id, :email, 'Ada', '-', now())
    """
)


async def test_a_webhook_is_made_shown_changed_and_deleted(ada: Caller, shop: Receiver) -> None:
    made = await ada.post(PATH, {"url": shop.url, "description": "our shop"})
    assert made.headers["cache-control"] == "no-store"
    secret = made.json().pop("secret")
    shown = {name: value for name, value in made.json().items() if name != "secret"}
    assert secret.startswith("whsec_") and shown["events"] == list(MESSAGE_TYPES)
    place = f"{PATH}/{shown['id']}"
    assert (await ada.get(place)).json() == shown
    assert (await ada.get(PATH)).json()["items"] == [shown]
    changed = (await ada.patch(place, {"events": ["image.created"], "all_jobs": False})).json()
    assert changed == {**shown, "events": ["image.created"], "all_jobs": False}
    assert (await ada.delete(place)).status_code == 204
    assert problem_of(await ada.get(place)) == (404, "webhook-not-found")
    assert problem_of(await ada.delete(place)) == (404, "webhook-not-found")


@pytest.mark.parametrize(
    ("field", "value"),
    [("url", ""), ("url", "x" * 3000), ("events", []), ("events", ["nothing.happened"])]
    + [("events", ["image.created"] * 2), ("description", "\x00"), ("secret", "whsec_mine")],
)
async def test_a_bad_field_is_named(ada: Caller, shop: Receiver, field: str, value: object) -> None:
    fields = named_fields(await ada.post(PATH, {"url": shop.url, field: value}))
    assert [name for name in fields if name.startswith(f"body.{field}")] == fields != []


@pytest.mark.parametrize("url", ["https://10.0.0.1/", "http://93.184.215.14/", "https://[::1]/"])
async def test_a_url_that_leads_inside_is_refused_when_made_and_when_changed(
    ada: Caller, url: str
) -> None:
    refused = await ada.post(PATH, {"url": url})
    assert problem_of(refused) == (422, "url-not-allowed")
    assert [error["field"] for error in refused.json()["errors"]] == ["body.url"]
    made = await ada.post(PATH, {"url": "https://93.184.215.14/hook"})
    changed = await ada.patch(f"{PATH}/{made.json()['id']}", {"url": url})
    assert problem_of(changed) == (422, "url-not-allowed")


async def test_so_many_webhooks_and_no_more_even_at_once(ada: Caller, shop: Receiver) -> None:
    wanted = MAX_WEBHOOKS + 3
    answers = await asyncio.gather(*(ada.post(PATH, {"url": shop.url}) for _ in range(wanted)))
    assert sorted(one.status_code for one in answers) == [201] * MAX_WEBHOOKS + [409] * 3
    refused = next(one for one in answers if one.status_code == 409)
    assert (problem_of(refused)[1], refused.json()["limit"]) == ("too-many-webhooks", MAX_WEBHOOKS)


async def test_a_strangers_webhook_does_not_exist(
    ada: Caller, api: httpx.AsyncClient, issuer: TokenIssuer, shop: Receiver
) -> None:
    place = f"{PATH}/{(await make(ada, shop))['id']}"
    delivery = (await ada.post(f"{place}/test")).json()["id"]
    eve = new_caller(api, issuer)
    for refused in (
        await eve.get(place),
        await eve.patch(place, {"enabled": False}),
        await eve.post(f"{place}/rotate-secret"),
        await eve.post(f"{place}/test"),
        await eve.get(f"{place}/deliveries"),
        await eve.post(f"{place}/deliveries/{delivery}/redeliver"),
        await eve.delete(place),
    ):
        assert problem_of(refused) == (404, "webhook-not-found")
    assert (await eve.get(PATH)).json()["items"] == []


async def test_a_test_message_arrives_and_is_in_the_log(
    ada: Caller, shop: Receiver, post: Post
) -> None:
    made = await make(ada, shop, events=["image.created"], all_jobs=False)
    sent = await ada.post(f"{PATH}/{made['id']}/test")
    assert (sent.status_code, sent.json()["state"]) == (202, "pending")
    assert await deliver(post) == 1
    (got,) = shop.received
    assert got.is_signed_by(made["secret"]) and got.document["type"] == "webhook.test"
    assert got.message_id == sent.json()["message_id"]
    (logged,) = (await ada.get(f"{PATH}/{made['id']}/deliveries")).json()["items"]
    assert (logged["state"], logged["next_try_at"]) == ("delivered", None)
    assert logged["payload"] == got.document
    assert [(one["status"], one["answer"]) for one in logged["tries"]] == [(200, "thanks")]


async def test_after_a_rotation_both_secrets_sign(
    ada: Caller, shop: Receiver, sessions: SessionsOf
) -> None:
    made = await make(ada, shop)
    place = f"{PATH}/{made['id']}"
    second = (await ada.post(f"{place}/rotate-secret")).json()
    third = (await ada.post(f"{place}/rotate-secret")).json()
    await ada.post(f"{place}/test")
    client = OutgoingClient(webhook_policy(allow_private=True))
    soon = utc_now() + timedelta(minutes=1)
    await deliver(Post(sessions("relay"), client, address_of_tenant, lambda: soon, chance))
    await client.close()
    (got,) = shop.received
    signs = [got.is_signed_by(one) for one in (made["secret"], second["secret"], third["secret"])]
    assert signs == [False, True, True]  # two at most


async def test_what_failed_is_delivered_again_when_its_owner_asks(
    ada: Caller, shop: Receiver, post: Post
) -> None:
    made = await make(ada, shop)
    place = f"{PATH}/{made['id']}"
    sent = (await ada.post(f"{place}/test")).json()

    async def refuse(_got: object) -> bytes:
        return answer(500)

    shop.reply, thanks = refuse, shop.reply
    await deliver(post)
    again = f"{place}/deliveries/{sent['id']}/redeliver"
    assert (await ada.patch(place, {"enabled": False})).json()["disabled_reason"] == "owner"
    (failed,) = (await ada.get(f"{place}/deliveries")).json()["items"]
    assert (failed["state"], failed["attempts"]) == ("failed", 1)
    assert problem_of(await ada.post(again)) == (409, "webhook-disabled")
    assert problem_of(await ada.post(f"{place}/test")) == (409, "webhook-disabled")
    enabled = (await ada.patch(place, {"enabled": True})).json()
    assert (enabled["disabled_at"], enabled["failing_since"]) == (None, None)
    assert (await ada.post(again)).json()["state"] == "pending"
    shop.reply = thanks
    assert await deliver(post) == 1
    (done,) = (await ada.get(f"{place}/deliveries")).json()["items"]
    assert (done["state"], [one["status"] for one in done["tries"]]) == ("delivered", [500, 200])
    assert len({got.message_id for got in shop.received}) == 1
    unknown = f"{place}/deliveries/{uuid4()}/redeliver"
    assert problem_of(await ada.post(unknown)) == (404, "webhook-delivery-not-found")


async def test_the_owner_of_a_webhook_that_is_gone_is_told_by_e_mail(
    ada: Caller, shop: Receiver, post: Post, sessions: SessionsOf
) -> None:
    made = await make(ada, shop)
    await ada.post(f"{PATH}/{made['id']}/test")
    async with sessions("admin").begin() as session:
        for user, address in ((ada.id, "ada@example.com"), (uuid4(), "eve@example.com")):
            await session.execute(ADD_USER, {"id": user, "email": address})

    async def gone(_got: object) -> bytes:
        return answer(410)

    shop.reply = gone
    await deliver(post)
    assert (await ada.get(f"{PATH}/{made['id']}")).json()["disabled_reason"] == "gone"
    async with sessions("admin")() as session:
        letters = await session.execute(text("SELECT user_id, recipient FROM ops.emails"))
        assert letters.all() == [(ada.id, "ada@example.com")]
