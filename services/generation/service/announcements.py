"""How the end of a job is told, in the transaction that ends it: its stream, and webhooks."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.pricing import format_credits
from libs.jobs.outbox import add_event
from libs.webhooks.messages import Message
from libs.webhooks.queue import queue_messages
from services.generation.answers import finished_event, image_ids
from services.generation.models import Job


async def announce_end(session: AsyncSession, job: Job) -> None:
    """Tell the owner of a job that has ended: its row is as it stays. The tenant is the owner."""
    await add_event(session, finished_event(job))
    await queue_messages(
        session, job.user_id, lambda: messages_of_end(job), named=named_webhook(job)
    )


def named_webhook(job: Job) -> UUID | None:
    """The endpoint that the request names."""
    named = job.request.get("webhook_id")
    return UUID(named) if named else None


def messages_of_end(job: Job) -> list[Message]:
    """One for each image, then one for the job: ids, state and credits, nothing of its content."""
    assert job.finished_at is not None
    ids = [str(image_id) for image_id in image_ids(job.id, job.images_done)]
    captured = job.captured_millicredits or 0
    end = {
        "generation_id": str(job.id),
        "status": job.state,
        "model": job.model,
        "image_ids": ids,
        "quoted_millicredits": job.quoted_millicredits,
        "captured_millicredits": captured,
        "captured_credits": format_credits(captured),
        "error": job.error,
    }
    images = [
        Message("image.created", job.finished_at, {"image_id": one, "generation_id": str(job.id)})
        for one in ids
    ]
    return [*images, Message(f"generation.{job.state}", job.finished_at, end)]
