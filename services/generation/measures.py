"""What the latest jobs of a pool tell about the next: speed, service times, trust in estimates."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from libs.tiers.estimates import (
    FEWEST_SAMPLES,
    LEVELS,
    SAMPLES,
    Calibration,
    Started,
    calibrate,
    quantile,
)
from libs.tiers.pool_loads import FIRST_JOB_SECONDS_PER_MILLICREDIT

ALL_MODELS = ""
SERVICE_SAMPLES = 100


@dataclass(frozen=True)
class DrawnJob:
    """A job that came to an end with pictures. `whole`: at the first try, and with all of them.
    `seconds` from start to end; `reckoned` and `told_p90` as at acceptance, None: nothing told."""

    tier: str
    model: str
    cost: int
    whole: bool
    seconds: float
    waited: float
    reckoned: float | None
    told_p90: float | None


@dataclass(frozen=True)
class Measured:
    """Of one pool: seconds of a slot a milli-credit, the quantiles of that by model, and by tier
    how the waits that were told came out; `kept` is the share that started before its p90."""

    speed: float = FIRST_JOB_SECONDS_PER_MILLICREDIT
    services: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    kept: Mapping[str, float] = field(default_factory=dict)


def measure(jobs: Sequence[DrawnJob]) -> Measured:
    """What a pool's latest jobs tell, newest first."""
    whole = [job for job in jobs if job.whole][:SAMPLES]
    tiers = {job.tier for job in jobs}
    started = {tier: started_of(jobs, tier) for tier in tiers}
    return Measured(
        mean_speed(whole),
        services_of(whole),
        {tier: calibration_of(jobs, tier) for tier in tiers},
        {tier: share_kept(known) for tier, known in started.items() if known},
    )


def mean_speed(whole: Sequence[DrawnJob]) -> float:
    """Seconds of a slot a milli-credit."""
    cost = sum(job.cost for job in whole)
    return sum(job.seconds for job in whole) / cost if cost else FIRST_JOB_SECONDS_PER_MILLICREDIT


def services_of(whole: Sequence[DrawnJob]) -> dict[str, tuple[float, float]]:
    """Quantiles of the seconds a milli-credit, by model and of all."""
    rates: dict[str, list[float]] = defaultdict(list)
    for job in whole:
        for model in (job.model, ALL_MODELS):
            if len(rates[model]) < SERVICE_SAMPLES:
                rates[model].append(job.seconds / job.cost)
    middle, upper = LEVELS
    return {
        model: (quantile(sorted(found), middle), quantile(sorted(found), upper))
        for model, found in rates.items()
    }


def started_of(jobs: Sequence[DrawnJob], tier: str | None = None) -> list[Started]:
    """Waits that were told and came, of one tier or of all."""
    return [
        Started(job.reckoned, job.told_p90, job.waited)
        for job in jobs
        if job.reckoned is not None and job.told_p90 is not None and tier in (None, job.tier)
    ][:SAMPLES]


def calibration_of(jobs: Sequence[DrawnJob], tier: str) -> Calibration:
    """By the tier's own jobs, or by the pool's while those are few."""
    own = started_of(jobs, tier)
    return calibrate(own if len(own) >= FEWEST_SAMPLES else started_of(jobs))


def share_kept(started: Sequence[Started]) -> float:
    """The share of jobs that started before the p90 that they were told."""
    return sum(job.waited <= job.told_p90 for job in started) / len(started)
