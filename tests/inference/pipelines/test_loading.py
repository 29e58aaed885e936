import json
import shutil
from pathlib import Path

import pytest
import torch

from inference.pipelines.loading import LoadError, Model, load_model

CPU = torch.device("cpu")


def test_weights_stored_in_half_precision_are_computed_in_full(model: Model) -> None:
    modules = (model.components[name] for name in ("text_encoder", "unet", "vae"))
    assert {weight.dtype for part in modules for weight in part.parameters()} == {torch.float32}
    assert (model.vae_scale, model.native_side) == (4, 64)


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
