"""The queue as a user and as an administrator sees it."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.tiers.catalogue import Tier
from libs.tiers.entitlements import tier_of
from libs.tiers.pool_loads import STEP
from libs.web.pagination import Page, PageRequest, make_page
from services.generation.measures import ALL_MODELS
from services.generation.queue_schemas import (
    AdminQueueAnswer,
    DeadLetter,
    PoolState,
    QueueAnswer,
    TierState,
    TierWait,
    WaitingJob,
)
from services.generation.repository import jobs, staff
from services.generation.service.waits import estimate_jobs
from services.generation.waiting import (
    POOLS,
    TIERS,
    OwnWork,
    QueueOutlook,
    estimate_job,
    show_wait,
)


async def show_queue(session: AsyncSession, outlook: QueueOutlook, user_id: UUID) -> QueueAnswer:
    """What waits, and where the caller's own jobs stand."""
    tier = await tier_of(session, user_id)
    own = await jobs.read_own_jobs(session, user_id)
    told = estimate_jobs(outlook, own)
    return QueueAnswer(
        tier=tier.name,
        pool=tier.gpu_pool,
        waiting=len(own.waiting),
        waiting_allowed=tier.waiting_jobs,
        running=own.running,
        running_allowed=tier.running_jobs,
        jobs=[
            WaitingJob(
                generation_id=job.id,
                tier=job.tier,
                pool=job.pool,
                model=job.model,
                **told[job.id].model_dump(),
            )
            for job in own.waiting
        ],
        tiers=[wait_of_tier(outlook, each) for each in TIERS],
        pools=states_of_pools(outlook),
        at=outlook.at,
    )


async def show_whole_queue(
    sessions: Sessions, outlook: QueueOutlook, admin: Principal, page: PageRequest
) -> AdminQueueAnswer:
    """Every tier and pool, the workers, and a page of the jobs that have failed."""
    async with transaction(sessions, admin.user_id) as session:
        await staff.open_view(session)
        failed = await staff.list_dead_letters(session, limit=page.limit, before=page.before)
        workers = await staff.list_workers(session)
    letters: Page[DeadLetter] = make_page(
        failed, page.limit, lambda letter: letter, lambda letter: letter.id
    )
    return AdminQueueAnswer(
        at=outlook.at,
        tiers=[state_of_tier(outlook, tier) for tier in TIERS],
        pools=states_of_pools(outlook),
        workers=workers,
        dead_letters=letters,
    )


def wait_of_tier(outlook: QueueOutlook, tier: Tier) -> TierWait:
    """How long somebody with nothing queued waits."""
    wait = show_wait(estimate_job(outlook, tier, ALL_MODELS, STEP, OwnWork()))
    return TierWait(
        tier=tier.name,
        pool=tier.gpu_pool,
        p50_seconds=wait.p50_seconds,
        p90_seconds=wait.p90_seconds,
        target_seconds=tier.target_wait_p95_seconds,
        waiting=outlook.facts_of(tier.name).waiting,
    )


def state_of_tier(outlook: QueueOutlook, tier: Tier) -> TierState:
    """A tier as an administrator sees it."""
    facts = outlook.facts_of(tier.name)
    return TierState(
        **wait_of_tier(outlook, tier).model_dump(),
        running=facts.running,
        oldest_wait_seconds=round(facts.oldest_seconds, 1),
        share=outlook.shares.get(tier.name, 1.0),
        users=facts.users,
        noisy_users=facts.noisy_users,
        estimates_kept=facts.kept,
    )


def states_of_pools(outlook: QueueOutlook) -> list[PoolState]:
    """Every pool."""
    return [
        PoolState(
            pool=pool,
            waiting=sum(tier.waiting for tier in outlook.pools[pool].tiers.values()),
            running=outlook.pools[pool].running,
            capacity=outlook.pools[pool].slots,
            helping=outlook.pools[pool].helping_slots,
        )
        for pool in POOLS
    ]
