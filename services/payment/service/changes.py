"""Changes of plan: what one would do, and doing it. Sessions are of the billing role."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.pricing import format_credits
from services.payment.facts import observation_of, payment_of
from services.payment.grants import DueGrant, postings
from services.payment.lifecycle import trial_holder
from services.payment.offers import PlanOffer
from services.payment.plan_changes import PlanChange, plan_change
from services.payment.repository import credits, grants, purchases, subscriptions
from services.payment.schemas.subscriptions import ChangePreview, PlanAnswer
from services.payment.service.subscriptions import require_current


async def make_change(
    session: AsyncSession, user_id: UUID, wanted: PlanOffer, now: datetime
) -> PlanChange:
    """What asking for a plan does to the current subscription.

    Raises SubscriptionNotFound, SubscriptionNotActive, PlanUnchanged, ChangeNotOffered.
    """
    name = (await require_current(session, user_id, now)).provider_id
    rows = await subscriptions.list_observations(session, user_id)
    facts = [observation_of(row) for row in rows]
    payments = [payment_of(row) for row in await purchases.list_invoices(session, user_id)]
    return plan_change(
        [fact for fact in facts if fact.subscription == name],
        [payment for payment in payments if payment.subscription == name],
        wanted,
        now,
        trial_used_elsewhere=trial_holder(facts) != name,
    )


@dataclass(frozen=True)
class CreditsMoved:
    """What a change does to the user's credits, in milli-credits; `grant` is what is given."""

    lost: int
    granted: int
    kept: int
    grant: DueGrant | None


async def move_credits(
    session: AsyncSession, user_id: UUID, change: PlanChange, now: datetime
) -> CreditsMoved:
    """What will be posted when the change is observed, and what stays as it is."""
    left = {row.key: row.remaining for row in await credits.open_grants(session, user_id)}
    known = await grants.known_grants(session, user_id, ("plan", "trial"), now)
    own = [grant for grant in known if grant.belongs_to(change.subscription)]
    wanted = postings(change.after.grant, own)
    lost = sum(left.get(key, 0) for key in wanted.ends)
    return CreditsMoved(
        lost=lost,
        granted=wanted.gives[1] if wanted.gives else 0,
        kept=sum(left.values()) - lost,
        grant=change.after.grant if wanted.gives else None,
    )


async def preview_change(
    session: AsyncSession, user_id: UUID, wanted: PlanOffer, now: datetime
) -> ChangePreview:
    """What a change would do; asks nobody and changes nothing. Raises as `make_change`."""
    change = await make_change(session, user_id, wanted, now)
    moved = await move_credits(session, user_id, change, now)
    return ChangePreview(
        takes_effect="now" if change.at_once else "at_period_end",
        effective_at=change.effective_at,
        from_plan=show_plan(change.paid),
        to_plan=show_plan(change.wanted),
        lost_millicredits=moved.lost,
        lost_credits=format_credits(moved.lost),
        granted_millicredits=moved.granted,
        granted_credits=format_credits(moved.granted),
        granted_expire_at=moved.grant.expires_at if moved.grant else None,
        kept_millicredits=moved.kept,
        kept_credits=format_credits(moved.kept),
        estimated_proration_cents=change.proration_cents,
        next_charge_cents=change.wanted.price_cents,
        next_charge_at=change.next_charge_at,
        summary=" ".join(sentences(change, moved)),
    )


def show_plan(offer: PlanOffer) -> PlanAnswer:
    """A plan with its price."""
    return PlanAnswer(plan=offer.tier, interval=offer.interval, price_cents=offer.price_cents)


def sentences(change: PlanChange, moved: CreditsMoved) -> list[str]:
    """A preview in words."""
    wanted, paid = change.wanted, change.paid
    if not change.at_once:
        return [
            f"The plan {paid.tier} and all credits stay until {change.effective_at:%d %B %Y};",
            f"from then on it is {wanted.tier} by the {wanted.interval}.",
        ]
    said = [f"The plan is {wanted.tier} by the {wanted.interval} at once."]
    if moved.lost:
        said.append(f"{format_credits(moved.lost)} unspent credits of the old plan end with it.")
    if moved.grant:
        until = f"{moved.grant.expires_at:%d %B %Y}"
        said.append(f"{format_credits(moved.granted)} credits come at once, until {until}.")
    said.append(f"{format_credits(moved.kept)} other credits stay.")
    return said
