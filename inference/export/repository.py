"""A Triton model repository rendered of templates: one model a part, one layout for every target.

<output>/repository/<name>-<part>/config.pbtxt, 1/model.onnx (tensorrt: 1/model.plan, later)
<output>/report.json, report.md
<output>/onnx/<part>/model.onnx, build.sh       (tensorrt alone)
"""

import shutil
from pathlib import Path
from string import Template

from inference.export import served_model
from inference.export.layout import REPOSITORY, served_name
from inference.export.onnx_files import NEWEST_OPSET
from inference.export.parts import Part
from inference.export.tensors import Tensor

TEMPLATES = Path(__file__).with_name("templates")
TARGETS = ("dev", "onnxruntime", "tensorrt")
# TensorRT before 10.14 knows no Attention operator, which opset 23 brings.
OPSETS = {"dev": NEWEST_OPSET, "onnxruntime": NEWEST_OPSET, "tensorrt": 18}
# NVIDIA's containers of one release hold fitting versions of TensorRT and Triton.
CONTAINER_RELEASE = "25.04"
# What a TensorRT plan is made for: shares of the native sides, and chunks of a prompt.
PROFILES = {"min": (0.5, 1), "opt": (1.0, 1), "max": (2.0, 4)}


def onnx_folder(output: Path, target: str, model: str, part: str) -> Path:
    """Where the part's ONNX file lies."""
    if target == "tensorrt":
        return output / "onnx" / part
    return output / REPOSITORY / served_name(model, part) / "1"


def make_folders(output: Path, target: str, model: str, part: str) -> Path:
    """The folders of one part; the one for its ONNX file."""
    (output / REPOSITORY / served_name(model, part) / "1").mkdir(parents=True)
    folder = onnx_folder(output, target, model, part)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def render_model(output: Path, target: str, model: str, part: Part) -> None:
    """Write what Triton needs beside the ONNX file or the plan."""
    folder = output / REPOSITORY / served_name(model, part.name)
    (folder / "config.pbtxt").write_text(config(target, model, part), encoding="utf-8")
    if target == "dev":
        shutil.copyfile(str(served_model.__file__), folder / "1" / "model.py")


def config(target: str, model: str, part: Part) -> str:
    """The text of config.pbtxt."""
    return _fill(
        f"{target}.pbtxt",
        name=served_name(model, part.name),
        max_batch=str(part.max_batch),
        inputs=",\n".join(map(_tensor, part.inputs)),
        outputs=",\n".join(map(_tensor, part.outputs)),
    )


def build_script(model: str, parts: list[Part]) -> str:
    """A shell script that makes a TensorRT plan of every part, within NVIDIA's container."""
    builds = "".join(_build(model, part) for part in parts)
    return _fill("build.sh", release=CONTAINER_RELEASE, builds=builds)


def _build(model: str, part: Part) -> str:
    batches = {"min": 1, "opt": min(2, part.max_batch), "max": part.max_batch}
    shapes = {
        bound: ",".join(
            _profile_shape(part, tensor, batches[bound], share, chunks) for tensor in part.inputs
        )
        for bound, (share, chunks) in PROFILES.items()
    }
    precision = "" if part.full_precision else " $PRECISION"
    name = served_name(model, part.name)
    return _fill("build_part.sh", part=part.name, name=name, precision=precision, **shapes)


def _profile_shape(part: Part, tensor: Tensor, batch: int, share: float, chunks: int) -> str:
    shape = tensor.shape(batch, part.sides(share, share, chunks))
    return f"{tensor.name}:{'x'.join(map(str, shape))}"


def _tensor(tensor: Tensor) -> str:
    # One number a row: Triton has no such shape for requests, and takes the axis of one away.
    if not tensor.dims:
        dims, reshape = "1", " reshape { shape: [ ] }"
    else:
        dims = ", ".join("-1" if isinstance(dim, str) else str(dim) for dim in tensor.dims)
        reshape = ""
    return f'  {{ name: "{tensor.name}" data_type: TYPE_{tensor.dtype} dims: [ {dims} ]{reshape} }}'


def _fill(template: str, **values: str) -> str:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    return Template(text).substitute(values)
