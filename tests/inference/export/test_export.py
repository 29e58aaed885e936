"""Tiny pipelines exported whole: what is written, what it computes, what is refused."""

import json
import stat
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from inference.export.main import main
from inference.export.onnx_files import TOLERANCE
from tests.inference.tiny_pipeline import save_tiny_pipeline
from tests.inference.tiny_sdxl import save_tiny_sdxl

SD15 = {"text_encoder", "unet", "vae_decoder", "vae_encoder"}
SDXL = {*SD15, "text_encoder_2"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for models and exports, with the models `tiny` and `tiny-xl`."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("exports")
    save_tiny_pipeline(folder / "tiny")
    save_tiny_sdxl(folder / "tiny-xl")
    return folder


@pytest.fixture(scope="module")
def for_dev(folders: Path) -> Path:
    words = [str(folders / "tiny"), "--target", "dev", "--threads", "1"]
    assert main([*words, "--output", str(folders / "dev")]) == 0
    return folders / "dev"


@pytest.fixture(scope="module")
def for_tensorrt(folders: Path) -> Path:
    words = [str(folders / "tiny-xl"), "--target", "tensorrt", "--threads", "1"]
    assert main([*words, "--output", str(folders / "plans"), "--name", "xl"]) == 0
    return folders / "plans"


def config_of(model: Path) -> Any:
    return text_format.Parse((model / "config.pbtxt").read_text(), ModelConfig())


def report_of(output: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    return report


def dims(tensors: Any) -> dict[str, list[int]]:
    return {tensor.name: list(tensor.dims) for tensor in tensors}


def test_every_part_is_near_torch_in_every_shape(for_dev: Path, for_tensorrt: Path) -> None:
    for output, names in ((for_dev, SD15), (for_tensorrt, SDXL)):
        parts = report_of(output)["parts"]
        assert set(parts) == names
        for part in parts.values():
            shapes = [json.dumps(check["shapes"]) for check in part["checks"]]
            assert len(set(shapes)) == 3
            assert all(0 <= check["relative_error"] <= TOLERANCE for check in part["checks"])


def test_the_report_says_what_it_was_made_of(folders: Path, for_dev: Path) -> None:
    report = report_of(for_dev)
    assert report["versions"]["torch"] == torch.__version__
    assert set(report["weights"]) == {
        str(path.relative_to(folders / "tiny")) for path in folders.glob("tiny/*/*.safetensors")
    }
    size = (for_dev / "repository" / "tiny-unet" / "1" / "model.onnx").stat().st_size
    assert report["parts"]["unet"]["files"]["model.onnx"]["bytes"] == size
    lines = (for_dev / "report.md").read_text().splitlines()
    assert sum(line.startswith("| unet ") for line in lines) == 1


def test_a_dev_repository_runs_onnx_in_the_python_backend(for_dev: Path) -> None:
    models = sorted(for_dev.glob("repository/*"))
    assert [model.name for model in models] == sorted(f"tiny-{name}" for name in SD15)
    for model in models:
        config = config_of(model)
        assert (config.name, config.backend) == (model.name, "python")
        assert {path.name for path in (model / "1").iterdir()} == {"model.onnx", "model.py"}
    unet = config_of(for_dev / "repository" / "tiny-unet")
    assert dims(unet.input) == {
        "sample": [4, -1, -1],
        "timestep": [1],
        "encoder_hidden_states": [-1, 32],
    }
    assert list(unet.input[1].reshape.shape) == [] and unet.input[1].HasField("reshape")
    assert dims(unet.output) == {"prediction": [4, -1, -1]}


def test_the_onnx_file_agrees_with_the_config(for_dev: Path) -> None:
    for model in for_dev.glob("repository/*"):
        config = config_of(model)
        graph = onnx.load(str(model / "1" / "model.onnx")).graph
        assert [given.name for given in graph.input] == [given.name for given in config.input]
        assert [made.name for made in graph.output] == [made.name for made in config.output]
        for value, tensor in zip(graph.input, config.input, strict=True):
            axes = value.type.tensor_type.shape.dim
            assert axes[0].dim_param
            sizes = [axis.dim_value or -1 for axis in axes[1:]]
            assert sizes == ([] if tensor.HasField("reshape") else list(tensor.dims))


def test_a_tensorrt_repository_builds_its_plans(for_tensorrt: Path) -> None:
    models = {path.name for path in for_tensorrt.glob("repository/*")}
    assert models == {f"xl-{name}" for name in SDXL}
    config = config_of(for_tensorrt / "repository" / "xl-text_encoder_2")
    assert (config.platform, config.default_model_filename) == ("tensorrt_plan", "model.plan")
    assert dims(config.output) == {"hidden_states": [77, 32], "text_embeds": [32]}
    script = (for_tensorrt / "build.sh").read_text()
    assert (for_tensorrt / "build.sh").stat().st_mode & stat.S_IXUSR
    for name in SDXL:
        assert f'--onnx="onnx/{name}/model.onnx"' in script
        assert (for_tensorrt / "onnx" / name / "model.onnx").is_file()
    commands = dict(part.split('"', 1) for part in script.split('echo "== xl-')[1:])
    halved = {name for name, command in commands.items() if "$PRECISION" in command}
    assert halved == {name for name in SDXL if not name.startswith("vae_")}
    best = "sample:2x4x16x16,timestep:2,encoder_hidden_states:2x77x64,text_embeds:2x32,time_ids:2x6"
    assert f'--optShapes="{best}"' in script
    most = "sample:16x4x32x32,timestep:16,encoder_hidden_states:16x308x64"
    assert f'--maxShapes="{most},' in script
    opsets = onnx.load(str(for_tensorrt / "onnx" / "unet" / "model.onnx")).opset_import
    assert [opset.version for opset in opsets if opset.domain == ""] == [18]
