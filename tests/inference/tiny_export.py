"""Exports the UNet and the VAE's decoder of the tiny pipeline, for tests that run without torch.

`python tests/inference/tiny_export.py FOLDER` writes the model FOLDER/models/tiny, its export
FOLDER/exports/tiny for the target `dev`, and, for every part, what torch computes:
FOLDER/<part>.npz with inputs and outputs by name, of three rows.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from inference.export.onnx_files import write_onnx
from inference.export.parts import Part, part_makers
from inference.export.repository import make_folders, render_model
from inference.export.tensors import random_tensors
from tests.inference.tiny_pipeline import save_tiny_pipeline

MODEL = "tiny"
PARTS = ("unet", "vae_decoder")


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    save_tiny_pipeline(folder / "models" / MODEL)
    output = folder / "exports" / MODEL
    makers = part_makers(folder / "models" / MODEL, "sd15")
    for name in PARTS:
        part = makers[name]()
        write_onnx(part, make_folders(output, "dev", MODEL, name))
        render_model(output, "dev", MODEL, part)
        save_expected(part, folder / f"{name}.npz")


def save_expected(part: Part, path: Path) -> None:
    inputs = random_tensors(part.inputs, 3, part.sides(0.5, 1.0))
    with torch.no_grad():
        answers = part.network(*inputs.values())
    outputs = {tensor.name: answer for tensor, answer in zip(part.outputs, answers, strict=True)}
    np.savez(path, **{name: value.numpy() for name, value in (inputs | outputs).items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
