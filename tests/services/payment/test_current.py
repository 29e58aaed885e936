"""Which of several subscriptions is the current one."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.tiers.catalogue import TierName
from services.payment.current import RENEWING, current_of, is_live, live_of
from services.payment.lifecycle_facts import Status
from services.payment.models import Subscription

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def subscription(
    name: str,
    status: Status = "active",
    tier: TierName = "pro",
    *,
    ends_in: int | None = None,
    age: int = 10,
) -> Subscription:
    return Subscription(
        provider_id=name,
        status=status,
        entitled_tier=tier,
        ends_at=None if ends_in is None else NOW + timedelta(days=ends_in),
        provider_created_at=NOW - timedelta(days=age),
    )


@pytest.mark.parametrize(
    ("status", "ends_in", "lives"),
    [
        ("on_trial", None, True),
        ("active", None, True),
        ("paused", None, True),
        ("past_due", None, True),
        ("unpaid", None, True),
        ("cancelled", 1, True),
        ("cancelled", 0, False),
        ("cancelled", -1, False),
        ("expired", -1, False),
        ("expired", None, False),
    ],
)
def test_what_lives(status: Status, ends_in: int | None, lives: bool) -> None:
    assert is_live(subscription("1", status, ends_in=ends_in), NOW) is lives


def test_the_one_that_gives_most_then_the_newest_is_current() -> None:
    starter = subscription("1", tier="starter", age=1)
    pro = subscription("2", tier="pro", age=30)
    newer_pro = subscription("3", tier="pro", age=20)
    over = subscription("4", "cancelled", "studio", ends_in=-1)
    assert current_of([starter, pro, newer_pro, over], NOW) is newer_pro
    assert current_of([over], NOW) is None
    assert current_of([], NOW) is None


def test_one_that_renews_is_current_before_a_larger_one_that_is_cancelled() -> None:
    cancelled = subscription("1", "cancelled", "studio", ends_in=5)
    for status in RENEWING:
        renewing = subscription("2", status, "free", age=50)
        assert live_of([cancelled, renewing], NOW) == [renewing, cancelled]
    assert current_of([cancelled], NOW) is cancelled
