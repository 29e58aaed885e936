"""The database serves in the order of the pure queue, whatever happens to a queue."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from libs.testkit.postgres import Database
from libs.tiers.catalogue import load_catalogue
from libs.tiers.fair_queue import FairQueue, InFlight
from libs.tiers.fair_rules import QueuedJob, rules_of
from services.generation.repository.leases import POLICY

START = datetime(2026, 1, 1, tzinfo=UTC)
POOL, SLOTS, STEPS = "standard", 6, 220
TIERS = tuple(tier.name for tier in load_catalogue().tiers)
MODELS = ("demo", "apples", "pears")
INSERT = """
    INSERT INTO generation.jobs (id, user_id, tier, pool, model, base, request,
        quoted_millicredits, price_version, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, 'demo', '{}', $6, '2026-11-01', $7, $8)
"""
CLAIM = """
    SELECT id FROM generation.claim_job(
        $1, 'w', $2, ROW($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)::generation.policy, $14)
"""
END = """
    UPDATE generation.jobs SET state = 'succeeded', finished_at = now(), captured_millicredits = 0
    WHERE id = $1
"""
CANCEL = """
    UPDATE generation.jobs SET state = 'cancelled', finished_at = now(), captured_millicredits = 0
    WHERE id = $1
"""
HAND_BACK = "UPDATE generation.jobs SET state = 'queued', worker = NULL WHERE id = $1"
GIVE_BACK = "SELECT generation.give_back($1, $2, $3, $4, $5)"
SHARE = """
    INSERT INTO generation.outlooks (pool, tier, share) VALUES ($1, $2, $3)
    ON CONFLICT (pool, tier) DO UPDATE SET share = excluded.share
"""


def moment(seconds: float) -> datetime:
    """The database's name of a virtual time."""
    return START + timedelta(seconds=seconds)


@dataclass
class Twins:
    """The pure queue and the database's, told the same."""

    connection: "asyncpg.Connection[Any]"
    rng: random.Random
    now: float = 0.0
    made: int = 0
    pure: FairQueue = field(
        default_factory=lambda: FairQueue(rules_of(load_catalogue().tiers), InFlight())
    )
    waiting: list[QueuedJob] = field(default_factory=list)
    running: list[QueuedJob] = field(default_factory=list)
    served: list[str] = field(default_factory=list)

    async def enter(self) -> None:
        """A new job of one of a few users, some of whom have many."""
        self.made += 1
        tier = self.rng.choice(TIERS)
        user = UUID(int=TIERS.index(tier) * 100 + int(self.rng.paretovariate(1)) % 7)
        life = self.rng.choice((None, None, None, 40.0, 4000.0))
        job = QueuedJob(
            id=str(UUID(int=self.made)),
            user=str(user),
            tier=tier,
            model=self.rng.choice(MODELS),
            cost=self.rng.choice((1000, 2500, 7001, 40_000)),
            queued_at=self.now,
            expires_at=None if life is None else self.now + life,
        )
        expires = None if job.expires_at is None else moment(job.expires_at)
        row = (UUID(job.id), user, tier, POOL, job.model, job.cost, moment(self.now), expires)
        await self.connection.execute(INSERT, *row)
        self.pure.enter(job)
        self.waiting.append(job)

    async def choose(self) -> None:
        """Both say whose turn it is; it must be the same job."""
        loaded = self.rng.sample(MODELS, self.rng.randrange(3))
        policy = [value for name, value in POLICY.items()]
        claimed = await self.connection.fetchval(CLAIM, POOL, loaded, *policy, moment(self.now))
        chosen = self.pure.choose(self.now, loaded)
        assert (chosen and chosen.id) == (claimed and str(claimed)), f"after {self.served}"
        if chosen is not None:
            self.served.append(chosen.id)
            self.waiting.remove(chosen)
            self.running.append(chosen)

    async def end(self) -> None:
        """A job ends, some without all of their steps."""
        if self.running:
            job = self.running.pop(self.rng.randrange(len(self.running)))
            executed = self.rng.choice((job.cost, job.cost, job.cost // 2, 0))
            self.pure.end(job, executed)
            await self.connection.execute(END, UUID(job.id))
            await self.give_back(job, executed)

    async def hand_back(self) -> None:
        """A job goes back into the queue."""
        if self.running:
            job = self.running.pop(self.rng.randrange(len(self.running)))
            self.pure.hand_back(job)
            await self.connection.execute(HAND_BACK, UUID(job.id))
            await self.give_back(job, 0)
            self.waiting.append(job)

    async def give_back(self, job: QueuedJob, executed: int) -> None:
        if executed != job.cost:
            weight = load_catalogue().tier(job.tier).weight  # type: ignore[arg-type]
            values = (UUID(job.user), POOL, job.tier, weight, job.cost - executed)
            await self.connection.execute(GIVE_BACK, *values)

    async def leave(self) -> None:
        """A waiting job is cancelled."""
        if self.waiting:
            job = self.waiting.pop(self.rng.randrange(len(self.waiting)))
            self.pure.leave(job.id)
            await self.connection.execute(CANCEL, UUID(job.id))

    async def tick(self) -> None:
        """Time passes; once in a while for so long that bounds and deadlines matter."""
        self.now += self.rng.choice((0.5, 3.0, 20.0, 90.0, 1200.0))
        self.pure.set_shares(SLOTS, self.now)
        for name, tier in self.pure.tiers.items():
            share = tier.share * self.rng.choice((1.0, 0.05))  # users here are few: make some noisy
            tier.share = share
            await self.connection.execute(SHARE, POOL, name, share)


@pytest.fixture
async def connection(database: Database) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A superuser's connection."""
    made = await asyncpg.connect(database.admin_url.replace("+asyncpg", ""))
    yield made
    await made.close()


@pytest.mark.parametrize("seed", range(8))
async def test_the_database_serves_in_the_order_of_the_pure_queue(
    connection: "asyncpg.Connection[Any]", seed: int
) -> None:
    rng = random.Random(seed)
    twins = Twins(connection, rng)
    deeds = {twins.enter: 9, twins.choose: 8, twins.end: 5, twins.hand_back: 1, twins.leave: 1}
    for deed in rng.choices([*deeds, twins.tick], weights=[*deeds.values(), 2], k=STEPS):
        await deed()
    assert len(twins.served) > STEPS / 6
