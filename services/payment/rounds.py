"""What billing does by the clock: each round looks for what is due, and does it user by user."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from prometheus_client import Counter, Gauge
from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.audit import ledger_check
from libs.credits.free_grants import (
    grant_free_month,
    pause_free_months,
    users_due_for_a_free_month,
)
from libs.credits.ledger import expire_credits, release_expired_holds
from libs.db.outages import is_away
from libs.telemetry.logs import get_logger
from libs.tiers.catalogue import DEFAULT_TIER
from libs.tiers.entitlements import tier_of
from services.payment.desk import Desk
from services.payment.lemon_squeezy.client import LemonSqueezy
from services.payment.repository import grants, reconciliation, subscriptions
from services.payment.repository.owners import enter_user
from services.payment.service.letters import tell_of_duplicates
from services.payment.service.reconciliation import all_facts, reconcile
from services.payment.service.standing import settle_user

log = get_logger(__name__)
LIMIT = 200  # users in a round
RECONCILIATION_PERIOD = timedelta(days=1)
RECONCILIATION_RETRY = timedelta(minutes=10)

findings = Gauge("easel_ledger_findings", "Rules of the ledger that do not hold: must be 0")
reconciled_at = Gauge(
    "easel_reconciliation_last_success_timestamp_seconds",
    "When all that the provider knows was last compared with ours",
)
failed_users = Counter(
    "easel_billing_users_failed_total", "Users who could not be settled", ("round",)
)

duplicates = Gauge(
    "easel_billing_duplicate_subscriptions", "Users of whom more than one subscription renews"
)

Verb = Callable[[AsyncSession, UUID, datetime], Awaitable[object]]


async def settle_due_users(desk: Desk) -> None:
    """Months of yearly plans, ends of grace, of trials and of what was cancelled."""
    now = desk.clock()
    async with desk.sessions.begin() as session:
        users = await subscriptions.users_due(session, now, LIMIT)
    await for_each("subscriptions", desk, users, settle_user)


async def grant_free_months(desk: Desk) -> None:
    """The next free month of everybody whose last one is over."""
    now = desk.clock()
    async with desk.sessions.begin() as session:
        users = await users_due_for_a_free_month(session, now=now, limit=LIMIT)
    await for_each("free months", desk, users, give_free_month)


async def give_free_month(session: AsyncSession, user_id: UUID, now: datetime) -> None:
    """The free month around now; who has another tier by now waits until it ends."""
    await enter_user(session, user_id)
    if (await tier_of(session, user_id)).name == DEFAULT_TIER:
        await grant_free_month(session, user_id=user_id, now=now)
    else:
        await pause_free_months(session, user_id=user_id)


async def end_expired_credits(desk: Desk) -> None:
    """Take back what is left of grants whose time has passed."""
    now = desk.clock()
    async with desk.sessions.begin() as session:
        users = await grants.users_with_expired_grants(session, now, LIMIT)
    await for_each("expired credits", desk, users, expire)


async def expire(session: AsyncSession, user_id: UUID, now: datetime) -> None:
    """One user's grants."""
    await enter_user(session, user_id)
    await expire_credits(session, user_id=user_id, now=now)


async def release_lost_holds(desk: Desk) -> None:
    """Give back what was held for jobs that nobody settled in time."""
    now = desk.clock()
    async with desk.sessions.begin() as session:
        users = await grants.users_with_expired_holds(session, now, LIMIT)
    await for_each("expired holds", desk, users, release)


async def release(session: AsyncSession, user_id: UUID, now: datetime) -> None:
    """One user's holds."""
    await enter_user(session, user_id)
    await release_expired_holds(session, user_id=user_id, now=now)


async def tell_who_is_charged_twice(desk: Desk) -> None:
    """Count the users of whom more than one subscription renews; each is told by a letter."""
    async with desk.sessions.begin() as session:
        users = await subscriptions.users_charged_twice(session)
    duplicates.set(len(users))
    await for_each("duplicate subscriptions", desk, users, tell_of_duplicates)


async def for_each(name: str, desk: Desk, users: Sequence[UUID], verb: Verb) -> None:
    """Do it for each user in a transaction of its own; one that fails keeps no other waiting.

    Raises while a part is away.
    """
    for user_id in users:
        try:
            async with desk.sessions.begin() as session:
                await verb(session, user_id, desk.clock())
        except Exception as error:
            if is_away(error):
                raise
            log.error("user_failed", round=name, user_id=str(user_id), exc_info=error)
            failed_users.labels(name).inc()


async def reconcile_daily(desk: Desk, provider: LemonSqueezy) -> None:
    """Compare all that the provider knows with ours, once a day in all processes together.

    The network is asked between transactions. Raises BillingUnavailable; then, or if this process
    dies, it is tried again in ten minutes.
    """
    now = desk.clock()
    async with desk.sessions.begin() as session:
        is_ours = await reconciliation.claim(session, now, now + RECONCILIATION_RETRY)
    if is_ours:
        outcome = await reconcile(desk, all_facts(provider, now))
        finished = desk.clock()
        async with desk.sessions.begin() as session:
            await reconciliation.finish(
                session,
                finished,
                now + RECONCILIATION_PERIOD,
                compared=outcome.compared,
                repaired=outcome.repaired,
            )
    async with desk.sessions.begin() as session:
        last = await reconciliation.last_finished(session)
    if last is not None:
        reconciled_at.set(last.timestamp())


async def check_ledger(desk: Desk) -> None:
    """Ask every question that must have no answer; the gauge alerts."""
    async with desk.sessions.begin() as session:
        found = await ledger_check(session)
    for finding in found:
        log.error("ledger_finding", rule=finding.rule, user_id=str(finding.user_id))
    findings.set(len(found))
