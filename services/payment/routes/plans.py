"""The plans, for everybody."""

from fastapi import APIRouter, Response

from libs.auth.access import anyone
from services.payment.schemas.plans import PlansAnswer
from services.payment.service import plans

router = APIRouter(prefix="/api/v1/plans", tags=["plans"])


@router.get("", dependencies=[anyone()])
async def list_plans(response: Response) -> PlansAnswer:
    """Prices, trial days, credits and limits of every plan, and the packs of credits."""
    response.headers["Cache-Control"] = "public, max-age=300"
    return plans.list_plans()
