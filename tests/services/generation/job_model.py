"""What jobs must be, as a model of a few lines, and what the database says of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.audit import ledger_check
from libs.tiers.catalogue import Pool, TierName, load_catalogue
from services.generation.attempts import MAX_FAILURES
from services.generation.models import FINAL_STATES

STATES = text(
    "SELECT id, state, attempt, failures, tier, pool FROM generation.jobs WHERE user_id = ANY(:ids)"
)
# The head of a place is the oldest job that is due there; a place without one has no head.
WRONG_HEADS = text(
    """
    SELECT * FROM (
        SELECT DISTINCT ON (user_id, pool, tier) user_id, pool, tier, id, model,
            quoted_millicredits AS cost, created_at, expires_at
        FROM generation.jobs WHERE state = 'queued' AND due ORDER BY user_id, pool, tier, id
    ) j FULL JOIN generation.flows f USING (user_id, pool, tier)
    WHERE coalesce(j.user_id, f.user_id) = ANY(:ids)
        AND (j.id, j.model, j.cost, j.created_at, j.expires_at)
        IS DISTINCT FROM (f.head_id, f.head_model, f.head_cost, f.head_since, f.head_expires)
    """
)
WRONG_LEASES = text(
    """
    SELECT * FROM (SELECT * FROM generation.jobs WHERE state = 'running') j
    FULL JOIN generation.leases l ON l.job_id = j.id
    WHERE coalesce(j.user_id, l.user_id) = ANY(:ids)
        AND (j.id, j.user_id, j.pool, j.tier, j.attempt, j.worker)
        IS DISTINCT FROM (l.job_id, l.user_id, l.pool, l.tier, l.attempt, l.worker)
    """
)
# A job that waits or runs has its hold; one that has ended has settled all of its holds.
WRONG_HOLDS = text(
    """
    SELECT j.id, j.state, h.id AS hold FROM generation.jobs j
    LEFT JOIN credits.holds h ON h.id = j.id AND h.amount = j.quoted_millicredits
    WHERE j.user_id = ANY(:ids) AND (h.id IS NULL) <> (j.finished_at IS NOT NULL)
    """
)
# A job was held for once, whole; the hold may be taken from several grants.
WRONG_CHARGES = text(
    """
    SELECT j.id, j.captured_millicredits, t.captured FROM generation.jobs j
    LEFT JOIN (SELECT reference, sum(amount) FILTER (WHERE kind = 'capture') AS captured,
            sum(amount) FILTER (WHERE kind = 'hold') AS held
        FROM credits.transfers GROUP BY reference) t ON t.reference = j.id
    WHERE j.user_id = ANY(:ids)
        AND (t.held IS DISTINCT FROM j.quoted_millicredits
            OR coalesce(t.captured, 0) <> coalesce(j.captured_millicredits, 0))
    """
)


@dataclass
class ModelJob:
    """One job; `is_late` if its deadline had passed when it was queued."""

    id: UUID
    user: int
    tier: TierName
    is_late: bool = False
    state: str = "queued"
    is_due: bool = True
    attempt: int = 0
    failures: int = 0
    wants_cancel: bool = False

    @property
    def pool(self) -> Pool:
        return load_catalogue().tier(self.tier).gpu_pool

    def start(self) -> None:
        self.state, self.attempt, self.wants_cancel = "running", self.attempt + 1, False

    def back(self, *, rests: bool, failures: int) -> None:
        """The attempt is over; who wants it cancelled gets that."""
        if self.wants_cancel:
            self.state = "cancelled"
        else:
            self.state, self.is_due, self.failures = "queued", not rests, self.failures + failures

    def lose(self) -> None:
        """Its worker has died."""
        if self.failures + 1 < MAX_FAILURES:
            self.back(rests=False, failures=1)
        else:
            self.state = "failed"


@dataclass
class Model:
    """All jobs of a life."""

    jobs: dict[UUID, ModelJob] = field(default_factory=dict)

    def of(self, *states: str) -> list[ModelJob]:
        """Jobs in these states, the oldest first."""
        found = [job for job in self.jobs.values() if job.state in states]
        return sorted(found, key=lambda job: job.id)

    def running_of(self, user: int) -> int:
        return sum(job.user == user for job in self.of("running"))

    def heads(self, pool: str) -> list[ModelJob]:
        """Jobs of a pool that may be claimed: the oldest due one of each user and tier, if that is
        not late and the user has a place."""
        first: dict[tuple[int, str], ModelJob] = {}
        for job in self.of("queued"):
            if job.is_due and job.pool == pool:
                first.setdefault((job.user, job.tier), job)
        limit = {tier.name: tier.running_jobs for tier in load_catalogue().tiers}
        return [
            job
            for job in first.values()
            if not job.is_late and self.running_of(job.user) < limit[job.tier]
        ]

    async def compare(self, session: AsyncSession, ids: Sequence[UUID]) -> None:
        """The database agrees with the model and with itself."""
        rows = (await session.execute(STATES, {"ids": ids})).all()
        found = {row.id: (row.state, row.attempt, row.failures, row.tier, row.pool) for row in rows}
        expected = {
            job.id: (job.state, job.attempt, job.failures, job.tier, job.pool)
            for job in self.jobs.values()
        }
        assert found == expected
        for wrong in (WRONG_HEADS, WRONG_LEASES, WRONG_HOLDS, WRONG_CHARGES):
            assert (await session.execute(wrong, {"ids": ids})).all() == [], wrong.text
        assert await ledger_check(session) == []

    def learn(self, row: Any) -> None:
        """Take over what a race made of a job; what had ended must not have changed."""
        job = self.jobs[row.id]
        if job.state in FINAL_STATES:
            assert row.state == job.state
        assert row.attempt >= job.attempt
        if row.state != "running":
            job.wants_cancel = False
        job.state, job.attempt, job.failures = row.state, row.attempt, row.failures
        job.is_due = row.due
