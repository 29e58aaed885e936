"""What `easel export` makes for the local platform, in a real tritonserver: asked from outside and
by the engine, whose UNet it computes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc.aio as grpc

from libs.testkit.triton import ROOT, TritonServer, inference_python, serving
from libs.triton.contract import Done, GenerationRequest, Picture

TOLERANCE = 1e-4
RUNNER = {"EASEL_ENGINE_RUNNER": "triton"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, its export, and what torch computes: tests/inference/tiny_export.py."""
    folder = tmp_path_factory.mktemp("exported")
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    maker = ROOT / "tests" / "inference" / "tiny_export.py"
    subprocess.run([inference_python(), maker, folder], check=True, env=variables)
    return folder


@pytest.fixture(scope="module")
def server(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = exported / "exports" / "tiny" / "repository"
    folder = tmp_path_factory.mktemp("triton")
    with serving(folder, exported / "models", (repository,), RUNNER) as server:
        yield server


async def ask(server: TritonServer, model: str, values: dict[str, np.ndarray]) -> dict[str, object]:
    """Outputs by name; a number a row has an axis of one on the wire."""
    async with grpc.InferenceServerClient(server.url) as client:
        config = (await client.get_model_config(model)).config
        inputs = []
        for tensor in config.input:
            array = values[tensor.name]
            array = array[:, None] if array.ndim == 1 else array
            given = grpc.InferInput(tensor.name, array.shape, "FP32")
            given.set_data_from_numpy(array)
            inputs.append(given)
        answer = await client.infer(model, inputs)
    return {tensor.name: answer.as_numpy(tensor.name) for tensor in config.output}


@pytest.mark.parametrize("part", ["unet", "vae_decoder"])
async def test_a_part_that_is_served_answers_as_torch(
    exported: Path, server: TritonServer, part: str
) -> None:
    expected = dict(np.load(exported / f"{part}.npz"))
    for name, answer in (await ask(server, f"tiny-{part}", expected)).items():
        assert isinstance(answer, np.ndarray)
        assert answer.shape == expected[name].shape
        assert np.abs(answer - expected[name]).max() / np.abs(expected[name]).max() <= TOLERANCE


async def draw(server: TritonServer, seed: int) -> Picture:
    small = {"model": "tiny", "prompt": "a red apple", "width": 64, "height": 64, "steps": 6}
    rest = {"guidance": 5.0, "scheduler": "euler", "seed": seed}
    client = server.client()
    try:
        request = GenerationRequest.model_validate({**small, **rest})
        last = [event async for event in client.generate(request)][-1]
    finally:
        await client.close()
    assert isinstance(last, Done)
    return last.pixels


async def test_the_engine_draws_by_the_served_unet(
    server: TritonServer, exported: Path, tmp_path: Path
) -> None:
    served = await draw(server, seed=3)
    async with grpc.InferenceServerClient(server.url) as client:
        statistics = await client.get_inference_statistics("tiny-unet")
    assert statistics.model_stats[0].inference_count >= 2 * 6
    with serving(tmp_path, exported / "models") as eager:
        expected = await draw(eager, seed=3)
    assert np.abs(served.astype(int) - expected.astype(int)).max() <= 1
