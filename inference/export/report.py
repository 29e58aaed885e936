"""What an export was made of, how near it is to torch, what it took: report.json and report.md."""

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from inference.export.onnx_files import TOLERANCE, Check
from inference.export.parts import Part

# By their modules: ONNX Runtime comes in packages of several names.
LIBRARIES = ("torch", "diffusers", "transformers", "onnx", "onnxruntime", "onnxscript")


@dataclass(frozen=True)
class Exported:
    """One part that was written and checked. `path` is its ONNX file."""

    part: Part
    path: Path
    export_seconds: float
    check_seconds: float
    checks: list[Check]

    @property
    def relative_error(self) -> float:
        return max(check.relative_error for check in self.checks)


def make_report(
    folder: Path, model: str, target: str, opset: int, threads: int, exported: list[Exported]
) -> dict[str, Any]:
    """Paths of the report are relative to the output's folder or the pipeline's."""
    return {
        "model": model,
        "pipeline": json.loads((folder / "model_index.json").read_text())["_class_name"],
        "target": target,
        "opset": opset,
        "tolerance": TOLERANCE,
        "threads": threads,
        "versions": {name: import_module(name).__version__ for name in LIBRARIES},
        "weights": {
            str(path.relative_to(folder)): digest(path)
            for path in sorted(folder.glob("*/*.safetensors"))
        },
        "parts": {one.part.name: _describe(one) for one in exported},
    }


def write_report(report: dict[str, Any], output: Path) -> None:
    text = json.dumps(report, indent=2) + "\n"
    (output / "report.json").write_text(text, encoding="utf-8")
    (output / "report.md").write_text(_as_markdown(report), encoding="utf-8")


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _describe(one: Exported) -> dict[str, Any]:
    files = sorted(one.path.parent.glob(f"{one.path.name}*"))
    return {
        "files": {
            file.name: {"bytes": file.stat().st_size, "sha256": digest(file)} for file in files
        },
        "inputs": [asdict(tensor) for tensor in one.part.inputs],
        "outputs": [asdict(tensor) for tensor in one.part.outputs],
        "max_batch": one.part.max_batch,
        "relative_error": one.relative_error,
        "export_seconds": round(one.export_seconds, 2),
        "check_seconds": round(one.check_seconds, 2),
        "checks": [asdict(check) for check in one.checks],
    }


def _as_markdown(report: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    lines = [
        f"# {report['model']} for {report['target']}",
        "",
        f"{report['pipeline']}, opset {report['opset']}; {versions}.",
        "",
        "Relative error: max|onnx - torch| / max|torch| in FP32, the greatest of all shapes and "
        f"outputs; an export fails above {report['tolerance']:g}. Times are one call on "
        f"{report['threads']} threads of a CPU, the first of its shape.",
        "",
        "| part | relative error | MB | export, s | shapes | torch, ms | ONNX Runtime, ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, part in report["parts"].items():
        megabytes = sum(file["bytes"] for file in part["files"].values()) / 1e6
        whole = f"{part['relative_error']:.1e} | {megabytes:.1f} | {part['export_seconds']:.1f}"
        for check in part["checks"]:
            shapes = ", ".join("x".join(map(str, shape)) for shape in check["shapes"].values())
            times = (check["torch_seconds"] * 1000, check["onnx_seconds"] * 1000)
            lines.append(f"| {name} | {whole} | {shapes} | {times[0]:.0f} | {times[1]:.0f} |")
            name, whole = "", " | | "
    return "\n".join(lines) + "\n"
