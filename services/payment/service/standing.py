"""What a user's subscriptions give, brought up to date in one transaction.

Both verbs expect a session of the billing role. They make the user the transaction's tenant and let
nobody else change that user's billing until it ends.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.audit.log import record
from libs.credits.closing import is_closed
from libs.credits.free_grants import pause_free_months, resume_free_months
from libs.credits.ledger import expire_credits
from libs.tiers.catalogue import DEFAULT_TIER, TierName
from libs.tiers.entitlements import tier_of
from services.generation.client.tier_changes import announce_tier_change
from services.payment.facts import observation_of, payment_of, state_values
from services.payment.lemon_squeezy.resources import SubscriptionResource
from services.payment.lifecycle import Standing, highest_tier, judge, trial_holder
from services.payment.models import ObservedState
from services.payment.offers import PlanOffer, Shelf
from services.payment.repository import entitlements, grants, purchases, subscriptions
from services.payment.repository.owners import enter_user
from services.payment.service.grants import settle_grants
from services.payment.service.letters import tell_of_subscription
from services.payment.stuck import UnknownVariant

ACTOR = "billing"


async def observe_subscription(
    session: AsyncSession,
    resource: SubscriptionResource,
    now: datetime,
    *,
    user_id: UUID,
    shelf: Shelf,
) -> bool:
    """Add a state that the provider told to what is known, and settle what follows.

    False if it was known. Raises UnknownVariant for one that sells no plan of ours.
    """
    offer = shelf.offer_of(resource.attributes.variant_id)
    if not isinstance(offer, PlanOffer):
        raise UnknownVariant(f"variant {resource.attributes.variant_id} is no plan")
    await enter_user(session, user_id)
    values = {**state_values(resource, offer), "user_id": user_id, "observed_at": now}
    if not await subscriptions.add_observation(session, values):
        return False
    await tell_of_subscription(session, user_id, resource, offer, now)
    await settle_user(session, user_id, now)
    return True


async def settle_user(session: AsyncSession, user_id: UUID, now: datetime) -> None:
    """Make grants, tier and the rows shown to the user what all that is known gives now."""
    await enter_user(session, user_id)
    observed = await subscriptions.list_observations(session, user_id)
    if not observed or await is_closed(session, user_id):
        return
    await expire_credits(session, user_id=user_id, now=now)
    standings = await judge_all(session, user_id, observed, now)
    known = await grants.known_grants(session, user_id, ("plan", "trial"), now)
    rows = {(row.provider_id, row.content_sha256): row for row in observed}
    for standing in standings:
        newest = standing.newest
        own = [grant for grant in known if grant.belongs_to(newest.subscription)]
        await settle_grants(session, user_id, standing.grant, own, ending=standing.ending, now=now)
        row = rows[newest.subscription, newest.digest]
        await subscriptions.put_subscription(session, row, standing)
    await settle_tier(session, user_id, highest_tier(standings), now)


async def judge_all(
    session: AsyncSession, user_id: UUID, observed: Sequence[ObservedState], now: datetime
) -> Sequence[Standing]:
    """The standing of each of the user's subscriptions."""
    facts = [observation_of(row) for row in observed]
    payments = [payment_of(row) for row in await purchases.list_invoices(session, user_id)]
    holder = trial_holder(facts)
    return [
        judge(
            [fact for fact in facts if fact.subscription == name],
            [payment for payment in payments if payment.subscription == name],
            now,
            trial_used_elsewhere=name != holder,
        )
        for name in sorted({fact.subscription for fact in facts})
    ]


async def settle_tier(session: AsyncSession, user_id: UUID, tier: TierName, now: datetime) -> None:
    """Give the user a tier: on a change say so to the audit log, to the queue of waiting jobs,
    and to the free months. A contract's tier is not changed by subscriptions."""
    before = await tier_of(session, user_id)
    if before.contract or before.name == tier:
        return
    await entitlements.put_tier(session, user_id, tier, now)
    if tier == DEFAULT_TIER:
        await resume_free_months(session, user_id=user_id, now=now)
    else:
        await pause_free_months(session, user_id=user_id)
    await record(
        session,
        actor=ACTOR,
        action="tier.changed",
        subject=f"user:{user_id}",
        user_id=user_id,
        details={"from": before.name, "to": tier},
        now=now,
    )
    await announce_tier_change(session, user_id)
