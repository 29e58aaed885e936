"""A real Triton for tests, with a tiny random model beside the one that the repository ships.

Its Python is that of the inference environment: EASEL_INFERENCE_PYTHON.
"""

import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import pytest

from dev.parts.program import LOOPBACK, free_port
from dev.parts.triton import TritonPlace, TritonPorts, clear_leftovers, triton
from libs.testkit.running import running
from libs.triton.client import TritonClient

ROOT = Path(__file__).parents[2]
VARIABLE = "EASEL_INFERENCE_PYTHON"
START_SECONDS = 120


@dataclass(frozen=True)
class TritonServer:
    """A server that is ready. `url` is its gRPC endpoint."""

    place: TritonPlace

    @property
    def url(self) -> str:
        return f"{LOOPBACK}:{self.place.ports.grpc}"

    @property
    def metrics_url(self) -> str:
        return f"http://{LOOPBACK}:{self.place.ports.metrics}/metrics"

    @property
    def engine_metrics_url(self) -> str:
        return f"http://{LOOPBACK}:{self.place.ports.engine_metrics}/metrics"

    def client(self, quiet_seconds: float = 1.0) -> TritonClient:
        """A client that may load models."""
        return TritonClient(
            self.url, control_key=self.place.control_key, quiet_seconds=quiet_seconds
        )


def inference_python() -> Path:
    """The interpreter that carries Triton; fails the test that asks where there is none."""
    python = Path(os.environ.get(VARIABLE, ""))
    if not python.is_file():
        pytest.fail(
            f"{VARIABLE} names no file: set it to the Python of the inference environment, which "
            "`./easel up` makes at .easel/venv/inference/bin/python",
            pytrace=False,
        )
    return python


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with one random pipeline, `tiny`, that draws 64 px in 0.2 s."""
    folder = tmp_path_factory.mktemp("models")
    maker = ROOT / "tests" / "inference" / "tiny_pipeline.py"
    subprocess.run([inference_python(), maker, folder / "tiny"], check=True)
    return folder


def place_in(folder: Path, models_dir: Path) -> TritonPlace:
    """Where a server with the tiny model in memory runs, on free ports."""
    return TritonPlace(
        root=ROOT,
        state=folder,
        ports=TritonPorts(free_port(), free_port(), free_port(), free_port()),
        control_key=secrets.token_hex(16),
        models_dir=models_dir,
        preload="tiny",
    )


@contextmanager
def serving(
    folder: Path,
    models_dir: Path,
    repositories: tuple[Path, ...] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[TritonServer]:
    """A server with the tiny model in memory, and with further repositories beside the engine's.

    `variables` are settings of the engine.
    """
    place = replace(place_in(folder, models_dir), repositories=repositories)
    # After a test that killed the engine, Triton waits in vain for its last request.
    program = replace(triton(inference_python(), place), stop_seconds=3)
    program = replace(program, env={**program.env, **variables})
    try:
        with running(program, folder, START_SECONDS):
            yield TritonServer(place)
    finally:
        clear_leftovers(place)


@pytest.fixture(scope="session")
def triton_server(
    tmp_path_factory: pytest.TempPathFactory, models_dir: Path
) -> Iterator[TritonServer]:
    """One server a pytest process."""
    with serving(tmp_path_factory.mktemp("triton"), models_dir) as server:
        yield server


@pytest.fixture
async def triton_client(triton_server: TritonServer) -> AsyncIterator[TritonClient]:
    """A client of the server."""
    client = triton_server.client()
    yield client
    await client.close()
