"""Triton on this machine: the real `tritonserver` that the wheel nvidia-pytriton carries.

The wheel's own launcher is not used. Its binary needs the Python backend's stub of the right
Python version beside the backend, the virtual environment first on PATH (the stub takes its
interpreter from there), that Python's shared library, and a prefix of its own in /dev/shm.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from dev.parts.program import LOOPBACK, PartError, Program, answers_http

MODEL = "diffusion"
STUB = "triton_python_backend_stub"
SHARED_MEMORY = Path("/dev/shm")
CONTROL_HEADER = "easel-control"
EXIT_SECONDS = 10
RESTRICTED_APIS = "model-repository,shared-memory,trace,logging"

PROBE = """
import importlib.util, json, os, sys, sysconfig
spec = importlib.util.find_spec("pytriton")
value = sysconfig.get_config_var
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "package": os.path.dirname(spec.origin) if spec and spec.origin else None,
    "library": value("INSTSONAME") or "",
    "folders": [value("LIBDIR") or "", os.path.join(sys.base_prefix, "lib"),
                os.path.join(value("LIBDIR") or "", value("MULTIARCH") or "")],
}))
"""


class MissingPart(PartError):
    """Something that Triton needs is not on this machine; the text says how to mend it."""


@dataclass(frozen=True)
class TritonInstall:
    """`package` is the folder of pytriton; `python_library` the one of libpython, if not the
    system's own."""

    python: Path
    package: Path
    stub: Path
    python_library: Path | None

    @property
    def server(self) -> Path:
        return self.package / "tritonserver" / "bin" / "tritonserver"


@dataclass(frozen=True)
class TritonPorts:
    """`metrics` is Triton's own Prometheus port, `engine_metrics` that of the engine."""

    http: int
    grpc: int
    metrics: int
    engine_metrics: int


@dataclass(frozen=True)
class TritonPlace:
    """Where one Triton runs: `state` is a folder of its own, `root` the repository root.

    `models_dir` holds pipeline folders; None leaves the model that the repository ships.
    `control_key` is asked of everybody who loads or unloads models. The models of `repositories`
    are served beside the engine.
    """

    root: Path
    state: Path
    ports: TritonPorts
    control_key: str
    models_dir: Path | None = None
    preload: str = "demo"
    threads: int = 2
    repositories: tuple[Path, ...] = ()

    @property
    def shm_prefix(self) -> str:
        """Names this place's segments in /dev/shm, and no other's."""
        return shm_prefix_of(self.state)


def shm_prefix_of(state: Path) -> str:
    """The beginning of the names of all segments of the Triton that runs in the folder `state`."""
    return f"easel-{sha256(str(state.resolve()).encode()).hexdigest()[:12]}-"


