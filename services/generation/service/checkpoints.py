"""What is kept of a job under way, so that no machine that is lost costs more than a few steps.

Below `checkpoints/{user}/{job}/{image}/` lie the newest checkpoint of each attempt (a line of JSON
that names its step, then the engine's own bytes) and, once the image is stored, its record. A mark
beside them says that there may be files of an image that nobody was given.
Attempts never write to each other's keys; any checkpoint of a job leads to the same picture. All of
it goes when the job ends.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from prometheus_client import Counter
from pydantic import TypeAdapter, ValidationError

from libs.storage.objects import ObjectStore, StorageUnavailable
from libs.telemetry.logs import get_logger
from libs.triton.contract import Checkpoint
from services.gallery.client.images import ImageRecord
from services.generation.models import Job

log = get_logger(__name__)
ROOT = "checkpoints/"
RECORD = "image.json"
UNDELIVERED = "undelivered"
PAUSE_SECONDS = 1.0  # between two that are stored: a picture of a second costs the store nothing
LAST_SECONDS = 2.0  # that the end of an attempt waits for what is being stored
PAGES = 10
RECORDS: TypeAdapter[ImageRecord | None] = TypeAdapter(ImageRecord | None)
stored = Counter("easel_checkpoints_stored_total", "Checkpoints in object storage")
resumed = Counter("easel_checkpoints_resumed_total", "Attempts that began at one", ("outcome",))


@dataclass(frozen=True)
class SavedState:
    """A picture after `step` steps, as the engine gave it."""

    step: int
    body: bytes


@dataclass(frozen=True)
class Kept:
    """What earlier attempts left: the first images, how many of them were refused, and where the
    next one had arrived."""

    images: tuple[ImageRecord, ...] = ()
    refused: int = 0
    state: SavedState | None = None


def folder_of(user_id: UUID, job_id: UUID) -> str:
    """Where all that is kept of a job lies."""
    return f"{ROOT}{user_id}/{job_id}/"


async def find_kept(store: ObjectStore, job: Job) -> Kept:
    """What earlier attempts of a job left. Raises StorageUnavailable."""
    folder = folder_of(job.user_id, job.id)
    keys = await store.list_keys(folder)
    images: list[ImageRecord | None] = []
    while (key := f"{folder}{len(images)}/{RECORD}") in keys:
        try:
            images.append(await _read_record(store, key))
        except (ValidationError, LookupError) as error:
            log.warning("image_not_kept", key=key, error=repr(error))
            break
    delivered = tuple(image for image in images if image is not None)
    attempts = sorted(_attempts_of(keys, f"{folder}{len(images)}/"))
    state = None
    if attempts:
        state = _unpack(await store.get(f"{folder}{len(images)}/{attempts[-1]}"))
    return Kept(delivered, len(images) - len(delivered), state)


def _attempts_of(keys: list[str], folder: str) -> Iterator[int]:
    for key in keys:
        name = key.removeprefix(folder)
        if key.startswith(folder) and name.isdecimal():
            yield int(name)


async def _read_record(store: ObjectStore, key: str) -> ImageRecord | None:
    """The record of an image; None: it was refused. Raises LookupError if its file is not there,
    ValidationError and StorageUnavailable."""
    record = RECORDS.validate_json(await store.get(key))
    if record and await store.size_of(record.object_key) != record.size_bytes:
        raise LookupError(record.object_key)
    return record


def _pack(state: SavedState) -> bytes:
    return json.dumps({"step": state.step}).encode() + b"\n" + state.body


def _unpack(data: bytes) -> SavedState | None:
    head, _, body = data.partition(b"\n")
    try:
        return SavedState(int(json.loads(head)["step"]), body)
    except (ValueError, KeyError, TypeError) as error:
        log.warning("checkpoint_unreadable", error=repr(error))
        return None


class Keeper:
    """Stores what an attempt has done so far, beside the drawing: of checkpoints the newest wins,
    and a store that is slow or away holds nothing up."""

    def __init__(self, store: ObjectStore, job: Job) -> None:
        self._store = store
        self._folder = folder_of(job.user_id, job.id)
        self._attempt = job.attempt
        self._has_stored = job.attempt > 1  # perhaps by another attempt
        self._newest: tuple[str, SavedState] | None = None
        self._offered = asyncio.Event()
        self._puts: set[asyncio.Future[None]] = set()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """It stores inside the block."""
        task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            task.cancel()

    def offer(self, index: int, checkpoint: Checkpoint) -> None:
        """The newest checkpoint of the image in the making; one that waits still is forgotten."""
        state = SavedState(checkpoint.step, checkpoint.body)
        self._newest = (f"{self._folder}{index}/{self._attempt}", state)
        self._offered.set()

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            await self._offered.wait()
            await self.store_newest()

    async def store_newest(self) -> None:
        """Store what was offered last, at once. A failure is logged: it costs some steps."""
        offered, self._newest = self._newest, None
        self._offered.clear()
        await self.settle()
        if offered is None:
            return
        key, state = offered
        try:
            await self._keep(key, _pack(state), "application/octet-stream")
            stored.inc()
        except StorageUnavailable as error:
            log.warning("checkpoint_not_stored", key=key, error=repr(error))

    async def store_last(self) -> None:
        """Store what was offered last, before the attempt ends; for so long, and no longer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self.store_newest()

    async def keep_image(self, index: int, record: ImageRecord | None) -> None:
        """Note that an image is stored, or was refused (None): no attempt draws it again.

        Raises StorageUnavailable.
        """
        self._newest = None
        key = f"{self._folder}{index}/{RECORD}"
        await self._keep(key, RECORDS.dump_json(record), "application/json")

    async def note_undelivered(self) -> None:
        """Note that there may be files of an image that is in nobody's gallery, as far as the store
        is there."""
        with suppress(StorageUnavailable, TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._keep(f"{self._folder}{UNDELIVERED}", b"", "application/octet-stream")

    async def _keep(self, key: str, body: bytes, content_type: str) -> None:
        self._has_stored = True
        await self.put(key, body, content_type=content_type)

    async def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store an object of the job. Raises StorageUnavailable."""
        # It goes on in its thread when we are cancelled: what comes after it must know of it.
        put = asyncio.ensure_future(self._store.put(key, body, content_type=content_type))
        self._puts.add(put)
        put.add_done_callback(self._puts.discard)
        await asyncio.shield(put)

    async def settle(self) -> None:
        """Wait for what is being stored, for so long."""
        if self._puts:
            await asyncio.wait(set(self._puts), timeout=LAST_SECONDS)

    async def forget(self) -> None:
        """The job has ended: delete what is kept of it. What that misses, a later round finds."""
        self._newest = None
        if not self._has_stored:
            return
        await self.settle()
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self._store.delete_below(self._folder, pages=PAGES)
        except (StorageUnavailable, TimeoutError) as error:
            log.warning("checkpoints_not_deleted", folder=self._folder, error=repr(error))
