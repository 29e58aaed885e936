"""An archive of everything that is the caller's: asked for, looked after, downloaded."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.kernel.ids import new_id
from libs.storage.objects import ObjectStore
from services.user.erasure_schemas import ExportAnswer
from services.user.problems import ExportNotFound
from services.user.repository import exports
from services.user.repository.exports import Export, archive_key
from services.user.trail import note

URL_LIFETIME = timedelta(minutes=15)


async def request_export(
    session: AsyncSession, user_id: UUID, now: datetime, *, store: ObjectStore
) -> ExportAnswer:
    """Ask for an archive; while one is being made, that one is it."""
    export_id = new_id()
    await exports.add_export(session, export_id, user_id, now)
    answer = await get_export(session, user_id, now, store=store)
    if answer.id == export_id:
        await note(session, "account.export_requested", user_id, now=now, export=str(export_id))
    return answer


async def get_export(
    session: AsyncSession, user_id: UUID, now: datetime, *, store: ObjectStore
) -> ExportAnswer:
    """The newest archive. Raises ExportNotFound, also when its time is over."""
    export = await exports.newest_export(session, user_id)
    if export is None or (export.expires_at is not None and export.expires_at <= now):
        raise ExportNotFound()
    return show_export(export, now, store)


def show_export(export: Export, now: datetime, store: ObjectStore) -> ExportAnswer:
    """An export as its owner sees it; signing its URL needs no network."""
    url = until = None
    if export.expires_at is not None:
        until = min(now + URL_LIFETIME, export.expires_at)
        seconds = max(1, int((until - now).total_seconds()))
        key = archive_key(export.user_id, export.id)
        url = store.presign_get(key, lifetime_seconds=seconds)
    return ExportAnswer(
        id=export.id,
        state=export.state,
        requested_at=export.requested_at,
        size_bytes=export.size_bytes,
        ready_at=export.ready_at,
        expires_at=export.expires_at,
        url=url,
        url_expires_at=until,
    )
