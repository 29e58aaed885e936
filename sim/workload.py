"""Who asks for what and when: open Poisson arrivals, log-normal costs, the mix of the plans.

Every stream of randomness has a generator of its own, named by the seed and its purpose: adding a
flood to a scenario leaves everybody else's jobs as they were.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from libs.tiers.catalogue import TierName

COST_SPREAD = 0.6  # standard deviation over mean of the cost of a tier's jobs
PACE_SPREAD = 0.1  # the same of the seconds that a GPU takes for a second of cost
MILLICREDITS_A_SECOND = 1000  # a credit is one GPU-second
LONGEST_JOB_SECONDS = 120.0


@dataclass(frozen=True)
class Model:
    """A model, and how often it is asked for beside the others."""

    name: str
    popularity: float = 1.0


@dataclass(frozen=True)
class TierLoad:
    """What the users of one tier ask for; `share` of their pool's whole work."""

    tier: TierName
    users: int
    mean_seconds: float
    share: float


@dataclass(frozen=True)
class Phase:
    """Until when (seconds) the load (offered work over the pool's slots) is what it is."""

    until: float
    load: float


@dataclass(frozen=True)
class Flood:
    """One user who asks for `load` of a pool's slots beside all others."""

    tier: TierName
    load: float
    start: float
    end: float

    @property
    def user(self) -> str:
        return f"{self.tier}-flood"


@dataclass(frozen=True)
class Habits:
    """Shares of jobs whose user gives up, in the queue or while it runs, or sets a deadline."""

    gives_up_waiting: float = 0.0
    patience_seconds: float = 60.0
    gives_up_running: float = 0.02
    sets_deadline: float = 0.0
    deadline_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: `executed` of its cost will be run, at `pace` seconds a second of cost."""

    at: float
    user: str
    tier: TierName
    model: str
    cost: int
    executed: float
    pace: float
    expires_at: float | None
    gives_up_at: float | None


# After the mix of the first study (samples of the design), in the two pools of the catalogue.
LOADS = (
    TierLoad("free", users=3000, mean_seconds=5.0, share=0.35),
    TierLoad("starter", users=600, mean_seconds=10.0, share=0.30),
    TierLoad("pro", users=240, mean_seconds=16.0, share=0.35),
    TierLoad("studio", users=60, mean_seconds=16.0, share=0.60),
    TierLoad("enterprise", users=20, mean_seconds=16.0, share=0.40),
)


def lognormal(rng: Random, mean: float, spread: float) -> float:
    """A log-normal draw by its mean and its coefficient of variation."""
    variance = math.log(1 + spread * spread)
    return rng.lognormvariate(math.log(mean) - variance / 2, math.sqrt(variance))


def draw_cost(rng: Random, mean_seconds: float) -> int:
    """Milli-credits of one job, at least a credit."""
    seconds = min(LONGEST_JOB_SECONDS, max(1.0, lognormal(rng, mean_seconds, COST_SPREAD)))
    return round(seconds * MILLICREDITS_A_SECOND)


def poisson(rng: Random, start: float, end: float, rate: float) -> Iterator[float]:
    """Moments of a Poisson process of `rate` a second."""
    moment = start
    while rate > 0 and (moment := moment + rng.expovariate(rate)) < end:
        yield moment


def draw_arrival(
    rng: Random, at: float, user: str, load: TierLoad, models: Sequence[Model], habits: Habits
) -> Arrival:
    """One request; the draws do not depend on one another, so habits change nothing else."""
    cost, pace = draw_cost(rng, load.mean_seconds), lognormal(rng, 1.0, PACE_SPREAD)
    (model,) = rng.choices(models, [m.popularity for m in models])
    stops, part, leaves, stays, hurries = (rng.random() for _ in range(5))
    patience = -math.log(1 - stays) * habits.patience_seconds
    return Arrival(
        at,
        user,
        load.tier,
        model.name,
        cost,
        part if stops < habits.gives_up_running else 1.0,
        pace,
        at + habits.deadline_seconds if hurries < habits.sets_deadline else None,
        at + patience if leaves < habits.gives_up_waiting else None,
    )


def arrivals_of_tier(
    rng: Random,
    load: TierLoad,
    slots: int,
    phases: Sequence[Phase],
    models: Sequence[Model],
    habits: Habits,
) -> Iterator[Arrival]:
    """All requests of a tier's users, in the order of time."""
    start = 0.0
    mean = load.mean_seconds * (1 - habits.gives_up_running / 2)
    for phase in phases:
        rate = phase.load * slots * load.share / mean
        for at in poisson(rng, start, phase.until, rate):
            user = f"{load.tier}-{rng.randrange(load.users)}"
            yield draw_arrival(rng, at, user, load, models, habits)
        start = phase.until


def arrivals_of_flood(
    rng: Random, flood: Flood, load: TierLoad, slots: int, models: Sequence[Model]
) -> Iterator[Arrival]:
    """All requests of one user who floods."""
    rate = flood.load * slots / load.mean_seconds
    for at in poisson(rng, flood.start, flood.end, rate):
        yield draw_arrival(rng, at, flood.user, load, models, Habits(gives_up_running=0.0))
