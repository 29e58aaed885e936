"""The tensor contract with inference/: what is asked of the `diffusion` model and what it answers.

`inference/pipelines/request.py` and `inference/engine/events.py` state the same on the other side
of the wire; a test compares the two.
"""

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MODEL = "diffusion"
MODEL_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,99}$"
MAX_PROMPT_CHARACTERS = 10_000
MAX_STEPS = 150
MAX_GUIDANCE = 100.0
MIN_SIDE_PIXELS = 8
MAX_SIDE_PIXELS = 4096
MAX_SEED = 2**32 - 1
MAX_FILES = 32
MAX_ADAPTERS = 8
MAX_WEIGHT = 4.0
MAX_CLIP_SKIP = 4
LAST_PRIORITY = 9

Picture = npt.NDArray[np.uint8]
Task = Literal["txt2img", "img2img", "inpaint", "outpaint", "upscale"]
Scheduler = Literal[
    "euler",
    "euler_a",
    "ddim",
    "dpmpp_2m",
    "dpmpp_2m_karras",
    "unipc",
    "pndm",
    "heun",
    "lms",
]
Prompt = Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)]
Side = Annotated[int, Field(ge=MIN_SIDE_PIXELS, le=MAX_SIDE_PIXELS)]


ModelName = Annotated[str, Field(pattern=MODEL_NAME_PATTERN)]
FileNumber = Annotated[int, Field(ge=0, lt=MAX_FILES)]
Weight = Annotated[float, Field(ge=-MAX_WEIGHT, le=MAX_WEIGHT, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Margin = Annotated[int, Field(ge=0, le=MAX_SIDE_PIXELS)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Lora(_Part):
    """A LoRA by name; a negative weight turns its effect round."""

    name: ModelName
    weight: Weight


class Control(_Part):
    """A ControlNet with its picture (an index into FILES), from `begin` to `end` of the steps."""

    name: ModelName
    image: FileNumber
    weight: Weight
    begin: Share
    end: Share


class ImagePrompt(_Part):
    """An IP-Adapter with its picture (an index into FILES)."""

    name: ModelName
    image: FileNumber
    weight: Weight


class GenerationRequest(_Part):
    """One picture: tensor REQUEST, BYTES [1], this object as JSON; its files are tensor FILES.

    Sides are pixels; a model refuses those that it cannot draw. A guidance of at most 1 is none.
    Every `progress_every` steps a preview comes with the progress; 0 asks for none. `image`, `mask`
    and `resume` (a checkpoint) are indexes into FILES, BYTES [n]; white of the mask is drawn anew.
    `expand` are the pixels that outpainting adds left, above, right and below. `strength` is the
    share of the steps that are taken from an image. Priority 0 goes first. Every `checkpoint_every`
    steps the state comes back (0: never).
    """

    model: ModelName
    task: Task = "txt2img"
    prompt: Prompt
    negative_prompt: Prompt = ""
    width: Side
    height: Side
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)]
    guidance: Annotated[float, Field(ge=0, le=MAX_GUIDANCE, allow_inf_nan=False)]
    scheduler: Scheduler
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]
    progress_every: Annotated[int, Field(ge=0, le=MAX_STEPS)] = 0
    priority: Annotated[int, Field(ge=0, le=LAST_PRIORITY)] = 0
    strength: Annotated[float, Field(ge=0.01, le=1)] = 0.7
    image: FileNumber | None = None
    mask: FileNumber | None = None
    expand: tuple[Margin, Margin, Margin, Margin] = (0, 0, 0, 0)
    clip_skip: Annotated[int, Field(ge=0, le=MAX_CLIP_SKIP)] = 0
    tiling: bool = False
    loras: Annotated[tuple[Lora, ...], Field(max_length=MAX_ADAPTERS)] = ()
    controls: Annotated[tuple[Control, ...], Field(max_length=MAX_ADAPTERS)] = ()
    image_prompts: Annotated[tuple[ImagePrompt, ...], Field(max_length=MAX_ADAPTERS)] = ()
    checkpoint_every: Annotated[int, Field(ge=0, le=MAX_STEPS)] = 0
    resume: FileNumber | None = None


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)


