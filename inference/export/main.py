"""Render a Triton model repository of a pipeline folder: `./easel export`.

    easel export <pipeline folder> --target dev|onnxruntime|tensorrt --output <folder>

Exit status: 0 done, 1 a part failed or is not near enough to torch, 2 the input cannot be used.
Nothing is left at the output's place unless every part is right.
"""

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import diffusers
import torch
from transformers.utils import logging as transformers_logging

from inference.export import repository
from inference.export.layout import REPOSITORY
from inference.export.onnx_files import (
    NEWEST_OPSET,
    OLDEST_OPSET,
    TOLERANCE,
    check_onnx,
    write_onnx,
)
from inference.export.parts import CannotExport, Makers, Part, part_makers
from inference.export.report import Exported, make_report, write_report
from inference.pipelines.loading import FAMILIES, LoadError, check_folder, require_parts

FAILED, UNUSABLE = 1, 2
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
Show = Callable[[str], None]


class ExportFailed(Exception):
    """A part could not be written, or is not what torch computes."""


def main(words: Sequence[str]) -> int:
    """Run one export; the process's exit status."""
    options = parse(words)
    folder, output = Path(options.folder), Path(options.output)
    transformers_logging.disable_progress_bar()
    diffusers.utils.logging.disable_progress_bar()
    torch.set_num_threads(options.threads)
    try:
        model = options.name or folder.resolve().name
        makers = prepare(folder, output, model, options.opset)
        with whole_or_nothing(output) as place:
            export(folder, place, model, makers, options, show)
    except (CannotExport, LoadError) as error:
        print(f"easel: {error}", file=sys.stderr)
        return UNUSABLE
    except ExportFailed as error:
        print(f"easel: {error}", file=sys.stderr)
        return FAILED
    show(f"wrote {output / REPOSITORY}, {output / 'report.md'}")
    return 0


def parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="easel export", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("folder", help="a pipeline in the diffusers layout")
    parser.add_argument("--target", choices=repository.TARGETS, required=True)
    parser.add_argument("--output", required=True, help="a folder that is new or empty")
    parser.add_argument("--name", help="the model's name in Triton (default: the folder's)")
    parser.add_argument("--opset", type=int, help="of ONNX: 18 is for older servers, too")
    parser.add_argument("--threads", type=int, default=2, help="for the comparison with torch")
    options = parser.parse_args(words)
    options.opset = options.opset or repository.OPSETS[options.target]
    return options


def prepare(folder: Path, output: Path, model: str, opset: int) -> Makers:
    """How each part is made. Raises LoadError or CannotExport for input that cannot be used."""
    if not folder.is_dir():
        raise CannotExport(f"there is no folder {folder}")
    if not (folder / "model_index.json").is_file():
        raise CannotExport(f"{folder} is no pipeline folder: it has no model_index.json")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise CannotExport(f"the output {output} is not an empty folder")
    if not MODEL_NAME.fullmatch(model):
        raise CannotExport(f"{model!r} is no name of a model: give one by --name")
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise CannotExport(f"the opset must be from {OLDEST_OPSET} to {NEWEST_OPSET}, not {opset}")
    family = FAMILIES[check_folder(folder)]
    require_parts(folder)
    return part_makers(folder, family)


@contextmanager
def whole_or_nothing(output: Path) -> Iterator[Path]:
    """A folder beside the output that takes its place when all went well."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as temporary:
        place = Path(temporary) / "export"
        place.mkdir()
        yield place
        if output.exists():
            output.rmdir()
        shutil.move(place, output)


def export(
    folder: Path,
    output: Path,
    model: str,
    makers: Makers,
    options: argparse.Namespace,
    show: Show,
) -> None:
    """Write, check and describe every part. Raises ExportFailed."""
    exported = []
    for number, (name, make) in enumerate(makers.items(), start=1):
        show(f"[{number}/{len(makers)}] {name}: exporting")
        place = repository.make_folders(output, options.target, model, name)
        one = export_part(make(), place, options.opset, options.threads)
        repository.render_model(output, options.target, model, one.part)
        exported.append(one)
        show(
            f"[{number}/{len(makers)}] {name}: {one.export_seconds:.1f} s, "
            f"relative error {one.relative_error:.1e}"
        )
    if options.target == "tensorrt":
        script = repository.build_script(model, [one.part for one in exported])
        (output / "build.sh").write_text(script, encoding="utf-8")
        (output / "build.sh").chmod(0o755)
    report = make_report(folder, model, options.target, options.opset, options.threads, exported)
    write_report(report, output)


def export_part(part: Part, folder: Path, opset: int, threads: int) -> Exported:
    """Write one part and hold it against torch. Raises ExportFailed."""
    began = time.monotonic()
    try:
        path = write_onnx(part, folder, opset)
        written = time.monotonic()
        checks = check_onnx(part, path, threads)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ExportFailed(f"{part.name} failed: {type(error).__name__}: {reason}") from error
    one = Exported(part, path, written - began, time.monotonic() - written, checks)
    if not one.relative_error <= TOLERANCE:
        raise ExportFailed(
            f"{part.name} differs from torch by {one.relative_error:.1e} relatively, "
            f"more than {TOLERANCE:g}: nothing was written"
        )
    return one


def show(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
