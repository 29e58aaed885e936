import io
from collections.abc import Callable
from uuid import UUID, uuid4

import numpy as np
import pytest
from PIL import Image

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.ids import new_id
from libs.storage.objects import ObjectStore
from libs.triton.errors import InvalidGeneration
from services.gallery.client.images import find_object_keys
from services.generation.picture_inputs import fetch_inputs, scale_file
from services.generation.schemas import ResolvedRequest
from tests.services.generation.queue_of_jobs import REQUEST
from tests.services.generation.test_ingredients import give_image

SessionsOf = Callable[[str], Sessions]


def picture(width: int, height: int) -> bytes:
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise, "RGB").save(buffer, "PNG")
    return buffer.getvalue()


async def store_image(
    sessions: SessionsOf, store: ObjectStore, user_id: UUID, width: int, height: int
) -> tuple[str, bytes]:
    """Id and file of an image in the user's gallery."""
    image_id, file = await give_image(sessions, user_id, width, height), picture(width, height)
    async with transaction(sessions("worker"), user_id) as session:
        (key,) = (await find_object_keys(session, {UUID(image_id)})).values()
    await store.put(key, file, content_type="image/png")
    return image_id, file


def resolved(task: str, width: int, height: int, **images: str) -> ResolvedRequest:
    asked = {**REQUEST, "task": task, "width": width, "height": height, **images}
    return ResolvedRequest.model_validate(asked)


async def test_image_and_mask_come_in_this_order(sessions: SessionsOf, store: ObjectStore) -> None:
    user_id = uuid4()
    image, first = await store_image(sessions, store, user_id, 96, 64)
    mask, second = await store_image(sessions, store, user_id, 64, 64)
    request = resolved("outpaint", 128, 64, mask_image_id=mask, init_image_id=image)
    assert await fetch_inputs(sessions("worker"), store, user_id, request) == (first, second)


async def test_they_are_scaled_to_what_is_drawn(sessions: SessionsOf, store: ObjectStore) -> None:
    user_id = uuid4()
    image, file = await store_image(sessions, store, user_id, 100, 50)
    request = resolved("img2img", 64, 128, init_image_id=image)
    (scaled,) = await fetch_inputs(sessions("worker"), store, user_id, request)
    assert Image.open(io.BytesIO(scaled)).size == (64, 128)
    same = resolved("img2img", 100, 50, init_image_id=image)
    assert await fetch_inputs(sessions("worker"), store, user_id, same) == (file,)


async def test_a_deleted_image_is_named(sessions: SessionsOf, store: ObjectStore) -> None:
    request = resolved("img2img", 64, 64, init_image_id=str(new_id()))
    with pytest.raises(InvalidGeneration, match="init_image_id: the image was deleted"):
        await fetch_inputs(sessions("worker"), store, uuid4(), request)


async def test_words_alone_need_no_files(sessions: SessionsOf, store: ObjectStore) -> None:
    request = resolved("txt2img", 64, 64)
    assert await fetch_inputs(sessions("worker"), store, uuid4(), request) == ()


def test_what_is_transparent_stays_so_when_it_is_scaled() -> None:
    """White that shows only in one corner; elsewhere the colour below must not come out."""
    rgba = np.full((64, 64, 4), 255, dtype=np.uint8)
    rgba[..., 3] = 0
    rgba[:16, :16, 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(rgba, "RGBA").save(buffer, "PNG")
    scaled = Image.open(io.BytesIO(scale_file(buffer.getvalue(), (32, 32))))
    alpha = np.asarray(scaled.getchannel("A"))
    assert scaled.mode == "RGBA"
    assert 0.05 < (alpha > 127).mean() < 0.08
    assert alpha[:6, :6].min() > 250 and alpha[12:, 12:].max() == 0
