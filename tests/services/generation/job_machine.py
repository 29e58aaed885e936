"""Steps of random lives of jobs, each beside the model: claims, renewals, deaths, races."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.clock import utc_now
from libs.tiers.catalogue import TierName
from services.generation.attempts import WORKER_STOPS
from services.generation.models import FINAL_STATES, Job, JobState
from services.generation.problems import AlreadyFinished
from services.generation.repository import leases
from services.generation.service import owner
from services.generation.service.endings import finish_job, hand_back_job
from services.generation.service.reweighing import reweigh_jobs
from services.generation.sweeper import Sweeper, end_rests, expire_jobs, recover_lost_jobs
from tests.services.generation.job_model import Model, ModelJob
from tests.services.generation.queue_of_jobs import PRICE, Queue, lose_worker

USERS = 3
TIERS: tuple[TierName, ...] = ("free", "studio", "enterprise")
POOLS = ("standard", "premium")
SET_TIER = text(
    "INSERT INTO ops.entitlements (user_id, tier) VALUES (:user, :tier)"
    " ON CONFLICT (user_id) DO UPDATE SET tier = excluded.tier"
)
END_RESTS_NOW = text("UPDATE generation.jobs SET due_at = now() WHERE user_id = ANY(:ids)")
ROWS = text(
    "SELECT id, state, attempt, failures, due FROM generation.jobs WHERE user_id = ANY(:ids)"
)
users = st.integers(0, USERS - 1)
picks = st.integers(0, 99)
ends: st.SearchStrategy[JobState] = st.sampled_from(["succeeded", "partial", "failed", "cancelled"])


class JobMachine(RuleBasedStateMachine):
    """Fresh users for each life, all in one database."""

    runner: ClassVar[asyncio.Runner]
    queue: ClassVar[Queue]
    admin: ClassVar[Sessions]
    sweeper: ClassVar[Sweeper]

    @initialize()
    def open(self) -> None:
        self.model = Model()
        self.ids = [uuid4() for _ in range(USERS)]
        self.tiers: list[TierName] = ["free"] * USERS
        self.held: dict[UUID, list[Job]] = {}  # what each claim gave its worker, also long ago
        self.runner.run(self.end_other_lives())

    async def end_other_lives(self) -> None:
        async with self.admin.begin() as session:
            await session.execute(text("DELETE FROM generation.jobs"))
            await session.execute(text("DELETE FROM generation.flows"))

    def pick(self, number: int, *wanted: str) -> ModelJob | None:
        """A job in one of these states, if there is any.

        Not a precondition of a rule: how a race ends must not change what is drawn after it.
        """
        found = self.model.of(*wanted)
        return found[number % len(found)] if found else None

    def pick_held(self, number: int, which: int) -> Job | None:
        """What some worker got when it claimed a job, also if it has lost it or ended it."""
        if not self.held:
            return None
        claims = self.held[sorted(self.held)[number % len(self.held)]]
        return claims[which % len(claims)]

    async def claim_once(self, pool: str, worker: str) -> Job | None:
        async with self.queue.workers.begin() as session:
            return await leases.claim_next(session, pool=pool, worker=worker)

    async def attempt(self, job: Job, work: Callable[[Any], Awaitable[None]]) -> bool:
        """What a worker does with a job that it believes to have; whether it still had it."""
        try:
            async with transaction(self.queue.workers, job.user_id) as session:
                await work(session)
        except leases.LeaseLost:
            return False
        return True

    async def cancel_once(self, job: ModelJob) -> bool:
        try:
            async with transaction(self.queue.api, self.ids[job.user]) as session:
                await owner.cancel_generation(session, job.id, clock=utc_now)
        except AlreadyFinished:
            return False
        return True

    @rule(user=users, is_late=st.sampled_from([False, False, False, True]))
    def enter(self, user: int, is_late: bool) -> None:
        expires = timedelta(seconds=-1) if is_late else None
        tier = self.tiers[user]
        work = self.queue.enter(
            self.ids[user], tier=tier, pool=ModelJob(uuid4(), user, tier).pool, expires_in=expires
        )
        job = ModelJob(self.runner.run(work), user, tier, is_late)
        self.model.jobs[job.id] = job

    @rule(pool=st.sampled_from(POOLS), worker=st.sampled_from(["one", "two"]))
    def claim(self, pool: str, worker: str) -> None:
        heads = {job.id: job for job in self.model.heads(pool)}
        claimed = self.runner.run(self.claim_once(pool, worker))
        assert (claimed is None) == (not heads)
        if claimed is not None:
            heads[claimed.id].start()
            self.held.setdefault(claimed.id, []).append(claimed)

    @rule(number=picks, old=st.booleans())
    def renew(self, number: int, old: bool) -> None:
        job = self.pick(number, "running")
        if job is None:
            return
        held = self.held[job.id][0 if old else -1]
        wants: list[bool] = []

        async def work(session: Any) -> None:
            wants.append(await leases.renew(session, leases.claim_of(held)))

        is_ours = self.runner.run(self.attempt(held, work))
        assert is_ours == (held.attempt == job.attempt)
        assert wants == ([job.wants_cancel] if is_ours else [])

    @rule(number=picks, which=picks, state=ends)
    def finish(self, number: int, which: int, state: JobState) -> None:
        held = self.pick_held(number, which)
        if held is None:
            return
        job = self.model.jobs[held.id]
        captured = 0 if state == "failed" else PRICE // 2
        is_ours = self.runner.run(
            self.attempt(held, lambda s: finish_job(s, held, state, captured=captured))
        )
        assert is_ours == (job.state == "running" and held.attempt == job.attempt)
        if is_ours:
            job.state = state

    @rule(number=picks, which=picks, rests=st.booleans(), failures=st.integers(0, 1))
    def hand_back(self, number: int, which: int, rests: bool, failures: int) -> None:
        held = self.pick_held(number, which)
        if held is None:
            return
        job, delay = self.model.jobs[held.id], 60.0 if rests else 0.0
        is_ours = self.runner.run(
            self.attempt(
                held,
                lambda s: hand_back_job(
                    s, held, WORKER_STOPS, delay_seconds=delay, failures=failures
                ),
            )
        )
        assert is_ours == (job.state == "running" and held.attempt == job.attempt)
        if is_ours:
            job.back(rests=rests, failures=failures)

    @rule(number=picks)
    def lose_a_worker(self, number: int) -> None:
        job = self.pick(number, "running")
        if job is None:
            return
        self.runner.run(lose_worker(self.queue.workers, job.id))
        self.runner.run(recover_lost_jobs(self.sweeper))
        job.lose()

    @rule(number=picks)
    def cancel(self, number: int) -> None:
        job = self.pick(number, "queued", "running", *FINAL_STATES)
        if job is None:
            return
        is_accepted = self.runner.run(self.cancel_once(job))
        assert is_accepted == (job.state in ("queued", "running", "cancelled"))
        if job.state == "queued":
            job.state = "cancelled"
        job.wants_cancel = job.state == "running"

    @rule()
    def expire(self) -> None:
        self.runner.run(expire_jobs(self.sweeper))
        for job in self.model.of("queued"):
            if job.is_late:
                job.state = "expired"

    @rule()
    def end_all_rests(self) -> None:
        async def work() -> None:
            async with self.admin.begin() as session:
                await session.execute(END_RESTS_NOW, {"ids": self.ids})
            await end_rests(self.sweeper)

        self.runner.run(work())
        for job in self.model.of("queued"):
            job.is_due = True

    @rule(user=users, tier=st.sampled_from(TIERS))
    def change_tier(self, user: int, tier: TierName) -> None:
        async def work() -> None:
            async with self.admin.begin() as session:
                await session.execute(SET_TIER, {"user": self.ids[user], "tier": tier})
            async with transaction(self.queue.workers, self.ids[user]) as session:
                await reweigh_jobs(session, self.ids[user])

        self.runner.run(work())
        self.tiers[user] = tier
        for job in self.model.of("queued"):
            if job.user == user:
                job.tier = tier

    @rule(numbers=st.lists(picks, min_size=2, max_size=5), pool=st.sampled_from(POOLS))
    def race(self, numbers: list[int], pool: str) -> None:
        """Owners, workers, claims and the sweeper at once; only one may end a job."""
        picked = [self.pick(number, "running", "queued") for number in numbers]
        jobs = list({job.id: job for job in picked if job is not None}.values())
        claimed, ended = self.runner.run(self.run_race(jobs, pool))
        assert len({job.id for job in claimed}) == len(claimed)
        for job in claimed:
            self.held.setdefault(job.id, []).append(job)
        assert len(set(ended)) == len(ended)
        self.runner.run(self.relearn())

    async def run_race(self, jobs: list[ModelJob], pool: str) -> tuple[list[Job], list[UUID]]:
        for job in jobs:
            if job.state == "running" and job.attempt % 2:
                await lose_worker(self.queue.workers, job.id)

        async def finish(job: ModelJob) -> UUID | None:
            held = self.held[job.id][-1]
            done = await self.attempt(
                held, lambda s: finish_job(s, held, "succeeded", captured=PRICE)
            )
            return job.id if done else None

        finishes = [finish(job) for job in jobs if job.state == "running" for _ in range(2)]
        claims = [self.claim_once(pool, f"racer {number}") for number in range(3)]
        cancels = [self.cancel_once(job) for job in jobs]
        sweeps = [recover_lost_jobs(self.sweeper), expire_jobs(self.sweeper)]
        found, ended, _, _ = await asyncio.gather(
            asyncio.gather(*claims),
            asyncio.gather(*finishes),
            asyncio.gather(*cancels),
            asyncio.gather(*sweeps),
        )
        return [job for job in found if job is not None], [j for j in ended if j is not None]

    async def relearn(self) -> None:
        async with self.admin() as session:
            for row in (await session.execute(ROWS, {"ids": self.ids})).all():
                self.model.learn(row)
            query = text("SELECT job_id FROM generation.leases WHERE cancel_requested")
            wanted = set((await session.scalars(query)).all())
        for job in self.model.jobs.values():
            job.wants_cancel = job.id in wanted

    @invariant()
    def agree(self) -> None:
        async def work() -> None:
            async with self.admin() as session:
                await self.model.compare(session, self.ids)

        self.runner.run(work())
