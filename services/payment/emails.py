"""What customers are told by e-mail: each text a pure function of one fact.

A letter's key names the fact, so that it is sent once, however often and in whatever order the
fact is told.
"""

from datetime import datetime

from libs.mail.letters import Letter, letter
from libs.tiers.catalogue import PackName, TierName, load_catalogue


def money(cents: int, currency: str) -> str:
    """`25.00 USD`."""
    return f"{cents // 100}.{cents % 100:02} {currency}"


def day(moment: datetime) -> str:
    """`31 January 2027`, UTC."""
    return f"{moment.day} {moment:%B %Y}"


def plan(tier: TierName) -> str:
    """`The Pro plan`."""
    return f"The {tier.capitalize()} plan"


def receipt(invoice: str, cents: int, currency: str, url: str | None) -> Letter:
    """A payment of a subscription arrived."""
    return letter(
        f"receipt:{invoice}",
        f"Receipt: {money(cents, currency)} for your Easel plan",
        f"Thank you: we have received {money(cents, currency)} for your plan.",
        f"The invoice: {url}" if url else None,
    )


def payment_failed(invoice: str, cents: int, currency: str) -> Letter:
    """A payment of a subscription did not go through."""
    return letter(
        f"payment-failed:{invoice}",
        "Your payment did not go through",
        f"Your card did not pay {money(cents, currency)} for your Easel plan. It is tried again in"
        " the next days; your plan stays as it is for three days.",
        "To pay with another card, open your plan in Easel.",
    )


def trial_started(subscription: str, tier: TierName, ends_at: datetime) -> Letter:
    """A trial has begun."""
    return letter(
        f"trial:{subscription}:{tier}:{ends_at:%Y-%m-%d}",
        f"Your trial of the {tier.capitalize()} plan has begun",
        f"{plan(tier)} is yours until {day(ends_at)} without a charge. On that day the first"
        " payment is taken and the credits of the month come.",
        "If you cancel before, in Easel, you pay nothing.",
    )


def cancelled(subscription: str, tier: TierName, ends_at: datetime) -> Letter:
    """A subscription will not renew."""
    return letter(
        f"cancelled:{subscription}:{ends_at:%Y-%m-%d}",
        f"Your plan is cancelled and ends on {day(ends_at)}",
        f"{plan(tier)} is cancelled. Until {day(ends_at)} you keep all of it, and you are not"
        " charged again. Until then you can take the cancellation back in Easel.",
    )


def ended(subscription: str, tier: TierName) -> Letter:
    """A subscription is over."""
    return letter(
        f"ended:{subscription}",
        "Your plan has ended",
        f"{plan(tier)} has ended, and its credits with it. You are on the free plan now; credits"
        " that you bought in packs stay yours.",
    )


def charged_twice(subscription: str, tier: TierName, other: TierName) -> Letter:
    """A subscription renews beside an older one of the same customer."""
    return letter(
        f"duplicate:{subscription}",
        "You have two plans, and both renew",
        f"You bought the {tier.capitalize()} plan while you had the {other.capitalize()} plan."
        " Each is charged by itself; the larger one counts, and the credits of both are yours.",
        "If that is not what you want, open your plan in Easel and cancel there. Cancelling ends"
        " the larger one first; cancelling again ends the other one, too.",
    )


def refunded(what: str, cents: int, total: int, currency: str, url: str | None) -> Letter:
    """Money was given back: `cents` in all, of a payment of `total`."""
    return letter(
        f"refund:{what}:{cents}",
        f"Refund: {money(cents, currency)}",
        f"We have given back {money(cents, currency)} in all of your payment of"
        f" {money(total, currency)}. Credits that it had paid for and that were not spent were"
        " taken back.",
        f"The invoice: {url}" if url else None,
    )


def topped_up(order: str, pack: PackName, cents: int, currency: str, url: str | None) -> Letter:
    """A pack of credits was bought."""
    credits = load_catalogue().pack(pack).credits
    return letter(
        f"topup:{order}",
        f"{credits:,} credits for {money(cents, currency)}",
        f"Thank you: {credits:,} credits are in your account. They do not expire.",
        f"The receipt: {url}" if url else None,
    )
