"""Jobs put straight into the queue of record, as admission leaves them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import text

from libs.credits.ledger import grant_credits, hold_credits
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.ids import new_id
from libs.tiers.catalogue import Pool, TierName
from services.generation.models import Job
from services.generation.repository import leases

SessionsOf = Callable[[str], Sessions]
PRICE = 1_000
REQUEST = {
    "task": "txt2img",
    "model": "demo",
    "prompt": "a red apple",
    "negative_prompt": "",
    "width": 64,
    "height": 64,
    "steps": 20,
    "guidance": 5.0,
    "scheduler": "euler",
    "seed": 7,
    "num_images": 1,
    "format": "png",
    "metadata": {},
}


async def give_credits(payment: Sessions, user_id: UUID, amount: int) -> None:
    """Grant milli-credits that never expire, as the payment service does."""
    async with transaction(payment, user_id) as session:
        await grant_credits(
            session,
            user_id=user_id,
            grant_id=new_id(),
            key=uuid4().hex,
            kind="promotion",
            amount=amount,
            expires_at=None,
        )


@dataclass(frozen=True)
class Queue:
    """The queue seen by its three parties, each with its own database role."""

    api: Sessions
    workers: Sessions
    relay: Sessions
    payment: Sessions

    async def enter(
        self,
        user_id: UUID,
        *,
        tier: TierName = "free",
        pool: Pool = "standard",
        price: int = PRICE,
        expires_in: timedelta | None = None,
        request: dict[str, object] | None = None,
    ) -> UUID:
        """Queue a job whose price is granted and held; its id."""
        now = datetime.now(UTC)
        await give_credits(self.payment, user_id, price)
        job = Job(
            id=new_id(),
            user_id=user_id,
            tier=tier,
            pool=pool,
            model="demo",
            base="demo",
            request=request or REQUEST,
            quoted_millicredits=price,
            created_at=now,
            expires_at=now + expires_in if expires_in is not None else None,
        )
        async with transaction(self.api, user_id) as session:
            await hold_credits(session, user_id=user_id, hold_id=job.id, amount=price)
            session.add(job)
        return job.id

    async def claim(self) -> Job | None:
        """Claim the next due job, as a worker does."""
        async with self.workers.begin() as session:
            return await leases.claim_next(session, pool="standard", worker="test")

    async def finish(self, job: Job) -> None:
        """End a claimed job without pictures."""
        async with transaction(self.workers, job.user_id) as session:
            await leases.finish(
                session,
                leases.claim_of(job),
                state="succeeded",
                captured=0,
                images_done=0,
                error=None,
            )

    async def read(self, user_id: UUID, job_id: UUID) -> Job:
        """A job as its owner's role sees it."""
        async with transaction(self.api, user_id) as session:
            return await session.get_one(Job, job_id)


async def lose_worker(sessions: Sessions, job_id: UUID) -> None:
    """Let a lease run out now, as if its worker had died."""
    query = text("UPDATE generation.leases SET until = now() - interval '1 s' WHERE job_id = :id")
    async with sessions.begin() as session:
        await session.execute(query, {"id": job_id})
