"""A discrete-event simulation of the platform's queue: the real scheduler, a virtual clock."""

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import count
from random import Random
from typing import Any

from libs.tiers.fair_queue import InFlight
from libs.tiers.fair_rules import QueuedJob
from sim.fleet import POOLS_OF, Storm, Worker, moments_of_death
from sim.forecasting import Forecaster
from sim.gaps import Gaps
from sim.runs import Happening, Run, State, TraceRow
from sim.scenario import POOL_OF, POOLS, Scenario, arrivals_of
from sim.workload import MILLICREDITS_A_SECOND, Arrival

LEASE_SECONDS = 15.0
SWEEP_SECONDS = 2.0
MAX_FAILURES = 3
SHARES_EVERY = 5.0  # the relay does it every second; here it is most of the work


class Simulation:
    """One scenario under one seed; `run` once, then read `runs`, `gaps` and the busy shares."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        observe: Callable[[TraceRow], None] | None = None,
        arrivals: Iterator[Arrival] | None = None,
    ) -> None:
        """`arrivals`: requests that were seen elsewhere, instead of the scenario's own."""
        self.scenario, self.seed, self.observe = scenario, seed, observe
        self._arrivals = arrivals or arrivals_of(scenario, seed)
        self.now = 0.0
        self.runs: list[Run] = []
        self.in_flight: InFlight = Counter()
        self.queues = {p: scenario.order(scenario.rules(p), self.in_flight) for p in POOLS}
        self.gaps = {
            p: Gaps({r.name: r.running_jobs for r in scenario.rules(p)}, self.in_flight)
            for p in POOLS
        }
        self.workers = [
            Worker(f"{pool}-{n}", POOLS_OF[pool], scenario.keeps_models)
            for pool in POOLS
            for n in range(scenario.slots[pool])
        ]
        self.busy_seconds = dict.fromkeys(POOLS, 0.0)
        self.away_seconds = dict.fromkeys(POOLS, 0.0)
        self.model_loads = 0
        self.forecaster = Forecaster(self.queues, self.in_flight)
        self._waiting: dict[str, Run] = {}
        self._working: dict[Worker, tuple[Run, float]] = {}
        self._idle = {p: deque(w for w in self.workers if w.home == p) for p in POOLS}
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()

    def run(self) -> "Simulation":
        """Serve every job. Returns itself."""
        self._plan_faults()
        arrivals = self._arrivals
        following = next(arrivals, None)
        while following or self._waiting or self._working or self._events:
            if following and (not self._events or following.at <= self._events[0][0]):
                self._tick(following.at)
                self._arrive(following)
                following = next(arrivals, None)
            else:
                at, _, happen, arguments = heapq.heappop(self._events)
                self._tick(at)
                happen(*arguments)
            self._fill()
        for gaps in self.gaps.values():
            gaps.finish(self.now)
        return self

    def _tick(self, at: float) -> None:
        """Go to a moment; on the way to it, shares are reckoned now and then."""
        if at // SHARES_EVERY > self.now // SHARES_EVERY:
            self.now = at // SHARES_EVERY * SHARES_EVERY
            for pool, queue in self.queues.items():
                own = sum(not w.away for w in self.workers if w.home == pool)
                self.forecaster.slots[pool] = own
                slots = round(own + self.forecaster.help_for(pool, self.now)[0])
                queue.set_shares(slots, self.now)
                self._tell("shares", pool, slots=slots)
        self.now = at

    def _at(self, at: float, happen: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (at, next(self._order), happen, arguments))

    def _tell(self, what: Happening, pool: str, job: QueuedJob | None = None, **more: Any) -> None:
        if self.observe:
            self.observe(TraceRow(self.now, what, pool, job, **more))

    # Jobs

    def _arrive(self, arrival: Arrival) -> None:
        job = QueuedJob(
            f"{len(self.runs):08d}",
            arrival.user,
            arrival.tier,
            arrival.model,
            arrival.cost,
            arrival.at,
            arrival.expires_at,
        )
        run = Run(arrival, job, POOL_OF[arrival.tier])
        self.runs.append(run)
        if self.scenario.forecasts:
            run.forecast = self.forecaster.judge(job, self.now)
            if run.forecast.refused and self.scenario.admits:
                run.state, run.ended_at = "refused", self.now
                return
        self.forecaster.accepted(job, run.forecast, self.now)
        self._tell("accepted", run.pool, job)
        self._enter(run)
        for moment, state in ((arrival.expires_at, "expired"), (arrival.gives_up_at, "cancelled")):
            if moment is not None:
                self._at(moment, self._leave, run, state)

    def _enter(self, run: Run) -> None:
        run.state = "queued"
        self._waiting[run.job.id] = run
        self.queues[run.pool].enter(run.job)
        self.gaps[run.pool].entered(run.job.tier, run.job.user, self.now)

    def _leave(self, run: Run, state: State) -> None:
        """A waiting job's deadline is over, or its user has given up."""
        if self._waiting.pop(run.job.id, None):
            self.queues[run.pool].leave(run.job.id)
            self.gaps[run.pool].left(run.job.tier, run.job.user, self.now)
            run.state, run.ended_at = state, self.now
            self._tell("left", run.pool, run.job)

    # Workers

    def _fill(self) -> None:
        """Give work to idle workers; premium ones look at their own queue first."""
        for pool in POOLS:
            queue = self.queues[pool]
            while queue.waiting:
                worker = self._idle_for(pool)
                if worker is None or not self._claim(worker, pool):
                    break

    def _idle_for(self, pool: str) -> Worker | None:
        for home in (pool, *POOLS):
            if self._idle[home] and pool in POOLS_OF[home]:
                return self._idle[home][0]
        return None

    def _claim(self, worker: Worker, pool: str) -> bool:
        loaded = tuple(worker.loaded) if self.scenario.tells_loaded else ()
        job = self.queues[pool].choose(self.now, loaded)
        if job is None:
            return False
        self._idle[worker.home].popleft()
        run = self._waiting.pop(job.id)
        self.gaps[pool].served(job.tier, job.user, self.now)
        self._tell("claimed", pool, job, worker=worker.name, loaded=loaded)
        run.state, run.attempts = "running", run.attempts + 1
        if run.started_at is None:
            run.started_at = self.now
        self.forecaster.claimed(job)
        self._working[worker] = run, self.now
        self._at(self.now + self._seconds(worker, run), self._finish, worker, worker.epoch)
        return True

    def _seconds(self, worker: Worker, run: Run) -> float:
        """How long an attempt takes: the model's loading, and the work."""
        missing = worker.load(run.job.model)
        self.model_loads += missing
        work = run.job.cost / MILLICREDITS_A_SECOND * run.arrival.executed * run.arrival.pace
        return missing * self.scenario.load_seconds + work

    def _stop(self, worker: Worker) -> Run:
        """The worker works no more; whatever it did."""
        run, since = self._working.pop(worker)
        self.busy_seconds[worker.home] += self._overlap(since, self.now)
        return run

    def _end(self, run: Run, executed_cost: int, what: Happening) -> None:
        self.queues[run.pool].end(run.job, executed_cost)
        self.forecaster.released(run.job)
        self.gaps[run.pool].ended(run.job.tier, run.job.user, self.now)
        self._tell(what, run.pool, run.job, executed_cost=executed_cost)

    def _hand_back(self, run: Run) -> None:
        """A job in flight waits again; nothing of it was executed."""
        run.state = "queued"
        self._waiting[run.job.id] = run
        self.queues[run.pool].hand_back(run.job)
        self.forecaster.released(run.job)
        self.gaps[run.pool].entered(run.job.tier, run.job.user, self.now)
        self._tell("handed back", run.pool, run.job)
        if run.job.expires_at is not None and run.job.expires_at <= self.now:
            self._leave(run, "expired")

    def _finish(self, worker: Worker, epoch: int) -> None:
        if worker.epoch != epoch:
            return
        since = self._working[worker][1]
        run = self._stop(worker)
        self._idle[worker.home].append(worker)
        run.state = "succeeded" if run.arrival.executed == 1.0 else "cancelled"
        run.ended_at = self.now
        if run.state == "succeeded" and run.attempts == 1:
            self.forecaster.drawn(run.job, run.forecast, run.wait or 0.0, self.now - since)
        self._end(run, round(run.job.cost * run.arrival.executed), "ended")

    # Faults

    def _plan_faults(self) -> None:
        for storm in self.scenario.storms:
            self._at(storm.at, self._storm, storm)
        if self.scenario.deaths:
            for worker in self.workers:
                rng = Random(f"{self.seed} death of {worker.name}")
                for at in moments_of_death(rng, self.scenario.deaths, self.scenario.end):
                    self._at(at, self._die, worker, self.scenario.deaths.restart_seconds)

    def _storm(self, storm: Storm) -> None:
        """Notice of a spot market: what runs is handed back at once."""
        rng = Random(f"{self.seed} storm at {storm.at}")
        there = [w for w in self.workers if w.home == storm.pool and not w.away]
        for worker in rng.sample(there, round(len(there) * storm.share)):
            if worker in self._working:
                self._hand_back(self._stop(worker))
            self._go(worker, storm.seconds)

    def _die(self, worker: Worker, restart_seconds: float) -> None:
        """Killed without a word: its lease must run out first, and the sweeper must see it."""
        if worker.away:
            return
        if worker in self._working:
            run = self._stop(worker)
            seen = math.ceil((self.now + LEASE_SECONDS) / SWEEP_SECONDS) * SWEEP_SECONDS
            self._at(seen, self._lose, run)
        self._go(worker, restart_seconds)

    def _lose(self, run: Run) -> None:
        """A lease has run out: the job is queued again, or dead after three failures."""
        run.failures += 1
        if run.failures < MAX_FAILURES:
            self._hand_back(run)
        else:
            self._end(run, 0, "ended")
            run.state, run.ended_at = "failed", self.now

    def _go(self, worker: Worker, seconds: float) -> None:
        worker.empty()
        if worker in self._idle[worker.home]:
            self._idle[worker.home].remove(worker)
        self.away_seconds[worker.home] += self._overlap(self.now, self.now + seconds)
        self._at(self.now + seconds, self._return, worker)

    def _return(self, worker: Worker) -> None:
        worker.away = False
        self._idle[worker.home].append(worker)

    def _overlap(self, start: float, end: float) -> float:
        first, last = self.scenario.window
        return max(0.0, min(end, last) - max(start, first))

    def busy(self, pool: str) -> float:
        """Share of a pool's GPU time in the window that was worked in."""
        first, last = self.scenario.window
        there = self.scenario.slots[pool] * (last - first) - self.away_seconds[pool]
        return self.busy_seconds[pool] / there
