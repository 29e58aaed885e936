"""When a job will start and finish, told before it is known.

The queue is seen as a fluid: tiers drain side by side by weight (generalised processor sharing:
Parekh, Gallager: "A generalized processor sharing approach to flow control", 1993), and inside a
tier users alike. What the fluid leaves out is measured: the ratio of waits that came to waits that
were reckoned gives the quantiles (split conformal prediction: Lei et al., "Distribution-free
predictive inference for regression", 2018). Work is in milli-credits, times are seconds. Pure.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.tiers.pool_loads import (
    FIRST_JOB_SECONDS_PER_MILLICREDIT,
    GRID,
    PoolLoad,
    TierLoad,
    bucket_of,
    served_before,
)

ALLOWANCE_SECONDS = 1.0  # put on both sides of a ratio, so that waits of nothing have one
SAMPLES = 500  # started jobs that a calibration looks back on
FEWEST_SAMPLES = 30
LEVELS = (0.5, 0.9)
HIGHEST_LEVEL = 0.99
OWN_MARGIN = 1.25  # the grid makes waits behind much of one's own work up to a quarter too long
NOTHING = 1e-6  # milli-credits


@dataclass(frozen=True)
class Wait:
    """What was reckoned, uncalibrated: seconds to the start, and the jobs that start before."""

    seconds: float
    jobs_ahead: float


@dataclass(frozen=True)
class Started:
    """One job that has started: its wait as reckoned, as told at p90, and as it came."""

    reckoned: float
    told_p90: float
    waited: float


@dataclass(frozen=True)
class Calibration:
    """What a reckoned wait is multiplied by, for the quantiles 0.5 and 0.9."""

    p50: float = 1.0
    p90: float = 1.0


@dataclass(frozen=True)
class Service:
    """Seconds a milli-credit takes from start to finish, in half and in nine of ten jobs."""

    p50: float = FIRST_JOB_SECONDS_PER_MILLICREDIT
    p90: float = FIRST_JOB_SECONDS_PER_MILLICREDIT


@dataclass(frozen=True)
class Estimate:
    """What a user is told. `position` 1 is the next; `others_seconds` is the part of the wait, at
    p90, that the user's own jobs do not cause; `reckoned` is kept for the calibration."""

    position: int
    start_p50: float
    start_p90: float
    finish_p50: float
    finish_p90: float
    others_seconds: float
    reckoned: float


def estimate(
    pool: PoolLoad,
    tier: str,
    *,
    cost: int,
    virtual_start: float,
    own_cost: float,
    calibration: Calibration,
    service: Service,
) -> Estimate:
    """The estimate of one more job of a user.

    `virtual_start` is how far past the tier's virtual time it starts: the user's lead and the cost
    of the user's waiting jobs. `own_cost`: see `own_work`.
    """
    wait = reckon_wait(pool, tier, virtual_start)
    own_seconds = own_cost * seconds_of_own_work(pool, tier)
    return tell(wait, own_seconds, cost, calibration, service)


def own_work(waiting_cost: int, running: int, running_cost: int, running_jobs: int) -> float:
    """Work of the user's own that must be done before one more job may start: what waits, and when
    the running limit is reached the rest of the next running job to end."""
    return waiting_cost + (running_cost / (running_jobs + 1) if running >= running_jobs else 0.0)


def seconds_of_own_work(pool: PoolLoad, tier: str) -> float:
    """Seconds a milli-credit of the user's own takes where nobody else is served: on as many slots
    as the running limit and the pool have."""
    slots = pool.slots + pool.helping_slots
    return pool.speed / max(1.0, min(pool.tiers[tier].rule.running_jobs, slots))


def tell(
    wait: Wait, own_seconds: float, cost: int, calibration: Calibration, service: Service
) -> Estimate:
    """What is said of a job that waits for others and at least `own_seconds` for its user's own.

    `generation.tell_wait` says the same in the database; a test compares the two.
    """
    reckoned = max(wait.seconds, own_seconds)
    p50 = calibrated(reckoned, calibration.p50)
    p90 = max(p50, calibrated(reckoned, calibration.p90))
    half, most = cost * service.p50, cost * max(service.p50, service.p90)
    return Estimate(
        position=1 + round(wait.jobs_ahead),
        start_p50=p50,
        start_p90=p90,
        finish_p50=p50 + half,
        finish_p90=p50 + half + math.hypot(p90 - p50, most - half),
        others_seconds=max(0.0, p90 - OWN_MARGIN * calibrated(own_seconds, calibration.p90)),
        reckoned=reckoned,
    )


def calibrated(seconds: float, factor: float) -> float:
    """A reckoned wait, corrected by how such waits came out."""
    return max(0.0, (seconds + ALLOWANCE_SECONDS) * factor - ALLOWANCE_SECONDS)


