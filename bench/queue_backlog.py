"""Claims before a backlog: how fast, and how their cost grows with what waits."""

import asyncio
import statistics
import time
import uuid

import asyncpg

from bench.queue_cycles import CLAIM, END, ENTER, TIERS, Connection
from bench.server import execute
from services.generation.repository.leases import POLICY

JOBS_OF_A_USER = 10
CLAIMS_A_SECOND = 100
# As if each had been accepted, without a trigger for each: jobs, then the users' places.
FILL = (
    "TRUNCATE generation.jobs, generation.flows, generation.leases",
    "ALTER TABLE generation.jobs DISABLE TRIGGER keep_queue",
    """
    INSERT INTO generation.jobs (id, user_id, tier, pool, model, base, request,
        quoted_millicredits, price_version)
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n % {users}), 32, '0')::uuid,
        (ARRAY['free', 'starter', 'pro'])[1 + n % {users} % 3], 'standard', 'demo', 'demo', '{{}}',
        1000 + n % 7 * 1000, 'bench'
    FROM generate_series(1, {jobs}) n
    """,
    "ALTER TABLE generation.jobs ENABLE TRIGGER keep_queue",
    """
    INSERT INTO generation.flows (pool, tier, user_id, head_id, head_model, head_cost, head_since)
    SELECT DISTINCT ON (user_id) pool, tier, user_id, id, model, quoted_millicredits, created_at
    FROM generation.jobs ORDER BY user_id, id
    """,
    "VACUUM ANALYZE generation.jobs, generation.flows, generation.leases",
)


async def fill(url: str, jobs: int) -> None:
    """So many jobs wait, of a tenth as many users."""
    users = max(1, jobs // JOBS_OF_A_USER)
    await execute(url, *(statement.format(jobs=jobs, users=users) for statement in FILL))


async def claim_and_end(connection: Connection) -> float:
    """Seconds of one claim; the job ends at once, so that as much waits as before."""
    begun = time.perf_counter()
    row = await connection.fetchrow(CLAIM, *POLICY.values())
    seconds = time.perf_counter() - begun
    assert row is not None, "something must be waiting"
    await connection.execute(END, row["id"], row["attempt"])
    return seconds


async def claim_seconds(url: str, claims: int) -> float:
    """The median of some claims, one after another."""
    connection = await asyncpg.connect(url)
    try:
        for _ in range(20):
            await claim_and_end(connection)
        return statistics.median([await claim_and_end(connection) for _ in range(claims)])
    finally:
        await connection.close()


async def dispatch_seconds(url: str, seconds: float) -> list[float]:
    """From the moment when one more job is due until a worker has claimed, sorted.

    Hundred a second by the clock: entering the job is part of it, and what is late makes the
    following ones late, as it would be.
    """
    pool = await asyncpg.create_pool(url, min_size=4, max_size=4)
    begun, waited = time.perf_counter(), []

    async def dispatch(number: int) -> None:
        job, user = uuid.uuid4(), uuid.uuid4()
        async with pool.acquire() as connection:
            await connection.execute(ENTER, job, user, TIERS[-1])
            row = await connection.fetchrow(CLAIM, *POLICY.values())
            assert row is not None, "something must be waiting"
            waited.append(time.perf_counter() - begun - number / CLAIMS_A_SECOND)
            await connection.execute(END, row["id"], row["attempt"])

    running = []
    for number in range(round(seconds * CLAIMS_A_SECOND)):
        await asyncio.sleep(max(0.0, begun + number / CLAIMS_A_SECOND - time.perf_counter()))
        running.append(asyncio.create_task(dispatch(number)))
    await asyncio.gather(*running)
    await pool.close()
    return sorted(waited)
