"""A person with content everywhere is deleted through the API; then every byte is searched."""

from libs.credits.audit import ledger_check
from libs.storage.objects import StorageSettings
from tests.erasure.account_worker import AccountWorker
from tests.erasure.inventory import tables
from tests.erasure.life import Life
from tests.erasure.search import objects_with, redis_with, tables_with
from tests.stack.running import Stack

# What the law wants kept, under an id that leads to nobody, as docs/guides/personal-data.md says.
PSEUDONYM_STAYS = {
    "billing.invoices",
    "billing.orders",
    "billing.subscriptions",
    "credits.accounts",
    "credits.grants",
    "credits.transfers",
    "identity.erasures",
    "ops.audit_log",
}
# Where a mark of a full life must be found before: what the search can see.
SEEN_BEFORE = {
    "billing.inbox",
    "billing.observations",
    "billing.subscriptions",
    "gallery.boards",
    "gallery.images",
    "generation.jobs",
    "identity.identities",
    "identity.sessions",
    "identity.users",
    "models.models",
    "ops.api_keys",
    "ops.emails",
    "ops.idempotency_keys",
}


def assert_balanced(stack: Stack) -> None:
    async def check() -> None:
        async with stack.sessions("billing").begin() as session:
            assert await ledger_check(session) == []

    stack.run(check())


def export(life: Life, worker: AccountWorker) -> None:
    """An archive lies ready."""
    life.call("user", "POST", "/api/v1/users/me/export")
    worker.export_all()
    assert life.call("user", "GET", "/api/v1/users/me/export")["state"] == "ready"


def test_no_byte_of_a_deleted_person_is_left(
    stack: Stack, worker: AccountWorker, storage_settings: StorageSettings
) -> None:
    ada, eve = Life(stack), Life(stack)
    ada.fill()
    eve.fill()
    worker.relay()
    worker.send_letters()
    export(ada, worker)
    export(eve, worker)
    assert set(tables_with(stack, ada.mark)) >= SEEN_BEFORE
    assert redis_with(stack, str(ada.id))
    assert len(objects_with(storage_settings, str(ada.id))) >= 5
    before = content_of(stack, storage_settings, eve)

    ada.delete()
    worker.erase(ada.id)

    assert tables_with(stack, ada.mark) == {}
    assert set(tables_with(stack, str(ada.id))) == PSEUDONYM_STAYS
    assert PSEUDONYM_STAYS <= {name for name, table in tables().items() if table.stays}
    assert redis_with(stack, ada.mark, str(ada.id)) == {}
    assert objects_with(storage_settings, ada.mark, str(ada.id)) == []
    assert content_of(stack, storage_settings, eve) == before
    assert_balanced(stack)

    worker.look_again(ada.id)
    assert set(tables_with(stack, str(ada.id))) == PSEUDONYM_STAYS
    assert tables_with(stack, ada.mark) == {}
    assert content_of(stack, storage_settings, eve) == before
    assert_balanced(stack)


def content_of(
    stack: Stack, storage: StorageSettings, life: Life
) -> tuple[dict[str, list[str]], list[str]]:
    """Everything that holds somebody's mark or id."""
    rows = tables_with(stack, life.mark, str(life.id))
    return {name: sorted(found) for name, found in rows.items()}, objects_with(
        storage, life.mark, str(life.id)
    )
