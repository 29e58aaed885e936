"""Exports that must not be: bad input, and parts that torch computes otherwise."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from inference.export.main import ExportFailed, export_part, main, whole_or_nothing
from inference.export.parts import Part
from inference.export.tensors import Tensor, relative_error
from tests.inference.tiny_pipeline import save_tiny_pipeline

Spoil = Callable[[Path, Path], None]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_tiny_pipeline(folder)
    return folder


def change_class(folder: Path, name: str) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": name}))


def fill(output: Path) -> None:
    output.mkdir()
    (output / "kept").write_text("mine")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder, _: shutil.rmtree(folder), "there is no folder"),
        (lambda folder, _: (folder / "model_index.json").unlink(), "no pipeline folder"),
        (lambda folder, _: change_class(folder, "WuerstchenPipeline"), "is a WuerstchenPipeline"),
        (lambda folder, _: change_class(folder, "StableDiffusionUpscalePipeline"), "family x4"),
        (lambda folder, _: shutil.rmtree(folder / "unet"), "it has no unet"),
        (lambda _, output: fill(output), "not an empty folder"),
        (lambda _, output: output.write_text("a file"), "not an empty folder"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Spoil, words: str
) -> None:
    folder, output = tmp_path / "model", tmp_path / "output"
    shutil.copytree(tiny, folder)
    spoil(folder, output)
    before = sorted(tmp_path.rglob("*"))
    assert main([str(folder), "--target", "dev", "--output", str(output)]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.count("\n") == 1 and printed.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_an_opset_that_torch_does_not_write_is_refused(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tiny), "--target", "dev", "--output", str(tmp_path / "output"), "--opset", "5"]
    assert main(words) == 2
    assert "from 18 to 23, not 5" in capsys.readouterr().err


def test_a_pipeline_of_broken_weights_fails_and_leaves_nothing(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = tmp_path / "models" / "tiny", tmp_path / "exports" / "tiny"
    shutil.copytree(tiny, folder)
    weights = folder / "text_encoder" / "model.safetensors"
    broken = {name: value * float("nan") for name, value in load_file(weights).items()}
    save_file(broken, weights, metadata={"format": "pt"})
    assert main([str(folder), "--target", "dev", "--output", str(output)]) == 1
    assert "text_encoder differs from torch by inf" in capsys.readouterr().err
    assert list((tmp_path / "exports").iterdir()) == []


class Untraceable(nn.Module):
    """Looks at what it is given, which no exporter can."""

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor]:
        return (values if values.sum() > 0 else -values,)


def test_a_part_that_cannot_be_traced_fails(tmp_path: Path) -> None:
    values = Tensor("values", (4,))
    part = Part("puzzle", Untraceable(), inputs=(values,), outputs=(values,), max_batch=4)
    with pytest.raises(ExportFailed, match="puzzle failed"):
        export_part(part, tmp_path, opset=18, threads=1)


class Drifting(nn.Module):
    """Computes something else at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = 0.0

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor]:
        self.offset += 1.0
        return (values + self.offset,)


def test_a_part_over_the_tolerance_fails(tmp_path: Path) -> None:
    values, moved = Tensor("values", (4,)), Tensor("moved", (4,))
    part = Part("drifting", Drifting(), inputs=(values,), outputs=(moved,), max_batch=4)
    with pytest.raises(ExportFailed, match=r"drifting differs from torch by .* more than 0.0001"):
        export_part(part, tmp_path, opset=18, threads=1)
    assert onnxruntime.InferenceSession(str(tmp_path / "model.onnx")).get_inputs()


def test_a_failure_leaves_the_output_as_it_was(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with pytest.raises(ExportFailed), whole_or_nothing(output) as place:
        (place / "half").write_text("a part")
        raise ExportFailed("no")
    assert list(tmp_path.iterdir()) == []


def test_the_relative_error_sees_what_is_wrong() -> None:
    right = torch.tensor([1.0, -2.0]).numpy()
    assert relative_error(right, right) == 0
    assert relative_error(right + 0.02, right) == pytest.approx(0.01)
    assert relative_error(right * float("nan"), right) == float("inf")
    assert relative_error(right[:1], right) == float("inf")
