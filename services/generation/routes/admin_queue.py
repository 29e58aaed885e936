"""What administrators see of the queue, and what they do about jobs that failed."""

from uuid import UUID

from fastapi import APIRouter, Request

from libs.auth.access import admins
from libs.auth.dependencies import CurrentPrincipal
from libs.credits.ledger import InsufficientCredits
from libs.kernel.clock import utc_now
from libs.kernel.problems import Forbidden, Unauthorized, ValidationFailed
from libs.web.openapi import problem_answers
from libs.web.pagination import PageQuery
from services.generation.answers import show_job
from services.generation.problems import GenerationNotFound, JobNotFailed
from services.generation.queue_schemas import AdminQueueAnswer
from services.generation.schemas import GenerationAnswer
from services.generation.service.queue_view import show_whole_queue
from services.generation.service.requeueing import requeue_job
from services.generation.service.waits import CurrentForecast

router = APIRouter(prefix="/api/v1/admin", tags=["admin"])
ADMIN = (Unauthorized, Forbidden, ValidationFailed)


@router.get("/queue", dependencies=[admins()], responses=problem_answers(*ADMIN))
async def get_whole_queue(
    forecast: CurrentForecast, admin: CurrentPrincipal, page: PageQuery, request: Request
) -> AdminQueueAnswer:
    """Every tier and pool, the workers, and the jobs that failed for good, newest first."""
    return await show_whole_queue(request.app.state.sessions, forecast.outlook, admin, page)


@router.post(
    "/jobs/{job_id}/requeue",
    dependencies=[admins()],
    responses=problem_answers(*ADMIN, GenerationNotFound, JobNotFailed, InsufficientCredits),
)
async def requeue(job_id: UUID, admin: CurrentPrincipal, request: Request) -> GenerationAnswer:
    """Queue a failed job again, for credits of its owner, who got the first ones back. Audited."""
    return show_job(await requeue_job(request.app.state.sessions, admin, job_id, clock=utc_now))