class Started(_Event):
    """The request has a slot; its steps begin."""

    type: Literal["started"] = "started"


class Progress(_Event):
    """`step` of `steps` are done. `preview` is tensor PREVIEW, UINT8 [h, w, 3]."""

    type: Literal["progress"] = "progress"
    step: int
    steps: int
    preview: Picture | None = Field(default=None, exclude=True, repr=False)


class Paused(_Event):
    """After `step` steps the slot went to a more urgent request; the state is kept."""

    type: Literal["paused"] = "paused"
    step: int


class Resumed(_Event):
    """It has a slot again, and goes on after `step` steps."""

    type: Literal["resumed"] = "resumed"
    step: int


class Checkpoint(_Event):
    """The state after `step` of `steps`. `body` is tensor CHECKPOINT, UINT8 [n]: handed back as a
    file of the same request (`resume`), it spares these steps, on any engine of the same build."""

    type: Literal["checkpoint"] = "checkpoint"
    step: int
    steps: int
    body: bytes = Field(default=b"", exclude=True, repr=False)


class Seconds(_Event):
    """Where the time went: loading the model, if this request was its first, waiting for a slot,
    denoising, and decoding latents to pixels."""

    load: float = 0.0
    queue: float
    steps: float
    decode: float


class Done(_Event):
    """The last event. `image` is tensor IMAGE, UINT8 [height, width, 3], RGB.

    `prompt_tokens` were read in `prompt_chunks` pieces. `made_by` are the build, the libraries and
    the weights that made the picture.
    """

    type: Literal["done"] = "done"
    steps: int
    seconds: Seconds
    prompt_tokens: int = 0
    prompt_chunks: int = 1
    made_by: dict[str, str | dict[str, str]] = {}
    image: Picture | None = Field(default=None, exclude=True, repr=False)

    @property
    def pixels(self) -> Picture:
        """The picture. Raises ValueError when the answer came without one."""
        if self.image is None:
            raise ValueError("the engine finished without a picture")
        return self.image


AnyEvent = Started | Progress | Paused | Resumed | Checkpoint | Done
EVENTS: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="type")])


def parse_event(
    text: str | bytes,
    *,
    preview: Picture | None = None,
    image: Picture | None = None,
    checkpoint: Picture | None = None,
) -> AnyEvent:
    """The event in tensor EVENT with the tensors that came beside it. Raises ValidationError."""
    event = EVENTS.validate_json(text)
    if isinstance(event, Progress):
        return event.model_copy(update={"preview": preview})
    if isinstance(event, Checkpoint):
        return event.model_copy(
            update={"body": b"" if checkpoint is None else checkpoint.tobytes()}
        )
    if isinstance(event, Done):
        return event.model_copy(update={"image": image})
    return event


class ModelStats(_Event):
    """A model that the engine knows; `bytes` 0: it is not in memory. `steps` were run with it."""

    bytes: int = 0
    steps: int = 0


class Stats(_Event):
    """How many pictures have a slot, wait for one, and were put aside for urgent ones. `requests`
    are the ids of all that the engine has not answered to the end."""

    type: Literal["stats"]
    running: int
    waiting: int
    paused: int
    models: dict[str, ModelStats]
    requests: tuple[str, ...]

    @property
    def loaded(self) -> frozenset[str]:
        """The models in memory."""
        return frozenset(name for name, model in self.models.items() if model.bytes > 0)


class Drained(_Event):
    """So many pictures were handed back, each with its checkpoint."""

    type: Literal["drained"]
    jobs: int


class Loaded(_Event):
    """The model is in memory; `seconds` 0: it was before."""

    type: Literal["loaded"]
    model: str
    seconds: float


class Unloaded(_Event):
    """The model is not in memory."""

    type: Literal["unloaded"]
    model: str
    was_loaded: bool
