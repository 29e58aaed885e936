"""What a new job is told of its wait, and whether it is let in: as the relay and the API do it.

Once a second the queue is looked at (`services/generation/looks.py` reads the same from the
database); the latest jobs that ended correct the estimates (`services/generation/measures.py`).
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from libs.tiers.admission import admit
from libs.tiers.estimates import (
    FEWEST_SAMPLES,
    SAMPLES,
    Calibration,
    Estimate,
    Service,
    Started,
    calibrate,
    estimate,
    own_work,
)
from libs.tiers.fair_queue import FairQueue, InFlight
from libs.tiers.fair_rules import QueuedJob
from libs.tiers.pool_loads import FIRST_JOB_SECONDS_PER_MILLICREDIT, PoolLoad, load_of_queue
from sim.fleet import POOLS_OF
from sim.scenario import POOL_OF, TARGET

LOOK_SECONDS = 1.0
MEASURE_SECONDS = 10.0
ARRIVAL_SECONDS = 120.0
LEAST_HELP = 0.25  # slots


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was told at acceptance, and whether the job was one to refuse."""

    told: Estimate
    refused: bool


class Forecaster:
    """Looks at the queues of all pools and learns from what becomes of the jobs."""

    def __init__(self, queues: Mapping[str, FairQueue], in_flight: InFlight) -> None:
        self.queues, self.in_flight = queues, in_flight
        self.slots = dict.fromkeys(queues, 0)
        self._running: Counter[str] = Counter()
        self._running_cost: Counter[str] = Counter()  # by pool, and by user
        self._arrivals = {tier: deque[tuple[float, int, bool]]() for tier in POOL_OF}
        self._started = {tier: deque[Started](maxlen=SAMPLES) for tier in POOL_OF}
        self._drawn = {pool: deque[tuple[int, float]](maxlen=SAMPLES) for pool in queues}
        self._calibrations: dict[str, Calibration] = {}
        self._measured_at = 0.0
        self._speeds = dict.fromkeys(queues, FIRST_JOB_SECONDS_PER_MILLICREDIT)
        self._loads: dict[str, tuple[float, PoolLoad]] = {}

    def judge(self, job: QueuedJob, now: float) -> Forecast:
        """The estimate of a job that comes now. It counts as an arrival unless it is refused."""
        pool = POOL_OF[job.tier]
        tier = self.queues[pool].tiers[job.tier]
        flow = tier.flows.get(job.user)
        waiting_cost = sum(waiting.cost for _, waiting in flow.jobs) if flow else 0
        lead = max(0.0, flow.tag - tier.virtual_time) if flow else 0.0
        limit, running = tier.rule.running_jobs, self.in_flight[job.user]
        told = estimate(
            self._look(pool, now),
            job.tier,
            cost=job.cost,
            virtual_start=lead + waiting_cost,
            own_cost=own_work(waiting_cost, running, self._running_cost[job.user], limit),
            calibration=self._calibrations.get(job.tier, Calibration()),
            service=Service(self._speeds[pool], self._speeds[pool]),
        )
        return Forecast(told, admit(told, TARGET[job.tier]) is not None)

    def accepted(self, job: QueuedJob, forecast: Forecast | None, now: float) -> None:
        """The job was let in."""
        if forecast:
            newcomer = forecast.told.reckoned <= 0 or not self.in_flight[job.user]
            self._arrivals[job.tier].append((now, job.cost, newcomer))

    def claimed(self, job: QueuedJob) -> None:
        """An attempt begins."""
        self._running[POOL_OF[job.tier]] += 1
        for whose in (POOL_OF[job.tier], job.user):
            self._running_cost[whose] += job.cost

    def released(self, job: QueuedJob) -> None:
        """An attempt is over, however it ended."""
        self._running[POOL_OF[job.tier]] -= 1
        for whose in (POOL_OF[job.tier], job.user):
            self._running_cost[whose] -= job.cost

    def drawn(self, job: QueuedJob, forecast: Forecast | None, waited: float, took: float) -> None:
        """A job has been drawn whole, in `took` seconds."""
        self._drawn[POOL_OF[job.tier]].append((job.cost, took))
        if forecast:
            told = forecast.told
            self._started[job.tier].append(Started(told.reckoned, told.start_p90, waited))

    def _look(self, pool: str, now: float) -> PoolLoad:
        """The pool as it was at the last full second."""
        second = now // LOOK_SECONDS
        known = self._loads.get(pool)
        if known and known[0] == second:
            return known[1]
        if now - self._measured_at >= MEASURE_SECONDS:
            self._measure(now)
        queue = self.queues[pool]
        loads = {}
        for name, tier in queue.tiers.items():
            came, new = self._incoming(name, now)
            loads[name] = load_of_queue(tier, self.in_flight, arrivals=came, newcomers=new)
        helping, after = self.help_for(pool, now)
        load = PoolLoad(
            loads,
            slots=float(self.slots[pool]) or 1.0,
            helping_slots=helping,
            help_after=after,
            running=self._running[pool],
            running_cost=self._running_cost[pool],
            speed=self._speeds[pool],
        )
        self._loads[pool] = second, load
        return load

    def _incoming(self, tier: str, now: float) -> tuple[float, float]:
        """Milli-credits a second that came into a tier lately, and the part of newcomers."""
        arrivals = self._arrivals[tier]
        while arrivals and arrivals[0][0] < now - ARRIVAL_SECONDS:
            arrivals.popleft()
        came = sum(cost for _, cost, _ in arrivals)
        new = sum(cost for _, cost, newcomer in arrivals if newcomer)
        return came / ARRIVAL_SECONDS, new / ARRIVAL_SECONDS

    def help_for(self, pool: str, now: float) -> tuple[float, float]:
        """Slots of other pools' workers that are left for this one, and after how long."""
        helpers = [home for home, pools in POOLS_OF.items() if pool in pools[1:]]
        slots = sum(self.slots[home] for home in helpers)
        if not slots:
            return 0.0, 0.0
        busy = after = 0.0
        for home in helpers:
            tiers = self.queues[home].tiers
            came = sum(self._incoming(name, now)[0] for name in tiers)
            waiting = sum(f.head.cost * len(f.jobs) for t in tiers.values() for _, _, f in t.order)
            busy += max(came * self._speeds[home], float(self._running[home]))
            after = max(after, waiting * self._speeds[home] / self.slots[home])
        return max(LEAST_HELP, slots - busy), after

    def _measure(self, now: float) -> None:
        self._measured_at = now
        for pool, drawn in self._drawn.items():
            if drawn:
                self._speeds[pool] = sum(took for _, took in drawn) / sum(cost for cost, _ in drawn)
        for tier, started in self._started.items():
            known = started
            if len(started) < FEWEST_SAMPLES:
                same = [t for t in POOL_OF if POOL_OF[t] == POOL_OF[tier]]
                known = deque((one for t in same for one in self._started[t]), SAMPLES)
            self._calibrations[tier] = calibrate(tuple(known))
