"""`/_double`: what tests steer: clock, cards, deliveries, faults, and a fresh start."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from libs.testkit.lemon_squeezy.api import Running
from libs.testkit.lemon_squeezy.books import Books, Rules, find_subscription
from libs.testkit.lemon_squeezy.charges import (
    fail_next_payments,
    renew_now,
    retry_payment,
    update_card,
)
from libs.testkit.lemon_squeezy.clock import expire_now
from libs.testkit.lemon_squeezy.dates import stamp, whole_second
from libs.testkit.lemon_squeezy.deliveries import (
    Delivery,
    drop,
    find_delivery,
    release,
    send_again,
)
from libs.testkit.lemon_squeezy.rate_limit import Fault, Window
from libs.testkit.lemon_squeezy.records import Refused, card_of
from libs.testkit.lemon_squeezy.runtime import Double
from libs.testkit.lemon_squeezy.shapes import subscription_resource

router = APIRouter(prefix="/_double")
WAIT_SECONDS = 30.0


class Body(BaseModel):
    """A request body: unknown members are refused."""

    model_config = ConfigDict(extra="forbid")


class ClockChange(Body):
    """`now` or `advance_seconds`, and whether the clock stands still afterwards; `wait` for the
    webhooks that it causes."""

    now: datetime | None = None
    advance_seconds: float | None = None
    frozen: bool | None = None
    wait: bool = True


class Charge(Body):
    """What becomes of the charges of a subscription."""

    fail_next: int | None = None
    card_number: str | None = None


class Choice(Body):
    """Deliveries, in the order in which they shall go; None: all that are held."""

    ids: list[int] | None = None


class OutboxChange(Body):
    hold: bool | None = None
    retry_scale: float | None = None


class Reset(Body):
    """The rules of the fresh store; None keeps the defaults."""

    retry_days: list[int] | None = None
    dunning_days: int | None = 14


class FaultOrder(Body):
    """The next `count` API calls: answered with `status`, after `delay_seconds`. With
    `after_effect` the call has been carried out before it fails."""

    count: int = 1
    status: int | None = None
    delay_seconds: float = 0.0
    after_effect: bool = False


class Limit(Body):
    limit: int


@router.get("/clock")
async def get_clock(double: Running) -> dict[str, Any]:
    return {"now": stamp(double.books.now), "frozen": double.state.frozen}


@router.post("/clock")
async def post_clock(change: ClockChange, double: Running) -> dict[str, Any]:
    """Move the clock forward: what falls due happens in order."""
    if change.frozen is not None:
        double.state.frozen = change.frozen
    if change.now is not None:
        double.set_clock(whole_second(change.now))
    if change.advance_seconds is not None:
        double.set_clock(double.books.now + timedelta(seconds=change.advance_seconds))
    idle = await double.until_idle(WAIT_SECONDS) if change.wait else double.idle()
    return await get_clock(double) | {"idle": idle}


@router.post("/idle")
async def wait_idle(double: Running) -> dict[str, bool]:
    """Answer when nothing is due to be sent."""
    return {"idle": await double.until_idle(WAIT_SECONDS)}


SubscriptionAction = Literal["renew", "recover", "expire"]
ACTIONS: dict[str, Callable[[Books, int], object]] = {
    "renew": renew_now,
    "recover": lambda books, sub: retry_payment(books, find_subscription(books, sub)),
    "expire": expire_now,
}


@router.post("/subscriptions/{subscription_id}/{action}")
async def act_on_subscription(
    subscription_id: int, action: SubscriptionAction, double: Running
) -> dict[str, Any]:
    """Renew now, try the open payment again, or end at once; the subscription as the API has it."""
    double.act(lambda books: ACTIONS[action](books, subscription_id))
    sub = find_subscription(double.books, subscription_id)
    return subscription_resource(double.books, sub)


@router.put("/subscriptions/{subscription_id}/charges")
async def put_charges(subscription_id: int, change: Charge, double: Running) -> dict[str, Any]:
    """Let the next charges fail, or enter another card (an open invoice is charged to it)."""
    if change.fail_next is not None:
        count = change.fail_next
        double.act(lambda books: fail_next_payments(books, subscription_id, count))
    if change.card_number is not None:
        card = card_of(change.card_number)
        double.act(lambda books: update_card(books, subscription_id, card))
    sub = find_subscription(double.books, subscription_id)
    return subscription_resource(double.books, sub)


@router.get("/deliveries")
async def get_deliveries(double: Running) -> list[Delivery]:
    """Every delivery with its attempts, the oldest first."""
    return double.state.outbox.deliveries


@router.put("/outbox")
async def put_outbox(change: OutboxChange, double: Running) -> dict[str, Any]:
    """Hold new deliveries back or not; scale the seconds between attempts."""
    outbox = double.state.outbox
    outbox.hold = outbox.hold if change.hold is None else change.hold
    scale = change.retry_scale
    outbox.retry_scale = outbox.retry_scale if scale is None else scale
    double.save()
    return {"hold": outbox.hold, "retry_scale": outbox.retry_scale}


def _known(double: Double, ids: list[int]) -> None:
    try:
        for number in ids:
            find_delivery(double.state.outbox, number)
    except KeyError as missing:
        raise Refused(f"There is no delivery {missing}.", 404) from None


@router.post("/deliveries/release")
async def release_deliveries(choice: Choice, double: Running) -> dict[str, Any]:
    """Send what is held, in the order of `ids`; answers when that is done."""
    _known(double, choice.ids or [])
    sent = release(double.state.outbox, choice.ids, double.books.now)
    double.save()
    return {"released": [d.id for d in sent], "idle": await double.until_idle(WAIT_SECONDS)}


@router.post("/deliveries/drop")
async def drop_deliveries(choice: Choice, double: Running) -> dict[str, Any]:
    """Never send these."""
    _known(double, choice.ids or [])
    drop(double.state.outbox, choice.ids or [])
    double.save()
    return {"dropped": choice.ids or []}


@router.post("/deliveries/{delivery_id}/again")
async def deliver_again(delivery_id: int, double: Running) -> Delivery:
    """Send the same bytes once more."""
    _known(double, [delivery_id])
    copy = send_again(double.state.outbox, delivery_id, double.books.now)
    double.save()
    await double.until_idle(WAIT_SECONDS)
    return copy


@router.post("/faults")
async def post_faults(order: FaultOrder, request: Request) -> dict[str, Any]:
    """Let the next API calls fail or hang."""
    request.app.state.fault = Fault(**order.model_dump())
    return order.model_dump()


@router.put("/rate-limit")
async def put_rate_limit(limit: Limit, request: Request) -> dict[str, int]:
    """Another number of calls a minute; the minute begins anew."""
    request.app.state.window = Window(limit.limit)
    return limit.model_dump()


@router.post("/reset")
async def reset(wanted: Reset, request: Request, double: Running) -> dict[str, bool]:
    """A fresh store: no records, no deliveries, the clock at the real time."""
    days = Rules().retry_days if wanted.retry_days is None else tuple(wanted.retry_days)
    double.reset(Rules(days, wanted.dunning_days))
    request.app.state.fault = Fault()
    request.app.state.window = Window(double.settings.rate_limit)
    return {"reset": True}
