"""What administrators do: give credits, check the ledger, mend webhooks, compare subscriptions."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from libs.credits.free_grants import open_account_with_a_free_month
from libs.db.transaction import transaction
from libs.kernel.clock import utc_now
from libs.testkit.lemon_squeezy.books import new_books, take_events
from libs.testkit.lemon_squeezy.checkouts import purchase
from libs.testkit.tokens import TokenIssuer
from services.payment.inbox import read_event, receive
from services.payment.inbox_worker import apply_pending
from tests.services.callers import Caller, named_fields, problem_of, walk
from tests.services.payment.ledger_moves import SessionsOf
from tests.services.payment.storefront import BALANCE, Storefront

ADMIN = "/api/v1/admin"
GRANTS = f"{ADMIN}/credits/grants"
CHECK = f"{ADMIN}/ledger/check"
WEBHOOKS = f"{ADMIN}/payments/webhooks"
RECONCILIATION = f"{ADMIN}/payments/reconciliation"
SMALL_PACK = 2001


@pytest.fixture
def root(api: httpx.AsyncClient, issuer: TokenIssuer) -> Caller:
    """An administrator."""
    user_id = uuid4()
    return Caller(api, issuer.headers(user_id, role="admin"), user_id)


@pytest.fixture
async def ada(ada: Caller, sessions: SessionsOf) -> Caller:
    """A user with an account."""
    async with transaction(sessions("user"), ada.id) as session:
        await open_account_with_a_free_month(session, user_id=ada.id, now=utc_now())
    return ada


def gift(user_id: UUID, /, **changes: Any) -> dict[str, Any]:
    wish = {"user_id": str(user_id), "credits": "12.5", "kind": "admin", "reason": "A lost picture"}
    return {name: value for name, value in {**wish, **changes}.items() if value is not None}


def key(name: str = "k") -> dict[str, str]:
    return {"Idempotency-Key": name}


async def rows(sessions: SessionsOf, query: str, **values: Any) -> list[Any]:
    async with sessions("admin")() as session:
        return [tuple(row) for row in await session.execute(text(query), values)]


async def test_credits_are_given_once_a_key_and_audited(
    root: Caller, ada: Caller, sessions: SessionsOf
) -> None:
    first = await root.post(GRANTS, gift(ada.id), **key())
    assert first.status_code == 201
    assert (first.json()["amount_credits"], first.json()["user_id"]) == ("12.5", str(ada.id))
    second = await root.post(GRANTS, gift(ada.id), **key())
    assert second.json() == first.json()
    assert second.headers["idempotency-replayed"] == "true"
    grants = (await ada.get(BALANCE)).json()["grants"]
    given = [grant for grant in grants if grant["kind"] == "admin"]
    assert [(grant["id"], grant["remaining_millicredits"]) for grant in given] == [
        (first.json()["id"], 12_500)
    ]
    lines = await rows(
        sessions,
        "SELECT actor, action, subject, user_id, details ->> 'reason',"
        " details ->> 'amount_millicredits' FROM ops.audit_log",
    )
    subject = f"grant:{first.json()['id']}"
    actor = f"admin:{root.id}"
    assert lines == [(actor, "credits.granted", subject, ada.id, "A lost picture", "12500")]
    assert (await root.get(CHECK)).json() == {"findings": []}


async def test_a_key_is_used_up_by_its_grant(
    root: Caller, ada: Caller, sessions: SessionsOf
) -> None:
    await root.post(GRANTS, gift(ada.id), **key())
    reused = (422, "idempotency-key-reused")
    assert problem_of(await root.post(GRANTS, gift(ada.id, credits="13"), **key())) == reused
    async with sessions("admin").begin() as session:  # answers are kept for a day
        await session.execute(text("DELETE FROM ops.idempotency_keys"))
    assert problem_of(await root.post(GRANTS, gift(ada.id), **key())) == reused
    assert len(await rows(sessions, "SELECT 1 FROM credits.grants WHERE kind = 'admin'")) == 1


async def test_of_many_with_one_key_at_once_one_gives(
    root: Caller, ada: Caller, sessions: SessionsOf
) -> None:
    answers = await asyncio.gather(*(root.post(GRANTS, gift(ada.id), **key()) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1
    assert len(await rows(sessions, "SELECT 1 FROM credits.grants WHERE kind = 'admin'")) == 1
    assert len(await rows(sessions, "SELECT 1 FROM ops.audit_log")) == 1


async def test_a_promotion_ends(root: Caller, ada: Caller) -> None:
    end = (utc_now() + timedelta(days=30)).replace(microsecond=0)
    wish = gift(
        ada.id, kind="promotion", credits=None, amount_millicredits=1, expires_at=end.isoformat()
    )
    answer = await root.post(GRANTS, wish, **key())
    assert (answer.json()["kind"], answer.json()["amount_millicredits"]) == ("promotion", 1)
    assert datetime.fromisoformat(answer.json()["expires_at"]) == end
    # earlier than what never ends, later than the free month's 500
    grants = (await ada.get(BALANCE)).json()["grants"]
    assert {grant["kind"] for grant in grants} == {"free", "promotion"}


FUTURE = datetime(2099, 1, 1, tzinfo=UTC).isoformat()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"credits": "0"}, "body.credits"),
        ({"credits": "-1"}, "body.credits"),
        ({"credits": "1.0005"}, "body.credits"),
        ({"credits": "1000000.001"}, "body.credits"),
        ({"credits": None, "amount_millicredits": 0}, "body.amount_millicredits"),
        ({"credits": None, "amount_millicredits": 1_000_000_001}, "body.amount_millicredits"),
        ({"credits": None, "amount_millicredits": 1.5}, "body.amount_millicredits"),
        ({"amount_millicredits": 5}, "body"),
        ({"credits": None}, "body"),
        ({"kind": "plan"}, "body.kind"),
        ({"kind": "promotion"}, "body"),
        ({"expires_at": "2099-01-01T00:00:00"}, "body.expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "body.expires_at"),
        ({"expires_at": "2101-01-01T00:00:00Z"}, "body.expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, "body.expires_at"),
        ({"reason": "  x "}, "body.reason"),
        ({"reason": "nul\x00nul"}, "body.reason"),
        ({"reason": None}, "body.reason"),
        ({"user_id": "ada"}, "body.user_id"),
        ({"colour": "red"}, "body.colour"),
    ],
)
async def test_a_bad_grant_is_named_and_not_given(
    root: Caller, ada: Caller, sessions: SessionsOf, changes: dict[str, Any], field: str
) -> None:
    assert named_fields(await root.post(GRANTS, gift(ada.id, **changes), **key())) == [field]
    assert await rows(sessions, "SELECT 1 FROM credits.grants WHERE kind <> 'free'") == []


async def test_the_range_is_told(root: Caller, ada: Caller) -> None:
    answer = await root.post(GRANTS, gift(ada.id, credits="1000001"), **key())
    assert "less than or equal to 1000000" in answer.json()["detail"]


async def test_without_a_key_or_a_user_nothing_is_given(root: Caller, ada: Caller) -> None:
    missing = named_fields(await root.post(GRANTS, gift(ada.id)))
    assert missing == ["header.Idempotency-Key"]
    unknown = await root.post(GRANTS, gift(uuid4()), **key())
    assert problem_of(unknown) == (404, "user-not-found")
    assert (await root.post(GRANTS, gift(ada.id), **key())).status_code == 201  # it stayed free


async def test_only_administrators_are_answered(
    api: httpx.AsyncClient, ada: Caller, root: Caller
) -> None:
    some_id = uuid4()
    wishes: list[tuple[str, str, Any]] = [
        ("POST", GRANTS, gift(ada.id)),
        ("GET", CHECK, None),
        ("GET", WEBHOOKS, None),
        ("POST", f"{WEBHOOKS}/{some_id}/retry", None),
        ("POST", f"{WEBHOOKS}/{some_id}/assign", {"user_id": str(ada.id)}),
        ("POST", RECONCILIATION, None),
    ]
    for method, path, body in wishes:
        bare = await api.request(method, path, json=body, headers=key())
        assert problem_of(bare) == (401, "unauthorized")
        headers = {**ada.headers, **key()}
        plain = await api.request(method, path, json=body, headers=headers)
        assert problem_of(plain) == (403, "forbidden"), path
    document = (await api.get("/openapi.json")).json()
    paths = {path for path in document["paths"] if path.startswith(ADMIN)}
    asked = {path.replace(str(some_id), "{webhook_id}") for _, path, _ in wishes}
    assert paths == asked  # none is forgotten here


async def test_a_finding_is_shown(root: Caller, ada: Caller, sessions: SessionsOf) -> None:
    async with sessions("admin").begin() as session:
        await session.execute(text("UPDATE credits.pockets SET remaining = remaining - 1"))
    (finding, *_) = (await root.get(CHECK)).json()["findings"]
    assert finding["user_id"] == str(ada.id)
    assert finding["expected"] - finding["found"] == 1


async def keep_a_lost_pack(shop: Storefront) -> None:
    """A pack that was bought outside of our checkout: nobody knows whose it is."""
    books = new_books(shop.clock.now)
    purchase(books, SMALL_PACK, email="who@example.com")
    (event,) = take_events(books)
    async with transaction(shop.desk.sessions) as session:
        await receive(session, read_event(event.body), event.body, shop.clock.now)


async def test_a_webhook_of_nobody_is_assigned_and_applied(
    shop: Storefront, sessions: SessionsOf
) -> None:
    ada = await shop.customer("ada")
    root = await administrator(shop, sessions)
    await keep_a_lost_pack(shop)
    await apply_pending(shop.desk)
    (stuck,) = await walk(root, WEBHOOKS)
    assert (stuck["event_name"], stuck["state"]) == ("order_created", "stuck")
    assert stuck["problem"].startswith("unknown-user")
    path = f"{WEBHOOKS}/{stuck['id']}"
    unknown = await root.post(f"{path}/assign", {"user_id": str(uuid4())})
    assert problem_of(unknown) == (404, "user-not-found")
    again = await root.post(f"{path}/retry")
    assert (again.json()["state"], again.json()["problem"]) == ("pending", None)
    assert problem_of(await root.post(f"{path}/retry")) == (409, "inbox-entry-not-stuck")
    await apply_pending(shop.desk)
    assigned = await root.post(f"{path}/assign", {"user_id": str(ada.id)})
    assert (assigned.json()["state"], assigned.json()["user_id"]) == ("pending", str(ada.id))
    await apply_pending(shop.desk)
    assert await walk(root, WEBHOOKS) == []
    (applied,) = await walk(root, WEBHOOKS, state="applied")
    assert applied["id"] == stuck["id"]
    assert (await shop.credits(ada))["top_up"] == 1_000
    lines = await rows(sessions, "SELECT actor, action FROM ops.audit_log ORDER BY id")
    actor = f"admin:{root.id}"
    assert [line for line in lines if line[0] == actor] == [
        (actor, "webhook.retried"),
        (actor, "webhook.assigned"),
    ]


async def administrator(shop: Storefront, sessions: SessionsOf) -> Caller:
    """Somebody who signed up, was made an administrator, and logged in again."""
    made = await shop.customer("root")
    async with sessions("admin").begin() as session:
        query = text("UPDATE identity.users SET role = 'admin' WHERE id = :id")
        await session.execute(query, {"id": made.id})
    return await shop.log_in("root")


async def test_bad_ids_and_states_are_named(root: Caller) -> None:
    for verb, body in (("retry", None), ("assign", {"user_id": str(uuid4())})):
        missing = await root.post(f"{WEBHOOKS}/{uuid4()}/{verb}", body)
        assert problem_of(missing) == (404, "inbox-entry-not-found")
        bad = await root.post(f"{WEBHOOKS}/one/{verb}", body)
        assert named_fields(bad) == ["path.webhook_id"]
    assert named_fields(await root.get(WEBHOOKS, state="lost")) == ["query.state"]
    assert named_fields(await root.get(WEBHOOKS, cursor="?")) == ["query.cursor"]


async def test_a_comparison_repairs_what_no_webhook_told(
    shop: Storefront, sessions: SessionsOf
) -> None:
    ada, root = await shop.customer("ada"), await administrator(shop, sessions)
    await shop.subscribe(ada, "pro")
    assert (await root.post(RECONCILIATION)).json() == {"compared": 3, "repaired": 0}
    (subscription,) = await shop.provider.find("subscriptions")
    await shop.provider.act(subscription["id"], "expire")  # and its webhooks are lost
    assert (await shop.current(ada))["plan"] == "pro"
    assert (await root.post(RECONCILIATION)).json() == {"compared": 3, "repaired": 1}
    assert (await shop.current(ada))["plan"] == "free"
    assert (await root.post(RECONCILIATION)).json() == {"compared": 3, "repaired": 0}
    query = "SELECT details FROM ops.audit_log WHERE action = 'payments.reconciled' ORDER BY id"
    compared = [line[0]["repaired"] for line in await rows(sessions, query)]
    assert compared == [0, 1, 0]
    await shop.provider.faults(status=503)
    assert problem_of(await root.post(RECONCILIATION)) == (503, "billing-unavailable")
