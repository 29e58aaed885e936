"""What a customer asks of the provider, and what becomes of its answers."""

from dataclasses import dataclass
from typing import Any

from libs.audit.log import record
from libs.auth.principals import Principal
from libs.db.transaction import transaction
from libs.telemetry.logs import get_logger
from services.payment.lemon_squeezy.resources import SubscriptionResource
from services.payment.plan_changes import Step
from services.payment.problems import BillingRefused, BillingUnavailable
from services.payment.schemas.subscriptions import CurrentAnswer
from services.payment.service import subscriptions
from services.payment.service.standing import observe_subscription

log = get_logger(__name__)


@dataclass(frozen=True)
class PlannedSteps:
    """A change of plan as the provider is asked for it; `variant` is the one before."""

    subscription: str
    variant: str
    steps: tuple[Step, ...]


async def observe(
    state: Any, principal: Principal, resource: SubscriptionResource, action: str
) -> CurrentAnswer:
    """Make what the provider answered hold here at once: its webhook will be no news.

    The audit log keeps that the customer asked for it.
    """
    user_id, now = principal.user_id, state.clock()
    async with transaction(state.billing_sessions, user_id) as session:
        await observe_subscription(session, resource, now, user_id=user_id, shelf=state.shelf)
        await record(
            session,
            actor=f"user:{user_id}",
            action=action,
            subject=f"subscription:{resource.id}",
            user_id=user_id,
            details={
                "status": resource.attributes.status,
                "variant": resource.attributes.variant_id,
            },
            now=now,
        )
        return await subscriptions.get_current(session, user_id, now)


async def take_steps(state: Any, principal: Principal, planned: PlannedSteps) -> CurrentAnswer:
    """Ask for one step after the other, and observe what came of them.

    Raises BillingUnavailable, BillingRefused; then the plan is the one before, or, where even that
    could not be reached, the audit log and ours say how far it came.
    """
    told: list[SubscriptionResource] = []
    for step in planned.steps:
        try:
            told.append(
                await state.lemon_squeezy.change_variant(
                    planned.subscription,
                    state.shelf.variant_of(step.offer),
                    charge_now=step.charge_now,
                )
            )
        except (BillingUnavailable, BillingRefused):
            if not told or not (made := await make_whole(state, principal, planned, step)):
                raise
            told.append(made)
    for resource in told:
        answer = await observe(state, principal, resource, "subscription.changed")
    return answer


async def make_whole(
    state: Any, principal: Principal, planned: PlannedSteps, failed: Step
) -> SubscriptionResource | None:
    """After a later step failed: the subscription if that step was made all the same; else None,
    with the variant from before the first step restored without a charge."""
    provider = state.lemon_squeezy
    try:
        found: SubscriptionResource = await provider.get_subscription(planned.subscription)
        if found.attributes.variant_id == state.shelf.variant_of(failed.offer):
            return found
        restored = await provider.change_variant(
            planned.subscription, planned.variant, charge_now=False
        )
    except (BillingUnavailable, BillingRefused) as error:
        await tell_half_done(state, principal, planned, error)
    else:
        await observe(state, principal, restored, "subscription.change_undone")
    return None


async def tell_half_done(
    state: Any, principal: Principal, planned: PlannedSteps, error: Exception
) -> None:
    """Somebody has to look at it: the customer's waiting change is lost at the provider."""
    log.error("change_half_done", subscription=planned.subscription, error=repr(error))
    user_id = principal.user_id
    async with transaction(state.billing_sessions, user_id) as session:
        await record(
            session,
            actor=f"user:{user_id}",
            action="subscription.change_half_done",
            subject=f"subscription:{planned.subscription}",
            user_id=user_id,
            details={"variant": planned.variant},
            now=state.clock(),
        )
