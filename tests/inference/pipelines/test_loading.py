import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from inference.pipelines.loading import LoadError, Model, load_model
from tests.inference.pipelines.models import Models

CPU = torch.device("cpu")


def test_weights_stored_in_half_precision_are_computed_in_full(model: Model) -> None:
    modules = (model.components[name] for name in ("text_encoder", "unet", "vae"))
    assert {weight.dtype for part in modules for weight in part.parameters()} == {torch.float32}
    assert (model.vae_scale, model.native_side) == (4, 64)


@pytest.mark.parametrize(
    ("name", "family", "channels"),
    [
        ("sd15", "sd15", 4),
        ("sd15-inpainting", "sd15", 9),
        ("sdxl", "sdxl", 4),
        ("sdxl-inpainting", "sdxl", 9),
        ("x4", "x4", 7),
    ],
)
def test_folders_of_every_class_are_loaded(
    models: Models, name: str, family: str, channels: int
) -> None:
    loaded = models[name]
    assert (loaded.family, loaded.denoiser.config.in_channels) == (family, channels)
    assert (loaded.vae_scale, loaded.native_side) == (4, 64)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_in_half_precision_every_weight_is_what_diffusers_loads(models: Models, name: str) -> None:
    folder = models.folder(name)
    loaded = load_model(folder, CPU, torch.float16)
    plain: Any = diffusers.DiffusionPipeline.from_pretrained(str(folder), dtype=torch.float16)
    for part in ("unet", "text_encoder", "vae"):
        ours, theirs = (
            dict(p.named_parameters()) for p in (loaded.components[part], getattr(plain, part))
        )
        dtype = torch.float32 if (name, part) == ("sdxl", "vae") else torch.float16
        assert {weight.dtype for weight in ours.values()} == {dtype}
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[n].half(), theirs[n]) for n in ours)


def test_the_refiner_is_refused_for_what_it_is(models: Models, tmp_path: Path) -> None:
    write_index(models.folder("sdxl"), tmp_path, _class_name="StableDiffusionXLImg2ImgPipeline")
    with pytest.raises(LoadError, match="is a StableDiffusionXLImg2ImgPipeline, not one of"):
        load_model(tmp_path, CPU)


def test_options_of_a_folder_are_kept(models: Models, tmp_path: Path) -> None:
    assert models["sdxl"].options["force_zeros_for_empty_prompt"] is True
    assert models["x4"].options == {"max_noise_level": 350}
    folder = tmp_path / "tiny"
    shutil.copytree(models.folder("sdxl"), folder)
    write_index(folder, folder, force_zeros_for_empty_prompt=False)
    assert load_model(folder, CPU).options["force_zeros_for_empty_prompt"] is False


def test_a_safety_checker_is_neither_loaded_nor_missed(models: Models, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(models.folder("sd15"), folder)
    checker = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    write_index(folder, folder, safety_checker=checker, requires_safety_checker=True)
    assert load_model(folder, CPU).components["safety_checker"] is None


def write_index(source: Path, folder: Path, **changes: Any) -> None:
    document = json.loads((source / "model_index.json").read_text(encoding="utf-8"))
    (folder / "model_index.json").write_text(json.dumps(document | changes))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="there is no model 'nothing' here"):
        load_model(tmp_path / "nothing", CPU)


def test_another_kind_of_pipeline_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "OtherPipeline"}))
    with pytest.raises(LoadError, match="is a OtherPipeline"):
        load_model(tmp_path, CPU)


@pytest.mark.parametrize("part", ["tokenizer", "text_encoder", "unet", "vae", "scheduler"])
def test_a_part_that_is_not_there_is_a_load_error(
    models_dir: Path, tmp_path: Path, part: str
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(models_dir / "tiny", folder)
    shutil.rmtree(folder / part)
    with pytest.raises(LoadError, match="'broken' cannot be loaded"):
        load_model(folder, CPU)


def test_pickled_weights_are_not_read(models_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(models_dir / "tiny", folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    torch.save({}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(LoadError):
        load_model(folder, CPU)
