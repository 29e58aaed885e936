"""Requests and answers of the generation API."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from libs.credits.amounts import CreditAmount
from libs.triton.contract import Scheduler, Task
from libs.web.text_fields import PlainText
from services.generation.models import JobState

SIDE_STEP = 8
MIN_SIDE = 64
MAX_SEED = 2**32 - 1
ImageFormat = Literal["png", "jpeg", "webp"]
Side = Annotated[int, Field(ge=MIN_SIDE, le=2048, multiple_of=SIDE_STEP, description="Pixels")]
Margin = Annotated[int, Field(ge=0, le=1024, multiple_of=SIDE_STEP, description="Pixels")]
Prompt = Annotated[PlainText, Field(max_length=2000)]
Label = Annotated[PlainText, Field(min_length=1, max_length=64)]
LabelText = Annotated[PlainText, Field(max_length=200)]
EXAMPLE: dict[str, JsonValue] = {
    "model": "demo",
    "prompt": "a red apple",
    "width": 64,
    "height": 64,
    "steps": 20,
    "guidance": 5.0,
    "seed": 7,
    "max_credits": "2.5",
}
EXAMPLE_FROM_IMAGE: dict[str, JsonValue] = {
    "task": "img2img",
    "model": "demo",
    "prompt": "a green (apple:1.2)",
    "negative_prompt": "worm",
    "init_image_id": "01938f00-0000-7000-8000-00000000000a",
    "strength": 0.6,
    "scheduler": "dpmpp_2m_karras",
}


class Expand(BaseModel):
    """How many pixels outpainting adds on each side."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    left: Margin = 0
    top: Margin = 0
    right: Margin = 0
    bottom: Margin = 0


class GenerationRequest(BaseModel):
    """What to make. Size, steps and guidance default to the model's own.

    `seed` null picks a random one, which is recorded. `max_credits` refuses a higher price.

    Every task but txt2img begins with `init_image_id`, an image of yours (generated or uploaded).
    img2img and inpaint are drawn at its size, or, if you give another, it is scaled to that;
    inpaint draws anew what is white in `mask_image_id`. outpaint adds `expand`; upscale multiplies
    the sides by `factor`. `strength` is the share of the steps that are run: 0.7 for img2img, 0.3
    for upscale and 1 for the others by default.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [EXAMPLE, EXAMPLE_FROM_IMAGE]}
    )

    task: Task = "txt2img"
    model: str = Field(min_length=1, max_length=100)
    prompt: Prompt = Field(min_length=1)
    negative_prompt: Prompt = ""
    width: Side | None = None
    height: Side | None = None
    steps: int | None = Field(default=None, ge=1, le=150)
    guidance: float | None = Field(default=None, ge=1, le=20)
    scheduler: Scheduler = "euler"
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED)
    init_image_id: UUID | None = Field(default=None, description="An image of yours")
    mask_image_id: UUID | None = Field(
        default=None, description="Of the init image's size; white is drawn anew"
    )
    strength: float | None = Field(default=None, ge=0.01, le=1)
    expand: Expand | None = None
    factor: Literal[2, 3, 4] | None = None
    clip_skip: int = Field(default=0, ge=0, le=4, description="Last layers of CLIP left out")
    tiling: bool = Field(default=False, description="Edges that fit together")
    num_images: int = Field(default=1, ge=1, le=8)
    format: ImageFormat = "png"
    expires_in: int | None = Field(
        default=None, ge=10, le=86_400, description="Seconds to wait; what has begun goes on"
    )
    max_credits: CreditAmount | None = Field(
        default=None, description="The most that this may cost; null for no maximum"
    )
    webhook_id: UUID | None = Field(
        default=None, description="A webhook of yours that is told of this job, too"
    )
    metadata: dict[Label, LabelText] = Field(
        default_factory=dict, max_length=16, description="Your own labels; kept, never read"
    )


class ResolvedRequest(BaseModel):
    """A request with every default filled in: it makes the same picture again."""

    model_config = ConfigDict(frozen=True)

    task: Task
    model: str
    prompt: str
    negative_prompt: str
    width: int
    height: int
    steps: int
    guidance: float
    scheduler: Scheduler
    seed: int
    init_image_id: UUID | None = None
    mask_image_id: UUID | None = None
    strength: float | None = None
    expand: Expand | None = None
    factor: int | None = None
    clip_skip: int = 0
    tiling: bool = False
    num_images: int
    format: ImageFormat
    metadata: dict[str, str]
    webhook_id: UUID | None = None


class WaitEstimate(BaseModel):
    """When the job starts and finishes, in seconds from now.

    Half of the jobs start before p50, nine of ten before p90. `position` 1 is the next to start.
    """

    position: int
    jobs_ahead: int
    p50_seconds: float
    p90_seconds: float
    finish_p50_seconds: float
    finish_p90_seconds: float


class PricePart(BaseModel):
    """One part of a price; the parts add up to the total."""

    name: Literal["steps", "pixels", "addons", "minimum"]
    millicredits: int
    credits: str


class PriceBreakdown(BaseModel):
    """Where a price comes from.

    `images x steps x step x area_factor x addons_factor`, rounded up once, and at least
    `minimum_image` an image. `step` is the price of one step at `reference_pixels`; the area
    factor is `pixels / reference_pixels`. An upscale costs `images x pixels / 1,000,000 x
    megapixel` instead. `parts` add up to `total_millicredits` exactly: the steps (or pixels), what
    add-ons put on top, and what the minimum puts on top.
    """

    price_version: str
    images: int
    steps: int
    step_millicredits: int
    step_credits: str
    pixels: int
    reference_pixels: int
    area_factor: str
    megapixel_millicredits: int | None = None
    addons_factor: str
    minimum_image_millicredits: int
    minimum_image_credits: str
    minimum_applied: bool
    parts: list[PricePart]
    total_millicredits: int
    total_credits: str


class QuoteAnswer(BaseModel):
    """The price and the wait of a request; nothing is spent.

    `within_maximum`: whether the price keeps to the request's `max_credits`.
    """

    price_millicredits: int
    credits: str
    price: PriceBreakdown
    available_millicredits: int
    affordable: bool
    within_maximum: bool
    tier: str
    pool: str
    wait: WaitEstimate


class JobError(BaseModel):
    """Why a job did not succeed."""

    slug: str
    detail: str


class GenerationAnswer(BaseModel):
    """A job as its owner sees it. `estimate` is of now, while the job waits; null in lists."""

    id: UUID
    status: JobState
    model: str
    tier: str
    request: dict[str, Any]
    quoted_millicredits: int
    quoted_credits: str
    price: PriceBreakdown
    captured_millicredits: int | None
    images_done: int
    image_ids: list[UUID]
    error: JobError | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    estimate: WaitEstimate | None = None
