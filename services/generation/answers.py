"""From rows to what callers and event streams see."""

from typing import Any
from uuid import UUID

from libs.credits.pricing import format_credits, load_price_book
from libs.events.topics import Event
from libs.kernel.ids import derive_id
from services.generation.models import Job
from services.generation.price_breakdown import explain_price
from services.generation.resolution import work_of
from services.generation.schemas import GenerationAnswer, JobError, ResolvedRequest, WaitEstimate


def image_ids(job_id: UUID, images_done: int) -> list[UUID]:
    """Ids of a job's images: derived, so that a repeated attempt overwrites and doubles nothing."""
    return [derive_id(job_id, index) for index in range(images_done)]


def show_job(job: Job, estimate: WaitEstimate | None = None) -> GenerationAnswer:
    """A job as its owner sees it; its price is explained by the prices of its acceptance."""
    work = work_of(ResolvedRequest.model_validate(job.request), job.base)
    return GenerationAnswer(
        id=job.id,
        status=job.state,
        model=job.model,
        tier=job.tier,
        request=job.request,
        quoted_millicredits=job.quoted_millicredits,
        quoted_credits=format_credits(job.quoted_millicredits),
        price=explain_price(work, load_price_book(job.price_version)),
        captured_millicredits=job.captured_millicredits,
        images_done=job.images_done,
        image_ids=image_ids(job.id, job.images_done),
        error=JobError.model_validate(job.error) if job.error else None,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        expires_at=job.expires_at,
        estimate=estimate,
    )


def finished_data(job: Job) -> dict[str, Any]:
    """The data of a `finished` event."""
    shown = show_job(job).model_dump(mode="json")
    names = ("status", "captured_millicredits", "image_ids", "error")
    return {name: shown[name] for name in names}


def finished_event(job: Job) -> Event:
    """The last event of a job's stream."""
    return Event(topic="job.finished", user_id=job.user_id, job_id=job.id, data=finished_data(job))
