"""Queries of the outlook: what waits, runs and was measured, everybody's at once. For the relay,
which sees all jobs; the API reads what it wrote down."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.tiers.catalogue import Pool
from libs.tiers.fair_rules import USE_SECONDS
from libs.tiers.pool_loads import GRID
from services.generation.looks import (
    ARRIVAL_SECONDS,
    Arrivals,
    Look,
    Outlook,
    RunningJobs,
    Serving,
    WaitingUsers,
)
from services.generation.measures import DrawnJob, Measured
from services.generation.repository.workers import PRESENT_SECONDS
from services.generation.waiting import RULES, QueueOutlook, outlook_of_rows

DRAWN_JOBS = 2_000
# Users by where their waiting work starts and ends in virtual time: see libs.tiers.pool_loads.
WAITING = text(
    """
    WITH waiting AS (
        SELECT pool, tier, user_id, count(*) AS jobs, sum(quoted_millicredits) AS cost
        FROM generation.jobs WHERE state = 'queued' AND due GROUP BY pool, tier, user_id
    ), running AS (
        SELECT user_id, count(*) AS jobs FROM generation.leases GROUP BY user_id
    ), placed AS (
        SELECT w.pool, w.tier, w.jobs, w.cost::float8 AS cost,
            coalesce(f.head_cost, w.cost / w.jobs)::float8 AS head,
            greatest(0, coalesce(f.tag - coalesce(c.virtual_time, 0), 0)) AS lead,
            least(w.jobs, greatest(0, l.running - coalesce(r.jobs, 0))) AS ready,
            coalesce(generation.use_at(f.used, f.used_at, now(), :use_seconds)
                > o.share * :use_seconds * 1000, false) AS noisy,
            extract(epoch FROM now() - f.head_since)::float8 AS age
        FROM waiting w
        JOIN unnest(CAST(:tiers AS text[]), CAST(:limits AS int[])) l (tier, running) USING (tier)
        LEFT JOIN generation.flows f USING (pool, tier, user_id)
        LEFT JOIN generation.tier_clocks c USING (pool, tier)
        LEFT JOIN generation.outlooks o USING (pool, tier)
        LEFT JOIN running r ON r.user_id = w.user_id
    )
    SELECT pool, tier, least(:last, width_bucket(lead - 0.5, CAST(:grid AS float8[]))) AS start,
        least(:last, width_bucket(lead + cost - head - 0.5, CAST(:grid AS float8[]))) AS "end",
        count(*) AS users, sum(jobs)::int AS jobs, sum(cost) AS cost, sum(head - lead) AS "offset",
        sum(ready)::int AS ready, count(*) FILTER (WHERE noisy) AS noisy,
        coalesce(max(age), 0) AS age
    FROM placed GROUP BY 1, 2, 3, 4
    """
)
RUNNING = text(
    """
    SELECT l.pool, l.tier, count(*) AS jobs, sum(j.quoted_millicredits)::bigint AS cost
    FROM generation.leases l JOIN generation.jobs j ON j.id = l.job_id GROUP BY l.pool, l.tier
    """
)
ACTIVE = text(
    """
    SELECT pool, tier, count(*) AS users FROM (
        SELECT pool, tier, user_id FROM generation.flows
        WHERE head_id IS NOT NULL OR used_at > now() - :use_seconds * interval '1 second'
        UNION SELECT pool, tier, user_id FROM generation.leases
    ) active GROUP BY pool, tier
    """
)
WORKERS = text(
    f"""
    SELECT pools, CAST(sum(slots) AS int) AS slots FROM generation.workers
    WHERE seen_at > now() - interval '{PRESENT_SECONDS} seconds' GROUP BY pools
    """
)
ARRIVALS = text(
    """
    SELECT pool, tier, sum(quoted_millicredits)::float8 AS cost,
        coalesce(sum(quoted_millicredits) FILTER (
            WHERE (estimate ->> 'virtual_start')::float8 <= 0), 0)::float8 AS newcomers
    FROM generation.jobs WHERE id >= :since GROUP BY pool, tier
    """
)
# What was measured on the latest jobs that came to an end; a job's own speed is told by jobs that
# were tried once.
DRAWN = text(
    """
    SELECT tier, model, quoted_millicredits AS cost, attempt = 1 AND state = 'succeeded' AS whole,
        extract(epoch FROM finished_at - started_at)::float8 AS seconds,
        extract(epoch FROM started_at - created_at)::float8 AS waited,
        (estimate ->> 'reckoned')::float8 AS reckoned,
        (estimate ->> 'p90_seconds')::float8 AS told_p90
    FROM generation.jobs
    WHERE pool = :pool AND state IN ('succeeded', 'partial') AND started_at IS NOT NULL
    ORDER BY finished_at DESC LIMIT :most
    """
)
WRITE = text(
    """
    INSERT INTO generation.outlooks (pool, tier, share, at, outlook)
    VALUES (:pool, :tier, :share, now(), CAST(:outlook AS jsonb))
    ON CONFLICT (pool, tier) DO UPDATE
    SET share = excluded.share, at = excluded.at, outlook = excluded.outlook
    """
)
READ = text("SELECT pool, tier, share, at, outlook FROM generation.outlooks")
ASYNCHRONOUS = text("SELECT set_config('synchronous_commit', 'off', true)")


async def read_look(
    session: AsyncSession, measured: Mapping[Pool, Measured], now: datetime
) -> Look:
    """Everything that waits and runs, and who serves it."""
    values = {
        "tiers": list(RULES),
        "limits": [rule.running_jobs for rule in RULES.values()],
        "grid": [float(at) for at in GRID],
        "last": len(GRID) - 1,
        "use_seconds": USE_SECONDS,
    }
    since = UUID(int=int((now.timestamp() - ARRIVAL_SECONDS) * 1_000) << 80)  # a UUIDv7's time
    waiting = await session.execute(WAITING, values)
    running = await session.execute(RUNNING)
    arrivals = await session.execute(ARRIVALS, {"since": since})
    workers = await session.execute(WORKERS)
    active = await session.execute(ACTIVE, {"use_seconds": USE_SECONDS})
    return Look(
        [WaitingUsers(**row._mapping) for row in waiting],
        [RunningJobs(**row._mapping) for row in running],
        [Arrivals(**row._mapping) for row in arrivals],
        [Serving(tuple(row.pools), row.slots) for row in workers],
        {(row.pool, row.tier): row.users for row in active},
        measured,
    )


async def read_drawn(session: AsyncSession, pool: str) -> list[DrawnJob]:
    """The latest jobs of a pool that were drawn, newest first."""
    rows = await session.execute(DRAWN, {"pool": pool, "most": DRAWN_JOBS})
    return [DrawnJob(**row._mapping) for row in rows]


async def write_outlooks(session: AsyncSession, outlooks: Iterable[Outlook]) -> None:
    """Write down what was seen. Nothing is lost if a crash forgets it."""
    await session.execute(ASYNCHRONOUS)
    rows = [
        {"pool": o.pool, "tier": o.tier, "share": o.share, "outlook": o.facts.model_dump_json()}
        for o in outlooks
    ]
    await session.execute(WRITE, rows)


async def read_outlook(session: AsyncSession) -> QueueOutlook:
    """What the relay has written last."""
    rows = (await session.execute(READ)).all()
    return outlook_of_rows((row.tier, row.share, row.at, row.outlook) for row in rows)
