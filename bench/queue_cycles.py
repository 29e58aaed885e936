"""A full cycle of a job (enqueue, claim, renew, complete), fair and first-in-first-out.

Both run on the same server through the same client, each statement a transaction of its own, as a
worker's would be. The fair one is the product's own: the job table with its triggers, `claim_job`,
leases. The other is the plainest queue that is safe: one table, SKIP LOCKED.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import asyncpg

from services.generation.repository.leases import LEASE_SECONDS, POLICY

Connection: TypeAlias = "asyncpg.Connection[Any]"
Cycle: TypeAlias = Callable[[Connection, int], Awaitable[None]]
USERS = 1_000
TIERS = ("free", "starter", "pro")
PLAIN_TABLE = """
    CREATE SCHEMA plain;
    CREATE TABLE plain.jobs (id uuid PRIMARY KEY, user_id uuid NOT NULL, request jsonb NOT NULL,
        cost bigint NOT NULL, state text NOT NULL DEFAULT 'queued', attempt int NOT NULL DEFAULT 0,
        worker text, lease_until timestamptz, created_at timestamptz NOT NULL DEFAULT now(),
        finished_at timestamptz) WITH (fillfactor = 70);
    CREATE INDEX ON plain.jobs (id) WHERE state = 'queued'
"""
REQUEST = '{"prompt": "a red apple", "steps": 20}'
PLAIN_ENTER = f"""
    INSERT INTO plain.jobs (id, user_id, request, cost) VALUES ($1, $2, '{REQUEST}', 1000)
"""
PLAIN_CLAIM = f"""
    UPDATE plain.jobs SET state = 'running', attempt = attempt + 1, worker = 'w',
        lease_until = now() + interval '{LEASE_SECONDS} s'
    WHERE id = (SELECT id FROM plain.jobs WHERE state = 'queued' ORDER BY id LIMIT 1
        FOR UPDATE SKIP LOCKED) RETURNING id, attempt
"""
PLAIN_RENEW = f"""
    UPDATE plain.jobs SET lease_until = now() + interval '{LEASE_SECONDS} s'
    WHERE id = $1 AND attempt = $2 AND state = 'running'
"""
PLAIN_END = """
    UPDATE plain.jobs SET state = 'done', finished_at = now()
    WHERE id = $1 AND attempt = $2 AND state = 'running'
"""
ENTER = f"""
    INSERT INTO generation.jobs (id, user_id, tier, pool, model, base, request,
        quoted_millicredits, price_version)
    VALUES ($1, $2, $3, 'standard', 'demo', 'demo', '{REQUEST}', 1000, 'bench')
"""
CLAIM = """
    SELECT id, user_id, attempt FROM generation.claim_job('standard', 'w', '{demo}',
        ROW($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)::generation.policy, now())
"""
RENEW = f"""
    UPDATE generation.leases SET until = now() + interval '{LEASE_SECONDS} s'
    WHERE user_id = $1 AND job_id = $2 AND attempt = $3 AND worker = 'w'
    RETURNING cancel_requested, set_config('synchronous_commit', 'off', true)
"""
END = """
    UPDATE generation.jobs SET state = 'succeeded', finished_at = clock_timestamp(),
        captured_millicredits = 1000
    WHERE id = $1 AND attempt = $2 AND worker = 'w' AND state = 'running'
"""


def user_of(number: int) -> uuid.UUID:
    """One of the users, each of one tier."""
    return uuid.UUID(int=number % USERS)


def job_id(number: int) -> uuid.UUID:
    """Ids that grow, as UUIDv7 do, after all those that were filled in."""
    return uuid.UUID(int=(1 << 100) + (time.monotonic_ns() << 16) + number % (1 << 16))


async def plain_cycle(connection: Connection, number: int) -> None:
    """One job through the plain queue."""
    await connection.execute(PLAIN_ENTER, job_id(number), user_of(number))
    row = await connection.fetchrow(PLAIN_CLAIM)
    if row is not None:
        await connection.execute(PLAIN_RENEW, row["id"], row["attempt"])
        await connection.execute(PLAIN_END, row["id"], row["attempt"])


async def fair_cycle(connection: Connection, number: int) -> None:
    """One job through the fair queue."""
    user = user_of(number)
    await connection.execute(ENTER, job_id(number), user, TIERS[user.int % len(TIERS)])
    row = await connection.fetchrow(CLAIM, *POLICY.values())
    if row is not None:
        await connection.fetchrow(RENEW, row["user_id"], row["id"], row["attempt"])
        await connection.execute(END, row["id"], row["attempt"])


async def cycles_a_second(url: str, cycle: Cycle, clients: int, seconds: float) -> float:
    """How many jobs so many clients take through their cycle in a second."""
    connections = [await asyncpg.connect(url) for _ in range(clients)]
    ends = time.perf_counter() + seconds

    async def work(connection: Connection, first: int) -> int:
        done = 0
        while time.perf_counter() < ends:
            await cycle(connection, first + done * 7919)
            done += 1
        return done

    try:
        begun = time.perf_counter()
        counts = await asyncio.gather(
            *(work(connection, n * 131) for n, connection in enumerate(connections))
        )
        return sum(counts) / (time.perf_counter() - begun)
    finally:
        for connection in connections:
            await connection.close()
