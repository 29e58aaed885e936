"""The GPUs: workers of pools, what they have loaded, and what happens to them."""

from dataclasses import dataclass, field
from random import Random

from libs.tiers.catalogue import Pool

# A worker serves its pools in order: on-demand GPUs help out where the spot GPUs are too few.
POOLS_OF = {"standard": ("standard",), "premium": ("premium", "standard")}


@dataclass(frozen=True)
class Storm:
    """At `at` a share of a pool's GPUs gets notice; they come back, empty, after `seconds`."""

    at: float
    pool: Pool
    share: float
    seconds: float


@dataclass(frozen=True)
class Deaths:
    """Every GPU dies without a word, once in `mean_seconds` of its life, and restarts."""

    mean_seconds: float
    restart_seconds: float = 30.0


@dataclass(eq=False, slots=True)
class Worker:
    """One GPU. `epoch` grows when what it does is interrupted: the end that was foreseen is not."""

    name: str
    pools: tuple[str, ...]
    keeps_models: int
    loaded: list[str] = field(default_factory=list)
    away: bool = False
    epoch: int = 0

    @property
    def home(self) -> str:
        return self.pools[0]

    def load(self, model: str) -> bool:
        """Have a model ready, in the place of the one unused for longest; whether it was not."""
        missing = model not in self.loaded
        self.loaded = [model, *(name for name in self.loaded if name != model)]
        del self.loaded[self.keeps_models :]
        return missing

    def empty(self) -> None:
        """The machine is gone, and with it what was loaded."""
        self.epoch += 1
        self.away = True
        self.loaded = []


def moments_of_death(rng: Random, deaths: Deaths, end: float) -> list[float]:
    """When one GPU dies."""
    moments, at = [], 0.0
    while (at := at + rng.expovariate(1 / deaths.mean_seconds)) < end:
        moments.append(at)
        at += deaths.restart_seconds
    return moments
