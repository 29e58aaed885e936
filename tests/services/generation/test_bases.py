"""What a model cannot take is refused before a job is accepted, field by field."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from libs.kernel.problems import ValidationFailed
from services.generation.ingredients import SourceImage
from services.generation.resolution import resolve_request
from services.generation.schemas import GenerationRequest
from services.generation.service.admission import find_model
from services.model.client.catalogue import ModelCatalogue
from services.model.client.contracts import ModelInfo
from services.model.client.problems import ModelNotFound
from tests.services.generation.test_acceptance import MODEL

IMAGE = uuid4()
SIDES = SourceImage(1024, 512)
FLUX = MODEL.model_copy(
    update={"slug": "flux-dev", "base": "flux", "default_steps": 28, "max_side": 2048}
)
SDXL = FLUX.model_copy(update={"slug": "sdxl", "base": "sdxl"})


def ask(model: ModelInfo, image: SourceImage = SIDES, **fields: Any) -> None:
    request = GenerationRequest.model_validate({"model": model.slug, "prompt": "a cat", **fields})
    sources = {"init_image_id": image} if request.init_image_id else {}
    resolve_request(request, model, sources, random_seed=1)


def refused_fields(model: ModelInfo, **fields: Any) -> list[str]:
    with pytest.raises(ValidationFailed) as refused:
        ask(model, **fields)
    return [error["field"] for error in refused.value.extra["errors"]]


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
    assert refused_fields(FLUX, **fields) == names
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


@pytest.mark.parametrize("task", ["img2img", "upscale"])
def test_a_side_that_an_image_gives_is_not_smaller_than_one_that_is_asked_for(task: str) -> None:
    small = {"image": SourceImage(128, 24), "task": task, "init_image_id": IMAGE}
    assert refused_fields(SDXL, **small) == ["body.height"]
    ask(SDXL, image=SourceImage(128, 64), task=task, init_image_id=IMAGE)


async def test_what_does_not_draw_by_itself_is_no_model_for_a_request() -> None:
    lora = FLUX.model_copy(update={"slug": "style", "type": "lora"})
    known = {model.slug: model for model in (FLUX, lora)}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=known[request.url.path.split("/")[-1]].model_dump_json())

    models = ModelCatalogue(
        "http://model", httpx.AsyncClient(transport=httpx.MockTransport(answer))
    )
    assert await find_model(models, "flux-dev") == FLUX
    with pytest.raises(ModelNotFound):
        await find_model(models, "style")
