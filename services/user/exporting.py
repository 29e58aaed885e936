"""Making archives of everything that is a user's, and deleting them when their time is over.

An archive is made in one go; a process that dies leaves parts that nobody can read, and the next
begins anew after a lease.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from prometheus_client import Counter

from libs.db.transaction import transaction
from libs.privacy.collections import read_page
from libs.privacy.contract import ExportedItem, ExportPage
from libs.storage.objects import ObjectStore
from libs.telemetry.logs import get_logger
from services.user.account_desk import AccountDesk
from services.user.archive import Archive
from services.user.repository import exports
from services.user.repository.exports import COLLECTIONS, Claim, ExportLost, archive_key

log = get_logger(__name__)
LEASE = timedelta(minutes=2)
RENEW_AFTER = timedelta(seconds=20)
KEPT_FOR = timedelta(days=7)
RETRY_AFTER = timedelta(seconds=30)
MAX_ATTEMPTS = 5
MAX_FILE_BYTES = 256 * 2**20
README = Path(__file__).with_name("archive_readme.txt")

made = Counter("easel_exports_total", "Tries to make an archive", ("outcome",))
for outcome in ("ready", "lost", "retried", "failed"):
    made.labels(outcome)  # a series that begins at 0 shows its first increase

Keep = Callable[[], Awaitable[None]]


async def export_due(desk: AccountDesk) -> bool:
    """Make the archive that is due the longest. False: none is due."""
    async with desk.sessions.begin() as session:
        claim = await exports.claim_due(session, desk.clock(), LEASE)
    if claim is None:
        return False
    try:
        await make_archive(desk, claim)
    except ExportLost:
        made.labels("lost").inc()
        await forget_unwanted(desk, claim)
    except Exception as error:  # noqa: BLE001 - whatever is away, try again
        await try_later(desk, claim, error)
    else:
        made.labels("ready").inc()
        await delete_older(desk, claim)
    return True


async def make_archive(desk: AccountDesk, claim: Claim) -> None:
    """Write everything. Raises ExportLost, OwnerAway, StorageUnavailable."""
    key = archive_key(claim.user_id, claim.id)
    if claim.upload_id is not None:
        await desk.store.abort_upload(key, claim.upload_id)
    upload_id = await desk.store.begin_upload(key, content_type="application/zip")
    keep = keeper(desk, claim, upload_id)
    await keep()
    archive = Archive(desk.store, key, upload_id, desk.clock())
    await archive.add("README.txt", README.read_bytes())
    await write_pages(archive, "account", own_pages(desk, claim.user_id), desk.store, keep)
    for owner in desk.owners:
        await write_pages(archive, owner.name, owner.export_pages(claim.user_id), desk.store, keep)
    await renew(desk, claim, upload_id)
    await archive.finish()
    now = desk.clock()
    async with desk.sessions.begin() as session:
        await exports.finish(
            session, claim, size_bytes=archive.size_bytes, now=now, expires_at=now + KEPT_FOR
        )


def keeper(desk: AccountDesk, claim: Claim, upload_id: str) -> Keep:
    """Renews the lease now and then. Raises ExportLost."""
    renewed_at = datetime.min.replace(tzinfo=desk.clock().tzinfo)

    async def keep() -> None:
        nonlocal renewed_at
        if desk.clock() - renewed_at >= RENEW_AFTER:
            renewed_at = desk.clock()
            await renew(desk, claim, upload_id)

    return keep


async def renew(desk: AccountDesk, claim: Claim, upload_id: str) -> None:
    """Go on for another lease. Raises ExportLost."""
    async with desk.sessions.begin() as session:
        await exports.renew(session, claim, desk.clock() + LEASE, upload_id)


async def own_pages(desk: AccountDesk, user_id: UUID) -> AsyncIterator[ExportPage]:
    """What the user service itself holds."""
    cursor: str | None = None
    while True:
        async with transaction(desk.sessions, user_id) as session:
            page = await read_page(session, COLLECTIONS, user_id, cursor)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return


async def write_pages(
    archive: Archive, folder: str, pages: AsyncIterator[ExportPage], store: ObjectStore, keep: Keep
) -> None:
    """A JSON file for each collection; where items have files, both for each item."""
    begun: set[str] = set()
    async for page in pages:
        await keep()
        rows = [item.data for item in page.items if item.file is None]
        if rows or page.collection not in begun and not page.items:
            await archive.add_rows(f"{folder}/{page.collection}.json", rows)
        begun.add(page.collection)
        for item in page.items:
            if item.file is not None:
                await add_file(archive, f"{folder}/{page.collection}", item, store)
                await keep()
    archive.end_list()


async def add_file(archive: Archive, folder: str, item: ExportedItem, store: ObjectStore) -> None:
    """An object and the row that tells of it; an object that is not there is left out."""
    if item.file is None:
        return
    body = await store.read_at_most(item.file.key, MAX_FILE_BYTES)
    if body is not None:
        await archive.add(f"{folder}/{item.file.name}", body, packed=False)
    await archive.add_rows(f"{folder}/{item.file.name}.json", [item.data])


async def try_later(desk: AccountDesk, claim: Claim, error: Exception) -> None:
    """Keep the reason, and begin anew after a rest; after some tries give up."""
    for_good = claim.attempts >= MAX_ATTEMPTS
    log.error("export_failed", export_id=str(claim.id), attempts=claim.attempts, exc_info=error)
    made.labels("failed" if for_good else "retried").inc()
    due = desk.clock() + RETRY_AFTER * claim.attempts
    async with desk.sessions.begin() as session:
        reason = f"{type(error).__name__}: {error}"
        await exports.fail(session, claim, reason, for_good=for_good, due=due)


async def forget_unwanted(desk: AccountDesk, claim: Claim) -> None:
    """What was made of an export that was deleted meanwhile is deleted, too; one that another
    process makes is left to it."""
    async with desk.sessions.begin() as session:
        known = [export.id for export in await exports.exports_of(session, claim.user_id)]
    if claim.id not in known:
        await desk.store.delete(archive_key(claim.user_id, claim.id))


async def delete_older(desk: AccountDesk, claim: Claim) -> None:
    """The newest archive takes the place of those before it."""
    async with desk.sessions.begin() as session:
        found = await exports.exports_of(session, claim.user_id)
    for export in found:
        if export.id < claim.id:
            await delete_archive(desk, export)


async def delete_archive(desk: AccountDesk, export: Claim) -> None:
    """Delete an archive, or its parts, and forget it."""
    key = archive_key(export.user_id, export.id)
    if export.upload_id is not None:
        await desk.store.abort_upload(key, export.upload_id)
    await desk.store.delete(key)
    async with desk.sessions.begin() as session:
        await exports.delete_export(session, export.id)


async def delete_expired(desk: AccountDesk) -> None:
    """Delete the archives whose time is over."""
    async with desk.sessions.begin() as session:
        found = await exports.list_expired(session, desk.clock())
    for export in found:
        await delete_archive(desk, export)