def reckon_wait(pool: PoolLoad, tier: str, virtual_start: float, *, included: float = 0.0) -> Wait:
    """The wait of a job by what is served before it, and at most its tier's bound. `included` is
    the job's own cost where the load counts it already.

    Who starts at the tier's present virtual time is served in the order of arrival. Who has had
    more than others lately starts later, and whoever comes new meanwhile goes first.
    """
    load = pool.tiers[tier]
    if pool.free_slots > 0:
        return Wait(0.0, virtual_start / load.mean_cost)
    work = max(served_before(load, virtual_start) - included, virtual_start)
    overtaking = load.newcomers if virtual_start > 0 else 0.0
    seconds, served = drain(pool, tier, work, overtaking, load.rule.bound_seconds)
    jobs = sum(cost / pool.tiers[name].mean_cost for name, cost in served.items())
    return Wait(min(seconds + turnover_seconds(pool), load.rule.bound_seconds), jobs)


def table_of_waits(pool: PoolLoad, tier: str) -> tuple[Wait, ...]:
    """The waits of jobs that start at each place of the grid."""
    return tuple(reckon_wait(pool, tier, virtual_start) for virtual_start in GRID)


def wait_in_table(table: Sequence[Wait], virtual_start: float) -> Wait:
    """The wait at a virtual start, straight between two places of the grid. Newcomers, who start
    now, are not between anything."""
    place = bucket_of(virtual_start)
    upper = table[place]
    if place < 2:
        return upper
    lower, low, high = table[place - 1], GRID[place - 1], GRID[place]
    part = min(1.0, (virtual_start - low) / (high - low))
    return Wait(
        lower.seconds + part * (upper.seconds - lower.seconds),
        lower.jobs_ahead + part * (upper.jobs_ahead - lower.jobs_ahead),
    )


def turnover_seconds(pool: PoolLoad) -> float:
    """Until the next of the busy slots is free: the least of uniform remainders."""
    if not pool.running:
        return 0.0
    return pool.running_cost / pool.running * pool.speed / (pool.running + 1)


def drain(
    pool: PoolLoad, tier: str, work: float, overtaking: float, longest: float
) -> tuple[float, dict[str, float]]:
    """Seconds until a tier has been served `work` and what overtakes it, at most `longest`, and
    what every tier was served meanwhile.

    Every stretch ends when some tier's queue is empty, from when on the tier takes what comes in,
    or when other workers begin to help.
    """
    incoming = {name: load.arrivals for name, load in pool.tiers.items()} | {tier: overtaking}
    left = {name: float(load.waiting_cost) for name, load in pool.tiers.items()} | {tier: work}
    served = dict.fromkeys(left, 0.0)
    now = 0.0
    while left[tier] > 0 and now < longest:
        helps = now >= pool.help_after
        speed = (pool.slots + (pool.helping_slots if helps else 0.0)) / pool.speed
        rates = share_out(speed, pool.tiers, left)
        growth = {name: incoming[name] - rates[name] for name in rates}
        ends = [left[name] / -by for name, by in growth.items() if left[name] > 0 > by]
        stops = [longest - now, *ends] if helps else [longest - now, pool.help_after - now, *ends]
        length = min(stops)
        for name, rate in rates.items():
            served[name] += rate * length
            rest = left[name] + growth[name] * length
            left[name] = rest if rest > NOTHING else 0.0
        now += length
    return now, served


def share_out(
    speed: float, tiers: Mapping[str, TierLoad], left: Mapping[str, float]
) -> dict[str, float]:
    """What each tier is served a second: by weight, but nobody more than it has.

    A tier whose queue is empty takes what comes in and leaves the rest to the others.
    """
    rates: dict[str, float] = {}
    open_tiers = {name for name, load in tiers.items() if left[name] > 0 or load.arrivals > 0}
    while open_tiers:
        weights = sum(tiers[name].rule.weight for name in open_tiers)
        per_weight = (speed - sum(rates.values())) / weights
        modest = {
            name
            for name in open_tiers
            if left[name] <= 0 and tiers[name].arrivals <= tiers[name].rule.weight * per_weight
        }
        if not modest:
            return rates | {name: tiers[name].rule.weight * per_weight for name in open_tiers}
        rates |= {name: tiers[name].arrivals for name in modest}
        open_tiers -= modest
    return rates


def calibrate(started: Sequence[Started]) -> Calibration:
    """The factors by which the latest waits differ from what was reckoned.

    The level of the upper one is moved by what was missed lately, so that nine of ten jobs start
    before their p90 while the load changes (after Gibbs, Candes: "Adaptive conformal inference
    under distribution shift", 2021). Too few samples: nothing is corrected.
    """
    if len(started) < FEWEST_SAMPLES:
        return Calibration()
    ratios = sorted(
        (job.waited + ALLOWANCE_SECONDS) / (job.reckoned + ALLOWANCE_SECONDS) for job in started
    )
    middle, upper = LEVELS
    kept = sum(job.waited <= job.told_p90 for job in started) / len(started)
    level = min(HIGHEST_LEVEL, max(middle, upper + (upper - kept)))
    return Calibration(quantile(ratios, middle), quantile(ratios, level))


def quantile(ordered: Sequence[float], level: float) -> float:
    """The value that a share `level` of the values does not pass, with the correction of split
    conformal prediction for their number."""
    place = math.ceil((len(ordered) + 1) * level) - 1
    return ordered[min(max(place, 0), len(ordered) - 1)]