def find_triton(python: Path) -> TritonInstall:
    """Triton in the virtual environment of `python`. Raises MissingPart."""
    try:
        probe = subprocess.run([python, "-c", PROBE], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingPart(f"{python} does not run: make the inference environment anew") from error
    facts = json.loads(probe.stdout)
    if facts["package"] is None:
        raise MissingPart(
            f"{python} has no nvidia-pytriton: `./easel up` installs 3rdparty/python/inference.lock"
        )
    package = Path(facts["package"])
    stub = package / "tritonserver" / "python_backend_stubs" / facts["version"] / STUB
    if not stub.is_file():
        raise MissingPart(f"Triton has no stub for Python {facts['version']}: use Python 3.11")
    library = _find_python_library(facts["library"], [Path(f) for f in facts["folders"] if f])
    return TritonInstall(python, package, stub, library)


def prepare_backends(install: TritonInstall, state: Path) -> Path:
    """A folder of backends with the stub linked in; the environment itself stays untouched.

    The depth is that of the wheel, because its libraries are looked up four levels higher.
    """
    wheel = install.package / "tritonserver"
    backend = state / "pytriton" / "tritonserver" / "backends" / "python"
    backend.mkdir(parents=True, exist_ok=True)
    links = {backend / STUB: install.stub, state / "nvidia_pytriton.libs": _libraries(install)}
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        links[backend / name] = wheel / "backends" / "python" / name
    for link, target in links.items():
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return backend.parent


def triton(python: Path, place: TritonPlace) -> Program:
    """The server in the environment of `python`, cleared of what a killed one left. Raises
    MissingPart."""
    install = find_triton(python)
    clear_leftovers(place)
    ports = place.ports
    return Program(
        name="triton",
        argv=command(install, place, exit_timeout_seconds=EXIT_SECONDS),
        env=environment(install, place),
        ports=[ports.http, ports.grpc, ports.metrics, ports.engine_metrics],
        ready=lambda: is_ready(ports),
        stop_seconds=EXIT_SECONDS + 2,
    )


def command(
    install: TritonInstall, place: TritonPlace, exit_timeout_seconds: int = 25
) -> list[str]:
    """The server's command line. Makes the backends' folder, and clears the own /dev/shm prefix."""
    backends = prepare_backends(install, place.state)
    clear_shared_memory(place.shm_prefix)
    ports = place.ports
    return [
        str(install.server),
        f"--model-repository={place.root / 'inference' / 'triton_models'}",
        f"--backend-directory={backends}",
        f"--cache-directory={install.package / 'tritonserver' / 'caches'}",
        "--model-control-mode=explicit",
        f"--load-model={MODEL}",
        *_further_models(place),
        "--disable-auto-complete-config",
        f"--http-address={LOOPBACK}",
        f"--http-port={ports.http}",
        "--http-thread-count=2",
        f"--grpc-address={LOOPBACK}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-address={LOOPBACK}",
        f"--metrics-port={ports.metrics}",
        "--allow-gpu-metrics=false",
        "--pinned-memory-pool-byte-size=0",
        f"--exit-timeout-secs={exit_timeout_seconds}",
        f"--backend-config=python,shm-region-prefix-name={place.shm_prefix}",
        f"--grpc-restricted-protocol={RESTRICTED_APIS}:{CONTROL_HEADER}={place.control_key}",
        f"--http-restricted-api={RESTRICTED_APIS}:{CONTROL_HEADER}={place.control_key}",
    ]


def _further_models(place: TritonPlace) -> list[str]:
    words = [f"--model-repository={folder}" for folder in place.repositories]
    models = sorted(
        path.parent for folder in place.repositories for path in folder.glob("*/*.pbtxt")
    )
    return [*words, *(f"--load-model={model.name}" for model in models)]


def environment(install: TritonInstall, place: TritonPlace) -> dict[str, str]:
    """The variables of the server, to be laid over those of the process that starts it."""
    variables = {
        "PATH": os.pathsep.join([str(install.python.parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(place.threads),
        "HF_HUB_OFFLINE": "1",
        "EASEL_ROOT": str(place.root),
        "EASEL_ENGINE_THREADS": str(place.threads),
        "EASEL_ENGINE_PRELOAD": place.preload,
        "EASEL_ENGINE_METRICS_PORT": str(place.ports.engine_metrics),
    }
    if place.models_dir is not None:
        variables["EASEL_MODELS_DIR"] = str(place.models_dir)
    if install.python_library is not None:
        folders = [str(install.python_library), os.environ.get("LD_LIBRARY_PATH", "")]
        variables["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, folders))
    return variables


def is_ready(ports: TritonPorts, timeout_seconds: float = 1.0) -> bool:
    """Whether the server answers and has loaded its model."""
    url = f"http://{LOOPBACK}:{ports.http}/v2/health/ready"
    return answers_http(url, timeout=timeout_seconds)


def clear_leftovers(place: TritonPlace) -> None:
    """End the stubs and free the shared memory that a killed server left behind."""
    for pid in find_stubs(place.shm_prefix):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 2
    while find_stubs(place.shm_prefix) and time.monotonic() < deadline:
        time.sleep(0.02)
    clear_shared_memory(place.shm_prefix)


def find_stubs(shm_prefix: str) -> list[int]:
    """Process ids of the stubs whose shared memory has this prefix."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if words[0].endswith(STUB) and any(word.startswith(shm_prefix) for word in words):
                found.append(int(entry.name))
    return found


def clear_shared_memory(shm_prefix: str) -> None:
    """Remove the segments with this prefix."""
    for segment in SHARED_MEMORY.glob(f"{shm_prefix}*"):
        segment.unlink(missing_ok=True)


def _libraries(install: TritonInstall) -> Path:
    return install.package.parent / "nvidia_pytriton.libs"


def _find_python_library(name: str, folders: list[Path]) -> Path | None:
    """The folder with this libpython; None when the system's loader finds it by itself."""
    for folder in folders:
        if name.endswith((".so", ".so.1.0")) and (folder / name).is_file():
            return folder
    listing = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    if name and name in listing:
        return None
    raise MissingPart(
        "this Python has no shared library (libpython), which Triton needs: install your system's "
        "libpython3.11 package, or a Python that was built with --enable-shared"
    )
