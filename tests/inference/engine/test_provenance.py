import os
from pathlib import Path

import pytest
import torch

from inference.engine.provenance import build_digest, folder_digest, made_by

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "weights.safetensors").write_bytes(b"weights")
    (tmp_path / "model_index.json").write_text("{}")
    return tmp_path


def test_the_same_files_have_the_same_digest_wherever_they_lie(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("elsewhere") / "model"
    os.rename(folder, other)
    digest = folder_digest(other)
    os.rename(other, folder)
    assert digest == folder_digest(folder)


@pytest.mark.parametrize("change", ["content", "name", "more"])
def test_any_other_file_is_another_digest(folder: Path, change: str) -> None:
    before = folder_digest(folder)
    weights = folder / "unet" / "weights.safetensors"
    if change == "content":
        weights.write_bytes(b"Weights")
        os.utime(weights, ns=(1, 1))
    elif change == "name":
        weights.rename(folder / "unet" / "other.safetensors")
    else:
        (folder / "vae.json").write_text("{}")
    assert folder_digest(folder) != before


def test_a_note_of_whoever_fetched_the_folder_is_not_part_of_the_model(folder: Path) -> None:
    before = folder_digest(folder)
    (folder / ".fetched.json").write_text("{}")
    assert folder_digest(folder) == before


def test_a_picture_names_its_build_device_and_weights(folder: Path) -> None:
    made = made_by(
        folder, {"style": folder / "unet"}, device=CPU, dtype=torch.float32, batch_rows=(2, 8)
    )
    assert made["engine"] == build_digest()
    assert made["model"] == folder_digest(folder)
    assert made["adapters"] == {"style": folder_digest(folder / "unet")}
    assert made["dtype"] == "float32"
    assert made["batch_rows"] == "2,8"
    assert str(made["device"]).startswith("cpu ")
    libraries = made["libraries"]
    assert isinstance(libraries, dict) and libraries["torch"].startswith(torch.__version__[:4])
