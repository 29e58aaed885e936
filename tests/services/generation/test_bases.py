"""What a model's base cannot take is refused before a job is accepted, field by field."""

from typing import Any
from uuid import uuid4

import pytest

from libs.kernel.problems import ValidationFailed
from services.generation.ingredients import SourceImage
from services.generation.resolution import resolve_request
from services.generation.schemas import GenerationRequest
from services.model.client.contracts import ModelInfo

IMAGE = uuid4()
SOURCES = {"init_image_id": SourceImage(1024, 512)}
FLUX = ModelInfo(
    id=uuid4(),
    slug="flux-dev",
    name="Flux",
    type="checkpoint",
    base="flux",
    description="",
    default_width=1024,
    default_height=1024,
    default_steps=28,
    default_guidance=3.5,
    max_side=2048,
)
SDXL = FLUX.model_copy(update={"slug": "sdxl", "base": "sdxl"})


def ask(model: ModelInfo, **fields: Any) -> None:
    request = GenerationRequest.model_validate({"model": model.slug, "prompt": "a cat", **fields})
    resolve_request(request, model, SOURCES if request.init_image_id else {}, random_seed=1)


REFUSED = [
    ({"negative_prompt": "a dog"}, ["body.negative_prompt"]),
    ({"clip_skip": 1, "tiling": True}, ["body.clip_skip", "body.tiling"]),
    ({"width": 1000, "height": 1016}, ["body.width", "body.height"]),
    ({"scheduler": "euler_a"}, ["body.scheduler"]),
    ({"task": "img2img", "init_image_id": IMAGE, "scheduler": "unipc"}, ["body.scheduler"]),
]


@pytest.mark.parametrize(("fields", "names"), REFUSED, ids=str)
def test_flux_refuses_each_field_that_it_has_no_place_for(
    fields: dict[str, Any], names: list[str]
) -> None:
    with pytest.raises(ValidationFailed) as refused:
        ask(FLUX, **fields)
    assert [error["field"] for error in refused.value.extra["errors"]] == names
    ask(SDXL, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"negative_prompt": "  ", "scheduler": "unipc", "width": 1008},
        {"task": "img2img", "init_image_id": IMAGE, "scheduler": "euler"},
    ],
    ids=str,
)
def test_flux_takes_the_rest(fields: dict[str, Any]) -> None:
    ask(FLUX, **fields)
