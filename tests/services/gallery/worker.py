"""What a generation worker does at the end of a job, in its closing transaction."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.ids import new_id
from libs.storage.objects import ObjectStore
from services.gallery.client.images import ImageRecord, record_image

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
REQUEST = {"task": "txt2img", "model": "demo", "prompt": "a red apple", "seed": 7}


class Worker:
    """Adds images to galleries with the worker's own login role."""

    def __init__(self, sessions: Sessions, store: ObjectStore) -> None:
        self.sessions, self.store = sessions, store

    def record(self, user_id: UUID, **changes: Any) -> ImageRecord:
        """A finished image of a user."""
        image_id = new_id()
        key = f"{user_id}/2026/11/{image_id}"
        prompt = changes.get("prompt", REQUEST["prompt"])
        model = changes.get("model", "demo")
        values: dict[str, Any] = {
            "id": image_id,
            "user_id": user_id,
            "job_id": new_id(),
            "object_key": f"{key}.png",
            "thumbnail_key": f"{key}.thumbnail.webp",
            "format": "png",
            "width": 64,
            "height": 64,
            "size_bytes": 3,
            "seed": 7,
            "model": model,
            "prompt": prompt,
            "negative_prompt": "",
            "parameters": {**REQUEST, "prompt": prompt, "model": model},
            "manifest": {"build": "test"},
            "created_at": NOON,
        }
        return ImageRecord(**{**values, **changes})

    async def keep(self, record: ImageRecord) -> str:
        """Record an image in its owner's gallery; its id."""
        async with transaction(self.sessions, record.user_id) as session:
            await record_image(session, record)
        return str(record.id)

    async def add(self, user_id: UUID, **changes: Any) -> str:
        return await self.keep(self.record(user_id, **changes))
