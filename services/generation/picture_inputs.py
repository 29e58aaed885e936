"""The pictures that a job begins with: fetched, and scaled to the size that is drawn."""

import asyncio
import io
from uuid import UUID

from PIL import Image

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.storage.objects import ObjectStore, StorageUnavailable, is_missing
from libs.triton.errors import InvalidGeneration
from services.gallery.client.images import find_object_keys
from services.generation.schemas import ResolvedRequest

SCALED_TASKS = frozenset({"img2img", "inpaint"})
FIELDS = ("init_image_id", "mask_image_id")


async def fetch_inputs(
    sessions: Sessions, store: ObjectStore, user_id: UUID, request: ResolvedRequest
) -> tuple[bytes, ...]:
    """The files of the init image and the mask, as far as the request has them, in this order.

    Raises InvalidGeneration for an image that was deleted meanwhile, or whose file is gone: to wait
    for it would be for ever. Raises StorageUnavailable.
    """
    wanted = {name: i for name in FIELDS if (i := getattr(request, name)) is not None}
    if not wanted:
        return ()
    async with transaction(sessions, user_id) as session:
        keys = await find_object_keys(session, set(wanted.values()))
    for name, image_id in wanted.items():
        if image_id not in keys:
            raise InvalidGeneration(f"{name}: the image was deleted")
    named = ((name, keys[image_id]) for name, image_id in wanted.items())
    files = await asyncio.gather(*(read_file(store, name, key) for name, key in named))
    if request.task not in SCALED_TASKS:
        return tuple(files)
    sides = (request.width, request.height)
    return tuple([await asyncio.to_thread(scale_file, file, sides) for file in files])


async def read_file(store: ObjectStore, name: str, key: str) -> bytes:
    """The file that a field of the request stands for. Raises as `fetch_inputs`."""
    try:
        return await store.get(key)
    except StorageUnavailable as error:
        if not is_missing(error):
            raise
        raise InvalidGeneration(f"{name}: the image's file is gone") from error


def scale_file(file: bytes, sides: tuple[int, int]) -> bytes:
    """A picture with these sides (width, height): the file itself, or a PNG (Lanczos)."""
    with Image.open(io.BytesIO(file)) as image:
        if image.size == sides:
            return file
        # The engine reads transparency: as white in an image, as black in a mask.
        mode = "RGBa" if image.has_transparency_data else "RGB"
        scaled = image.convert("RGBA").convert(mode).resize(sides, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    scaled.convert(mode.upper()).save(buffer, "PNG")
    return buffer.getvalue()
