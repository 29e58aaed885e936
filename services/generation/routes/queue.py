"""The queue as its users see it, and where a job's time went."""

from uuid import UUID

from fastapi import APIRouter

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.kernel.clock import utc_now
from libs.kernel.problems import Unauthorized, ValidationFailed
from libs.web.openapi import problem_answers
from services.generation.problems import GenerationNotFound
from services.generation.queue_schemas import QueueAnswer
from services.generation.service import owner
from services.generation.service.queue_view import show_queue
from services.generation.service.waits import CurrentForecast
from services.generation.timeline import TimelineAnswer, show_timeline

router = APIRouter(prefix="/api/v1", tags=["queue"])


@router.get(
    "/queue", dependencies=[users("generations:read")], responses=problem_answers(Unauthorized)
)
async def get_queue(
    forecast: CurrentForecast, principal: CurrentPrincipal, session: TenantSession
) -> QueueAnswer:
    """The caller's waiting jobs with their places, and how long each tier waits."""
    return await show_queue(session, forecast.outlook, principal.user_id)


@router.get(
    "/generations/{generation_id}/timeline",
    dependencies=[users("generations:read")],
    responses=problem_answers(Unauthorized, GenerationNotFound, ValidationFailed),
)
async def get_timeline(generation_id: UUID, session: TenantSession) -> TimelineAnswer:
    """Where a job's time and credits went; the segments add up to the whole, to the microsecond."""
    return show_timeline(await owner.get_generation(session, generation_id), utc_now())
