"""Adapters that are not there, of another kind or for another base are refused by their field."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel
from safetensors.torch import load_file, save_file

from inference.pipelines.adapters import adapt
from inference.pipelines.drawing import begin
from inference.pipelines.loading import load_model
from inference.pipelines.request import Control, ImagePrompt, InvalidRequest, Lora
from tests.inference.adapter_shelf import EDGES, FACE, FILES, LORAS, Shelf
from tests.inference.drawn import finish
from tests.inference.sample_pictures import encode, make_image
from tests.inference.sample_requests import request
from tests.inference.tiny_adapters import save_controlnet, save_ip_adapter, save_lora, write_card
from tests.inference.tiny_flux import save_tiny_flux
from tests.inference.tiny_sdxl import save_tiny_sdxl

LORA_FILE = "pytorch_lora_weights.safetensors"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Adapters of an SDXL whose cards say that they are made for SD 1.5, beside the honest ones."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("refused")
    save_tiny_sdxl(folder / "other")
    other = load_model(folder / "other", torch.device("cpu"))
    save_lora(other, folder / "lying-lora", 1, ["unet"])
    save_controlnet(other, folder / "lying-control", 2)
    save_ip_adapter(other, folder / "lying-face", 3)
    for name, kind in (("lora", "lora"), ("control", "controlnet"), ("face", "ip_adapter")):
        write_card(folder / f"lying-{name}", kind, "sd15")
    return Shelf(folder, "sd15")


def refused(shelf: Shelf, message: str, **changes: Any) -> None:
    with pytest.raises(InvalidRequest, match=message):
        shelf.adapted(request(**changes))


def test_a_name_that_is_not_there(shelf: Shelf) -> None:
    loras = (*LORAS, Lora("nothing", 1.0))
    refused(shelf, r"^loras\.2\.name: there is no adapter 'nothing' here", loras=loras)
    refused(shelf, r"^loras\.0\.name: there is no adapter 'base'", loras=(Lora("base", 1.0),))


def test_another_kind(shelf: Shelf) -> None:
    controls = (EDGES, Control("style", 1, 1.0, 0.0, 1.0))
    refused(shelf, r"^controls\.1\.name: 'style' is a lora, not a controlnet", controls=controls)
    prompts = (ImagePrompt("edges", 0, 1.0),)
    refused(shelf, r"^image_prompts\.0\.name: .* is a controlnet", image_prompts=prompts)


def test_another_base(shelf: Shelf, tmp_path: Path) -> None:
    write_card(tmp_path / "wide", "lora", "sdxl")
    wanted = request(loras=(Lora("wide", 1.0),))
    with pytest.raises(InvalidRequest, match=r"^loras\.0\.name: .* for sdxl, not for sd15"):
        adapt(shelf.model, wanted, tmp_path.joinpath)


@pytest.mark.parametrize("card", ["[]", "{", ""])
def test_a_card_that_is_no_card(shelf: Shelf, tmp_path: Path, card: str) -> None:
    (tmp_path / "easel.json").write_text(card)
    wanted = request(loras=(Lora(tmp_path.name, 1.0),))
    with pytest.raises(InvalidRequest, match=r"^loras\.0\.name: easel.json of .* JSON object"):
        adapt(shelf.model, wanted, tmp_path.parent.joinpath)


def test_a_lora_whose_card_lies_about_its_base(shelf: Shelf) -> None:
    message = r"^loras\.1\.name: 'lying-lora' does not fit this model: .*size mismatch"
    refused(shelf, message, loras=(LORAS[0], Lora("lying-lora", 1.0)))


def test_a_controlnet_whose_card_lies_about_its_base(shelf: Shelf) -> None:
    message = r"^controls\.0\.name: .* another base: its cross_attention_dim is 64, the model's 32"
    refused(shelf, message, controls=(Control("lying-control", 0, 1.0, 0.0, 1.0),))


def test_an_image_prompt_whose_card_lies_about_its_base(shelf: Shelf) -> None:
    message = r"^image_prompts\.0\.name: .* is made for another base"
    refused(shelf, message, image_prompts=(ImagePrompt("lying-face", 0, 1.0),))


def changed_lora(shelf: Shelf, folder: Path, **more: torch.Tensor) -> None:
    shutil.copytree(shelf.folder / "style", folder)
    tensors = load_file(folder / LORA_FILE)
    save_file(tensors | more, folder / LORA_FILE)


def assert_unfit(shelf: Shelf, folder: Path, message: str) -> None:
    wanted = request(loras=(Lora(folder.name, 1.0),))
    with pytest.raises(InvalidRequest, match=r"^loras\.0\.name: .*" + message):
        adapt(shelf.model, wanted, folder.parent.joinpath)


def test_a_lora_that_does_not_fit_the_text_encoder(shelf: Shelf, tmp_path: Path) -> None:
    tensors = load_file(shelf.folder / "style" / LORA_FILE)
    wider = {
        key: torch.ones(4, 48)
        for key in tensors
        if key.startswith("text_encoder") and "lora_A" in key
    }
    changed_lora(shelf, tmp_path / "wider", **wider)
    assert_unfit(shelf, tmp_path / "wider", "does not fit this model")


def test_a_lora_with_layers_that_the_model_lacks(shelf: Shelf, tmp_path: Path) -> None:
    layer = "unet.down_blocks.7.attentions.0.transformer_blocks.0.attn1.to_q"
    pair = {
        f"{layer}.lora_A.weight": torch.ones(4, 32),
        f"{layer}.lora_B.weight": torch.ones(32, 4),
    }
    changed_lora(shelf, tmp_path / "more", **pair)
    assert_unfit(shelf, tmp_path / "more", "1 of its 39 layers are not there")


@pytest.mark.parametrize(
    "key",
    [
        "unet.conv_in.weight",
        "lora_unet_down_blocks_1_attentions_0_proj_in.dora_scale",
        "lora_unet_down_blocks_1_attentions_0_proj_in.hada_w1_a",
        "unet.down_blocks.1.attentions.0.proj_in.lora_magnitude_vector",
    ],
)
def test_a_lora_with_other_weights_than_loras(shelf: Shelf, tmp_path: Path, key: str) -> None:
    changed_lora(shelf, tmp_path / "strange", **{key: torch.ones(4, 4)})
    assert_unfit(shelf, tmp_path / "strange", f"is not a LoRA: it holds {key}")


def test_a_lora_that_cannot_be_read(shelf: Shelf, tmp_path: Path) -> None:
    shutil.copytree(shelf.folder / "style", tmp_path / "torn")
    weights = tmp_path / "torn" / LORA_FILE
    weights.write_bytes(weights.read_bytes()[:-100])
    assert_unfit(shelf, tmp_path / "torn", "does not fit this model")
    weights.unlink()
    assert_unfit(shelf, tmp_path / "torn", "has 0 safetensors files, not one")


def test_a_controlnet_that_is_not_whole(shelf: Shelf, tmp_path: Path) -> None:
    folder = tmp_path / "holed"
    shutil.copytree(shelf.folder / "edges", folder)
    weights = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors.pop("controlnet_mid_block.weight")
    save_file(tensors, weights, {"format": "pt"})
    wanted = request(controls=(Control("holed", 0, 1.0, 0.0, 1.0),))
    with pytest.raises(InvalidRequest, match="lacks weights: controlnet_mid_block.weight"):
        adapt(shelf.model, wanted, tmp_path.joinpath)


def test_another_class_of_controlnet(shelf: Shelf, tmp_path: Path) -> None:
    write_card(tmp_path / "union", "controlnet", "sd15")
    config = {"_class_name": "ControlNetUnionModel"}
    (tmp_path / "union" / "config.json").write_text(json.dumps(config))
    wanted = request(controls=(Control("union", 0, 1.0, 0.0, 1.0),))
    with pytest.raises(InvalidRequest, match=f"not a {ControlNetModel.__name__}"):
        adapt(shelf.model, wanted, tmp_path.joinpath)


def test_image_prompts_of_two_image_encoders(shelf: Shelf) -> None:
    save_ip_adapter(shelf.model, shelf.folder / "larger", 7, projected=40)
    prompts = (FACE, ImagePrompt("larger", 0, 1.0))
    message = r"^image_prompts\.1\.name: 'larger' has another image encoder than 'face'"
    refused(shelf, message, image_prompts=prompts)


def test_an_image_prompt_that_does_not_fit_its_own_encoder(shelf: Shelf, tmp_path: Path) -> None:
    shutil.copytree(shelf.folder / "face", tmp_path / "mixed")
    shutil.rmtree(tmp_path / "mixed" / "image_encoder")
    wanted = request(image_prompts=(ImagePrompt("mixed", 0, 1.0),))
    with pytest.raises(InvalidRequest, match="has no image_encoder"):
        adapt(shelf.model, wanted, tmp_path.joinpath)
    save_ip_adapter(shelf.model, tmp_path / "wider", 7, projected=40)
    shutil.copytree(tmp_path / "wider" / "image_encoder", tmp_path / "mixed" / "image_encoder")
    with pytest.raises(InvalidRequest, match="does not fit its own image encoder of 40 numbers"):
        adapt(shelf.model, wanted, tmp_path.joinpath)


def test_image_prompts_of_another_kind_or_torn(shelf: Shelf, tmp_path: Path) -> None:
    wanted = request(image_prompts=(ImagePrompt("face", 0, 1.0),))
    shutil.copytree(shelf.folder / "face", tmp_path / "face")
    weights = tmp_path / "face" / "ip_adapter.safetensors"
    whole = load_file(weights)
    save_file({k: v for k, v in whole.items() if k != "image_proj.norm.bias"}, weights)
    with pytest.raises(InvalidRequest, match="^image_prompts: they cannot be loaded"):
        adapt(shelf.model, wanted, tmp_path.joinpath)
    save_file({k: v for k, v in whole.items() if "image_proj" not in k}, weights)
    with pytest.raises(InvalidRequest, match=r"^image_prompts\.0\.name: .* kind that is not supp"):
        adapt(shelf.model, wanted, tmp_path.joinpath)
    weights.write_bytes(b"torn")
    with pytest.raises(InvalidRequest, match=r"^image_prompts\.0\.name: .* has no readable"):
        adapt(shelf.model, wanted, tmp_path.joinpath)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"controls": (Control("edges", 9, 1.0, 0.0, 1.0),)}, r"controls\.0\.image: .*no file 9"),
        ({"controls": (Control("edges", 0, 1.0, 0.5, 0.5),)}, r"controls\.0\.end must be greater"),
        ({"image_prompts": (ImagePrompt("face", 9, 1.0),)}, r"image_prompts\.0\.image: .*no file"),
    ],
)
def test_pictures_and_steps_that_do_not_do(
    shelf: Shelf, changes: dict[str, Any], message: str
) -> None:
    wanted = request(**changes)
    with pytest.raises(InvalidRequest, match=message):
        begin(shelf.adapted(wanted), wanted, FILES)


def test_a_picture_for_a_controlnet_has_the_sides_of_the_request(shelf: Shelf) -> None:
    wanted = request(controls=(EDGES,))
    picture = begin(shelf.adapted(wanted), wanted, [encode(make_image(32, 64))])
    with pytest.raises(InvalidRequest, match=r"controls\.0\.image must be 64 x 64 .*not 32 x 64"):
        finish(picture)


@pytest.mark.parametrize(
    ("field", "value"),
    [("controls", (EDGES,)), ("image_prompts", (FACE,)), ("tiling", True)],
)
def test_flux_takes_loras_alone(tmp_path: Path, field: str, value: Any) -> None:
    save_tiny_flux(tmp_path / "flux")
    model = load_model(tmp_path / "flux", torch.device("cpu"))
    with pytest.raises(InvalidRequest, match=f"^{field}: a model of the family flux takes none"):
        adapt(model, request(**{field: value}), tmp_path.joinpath)
