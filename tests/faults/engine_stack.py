"""A real Triton, real workers and a real relay that a test kills, beside real servers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dev.parts.program import LOOPBACK, Program, free_port, start, wait_ready
from dev.parts.triton import TritonPlace, clear_leftovers, find_stubs, triton
from libs.storage.objects import StorageSettings
from libs.testkit.postgres import Database
from libs.testkit.triton import TritonServer, inference_python, place_in
from libs.triton.client import TritonClient
from services.generation import relay, worker

ROOT = Path(__file__).parents[2]
SLOTS = 2
START_SECONDS = 120


@dataclass
class EngineStack:
    """What may be killed, and how it starts anew. A supervisor's work is the test's."""

    folder: Path
    place: TritonPlace
    settings: dict[str, str]
    database: Database
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def client(self) -> TritonClient:
        return TritonServer(self.place).client()

    def start_triton(self) -> Program:
        """Begin to start it; what a killed one left is cleared first."""
        program = triton(inference_python(), self.place)
        self.processes["triton"] = start(program, self.folder / "triton.log")
        return program

    def start_program(self, name: str, module: str, role: str) -> None:
        """Start a worker or the relay; it says nothing when it is ready."""
        own = {
            "EASEL_DATABASE_URL": self.database.url(role),
            "EASEL_METRICS_PORT": str(free_port()),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        }
        program = Program(
            name=name,
            argv=[sys.executable, "-m", module],
            ports=[],
            ready=lambda: True,
            env={**self.settings, **own},
        )
        self.processes[name] = start(program, self.folder / f"{name}.log")

    def start_worker(self, name: str) -> None:
        self.start_program(name, worker.__name__, "worker")

    def kill(self, name: str) -> None:
        """As a machine that is lost: nothing is said, nothing is cleared."""
        process = self.processes[name]
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def kill_engine(self) -> None:
        """The process inside Triton that draws; Triton goes on, most often."""
        for stub in find_stubs(self.place.shm_prefix):
            os.kill(stub, signal.SIGKILL)

    def supervise(self) -> None:
        """Start a Triton that has ended, as whoever supervises it does."""
        if self.processes["triton"].poll() is not None:
            self.start_triton()

    def terminate(self, name: str) -> float:
        """Ask it to end; the seconds that it took."""
        process, begun = self.processes[name], time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        return time.monotonic() - begun


def settings_for(place: TritonPlace, redis_url: str, storage: StorageSettings) -> dict[str, str]:
    """What workers and the relay are told, but for their database role."""
    return {
        "EASEL_LOG_LEVEL": "INFO",
        "EASEL_REDIS_URL": redis_url,
        "EASEL_TRITON_GRPC_URL": f"{LOOPBACK}:{place.ports.grpc}",
        "EASEL_TRITON_CONTROL_KEY": place.control_key,
        "EASEL_WORKER_POOL": "standard",
        "EASEL_WORKER_CONCURRENCY": str(SLOTS),
        "EASEL_S3_BUCKET_IMAGES": storage.bucket,
        "EASEL_S3_REGION": storage.region,
        "EASEL_S3_ENDPOINT_URL": str(storage.endpoint_url),
        "EASEL_S3_ACCESS_KEY_ID": str(storage.access_key_id),
        "EASEL_S3_SECRET_ACCESS_KEY": str(storage.secret_access_key),
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def engine_stack(
    folder: Path, models_dir: Path, database: Database, redis_url: str, storage: StorageSettings
) -> Iterator[EngineStack]:
    """Triton is ready inside the block; workers and relay are starting."""
    place = place_in(folder, models_dir)
    stack = EngineStack(folder, place, settings_for(place, redis_url, storage), database)
    try:
        program = stack.start_triton()
        stack.start_program("relay", relay.__name__, "relay")
        for name in ("worker-0", "worker-1"):
            stack.start_worker(name)
        wait_ready(program, stack.processes["triton"], folder / "triton.log", START_SECONDS)
        yield stack
    finally:
        for process in stack.processes.values():
            process.kill()
        for process in stack.processes.values():
            process.wait(10)
        clear_leftovers(place)
