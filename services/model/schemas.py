"""Answers of the model API."""

from pydantic import BaseModel

from libs.tiers.catalogue import TierName
from services.model.client.contracts import ModelInfo


class ModelAnswer(BaseModel):
    """A model, whether the caller's plan includes it, and what it costs.

    The prices are those at the model's own size; `required_tier` is the smallest plan with it.
    """

    model: ModelInfo
    allowed: bool
    required_tier: TierName
    step_millicredits: int
    step_credits: str
    image_millicredits: int
    image_credits: str
