"""How one engine is set up: parameters of config.pbtxt, each overridden by the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inference.engine.scheduling import read_buckets
from inference.runners.choice import EAGER, GUIDED_ROWS, RUNNERS

SHIPPED_MODEL = "demo"
SHIPPED_FOLDER = Path("inference") / "demo_model"


@dataclass(frozen=True)
class EngineSettings:
    """`models_dir` holds one pipeline folder a model; `preload` names those loaded at start.

    `threads` are the CPU threads of one tensor operation. `max_running` requests are interleaved,
    `max_waiting` more wait for a slot, and the next one is refused. Steps of several pictures are
    made as one call, padded to one of the `batch_rows`; without any, each is a call of its own. A
    GPU has one bucket that holds all that run, a CPU, which gains nothing from batches, has none.
    Every `ageing_seconds` of waiting raise a request by one class. `memory_mib` bounds models and
    pictures together (0: what the device has); a bound too small for a request refuses it.
    `runner` says how networks are computed (inference/runners); `exports_dir` holds what `easel
    export` made of each model, by name. `metrics_port` 0 means none.
    """

    root: Path
    models_dir: Path
    preload: tuple[str, ...]
    threads: int
    max_running: int
    max_waiting: int
    batch_rows: tuple[int, ...]
    ageing_seconds: int
    memory_mib: int
    runner: str
    exports_dir: Path
    metrics_address: str
    metrics_port: int


def read_settings(
    root: Path,
    parameters: Mapping[str, str],
    environment: Mapping[str, str],
    *,
    on_gpu: bool = False,
) -> EngineSettings:
    """`threads` of config.pbtxt is EASEL_ENGINE_THREADS in the environment, and so on; the models
    folder is EASEL_MODELS_DIR. Raises ValueError that names a value which is no number."""

    def text(name: str, default: str) -> str:
        return environment.get(f"EASEL_ENGINE_{name.upper()}", parameters.get(name, default))

    def number(name: str, default: int, least: int) -> int:
        value = text(name, str(default))
        if not value.isdecimal() or int(value) < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
        return int(value)

    max_running = number("max_running", 4, 1)
    all_that_run = str(GUIDED_ROWS * max_running)
    models_dir = environment.get("EASEL_MODELS_DIR", parameters.get("models_dir", ""))
    exports_dir = text("exports_dir", "")
    if (runner := text("runner", EAGER)) not in RUNNERS:
        raise ValueError(f"runner must be one of {', '.join(RUNNERS)}, not {runner!r}")
    return EngineSettings(
        root=root,
        models_dir=Path(models_dir) if models_dir else root / "models",
        preload=tuple(name for name in text("preload", "").replace(",", " ").split()),
        threads=number("threads", 2, 1),
        max_running=max_running,
        max_waiting=number("max_waiting", 32, 0),
        batch_rows=read_buckets(text("batch_rows", all_that_run if on_gpu else "")),
        ageing_seconds=number("ageing_seconds", 10, 1),
        memory_mib=number("memory_mib", 0, 0),
        runner=runner,
        exports_dir=Path(exports_dir) if exports_dir else root / "exports",
        metrics_address=text("metrics_address", "127.0.0.1"),
        metrics_port=number("metrics_port", 0, 0),
    )


def find_model_folder(settings: EngineSettings, model: str) -> Path:
    """Where the model is or would be: the models folder first, then what the repository ships."""
    folder = settings.models_dir / model
    if model == SHIPPED_MODEL and not folder.exists():
        return settings.root / SHIPPED_FOLDER
    return folder
