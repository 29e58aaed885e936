"""What other services know of a model."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from libs.tiers.catalogue import Base

ModelType = Literal["checkpoint", "lora", "controlnet", "ip_adapter"]
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$"  # a slug or a UUID


class ModelInfo(BaseModel):
    """One model. Sizes are pixels, `max_side` the longest side that it can draw.

    `default_guidance` is the scale of classifier-free guidance.
    """

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: UUID
    slug: str
    name: str
    type: ModelType
    base: Base
    description: str
    default_width: int
    default_height: int
    max_side: int
    default_steps: int
    default_guidance: float
