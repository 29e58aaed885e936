"""The catalogue against the product's table of plans (DOMAIN section 1)."""

import pytest

from libs.kernel.problems import Problem
from libs.tiers.catalogue import TierName, load_catalogue
from libs.tiers.gates import (
    HourlyLimitReached,
    TierRequired,
    WaitingLimitReached,
    require_base,
    require_hourly_room,
    require_waiting_room,
)

GIB = 2**30
NAMES: tuple[TierName, ...] = ("free", "starter", "pro", "studio", "enterprise")
TABLE: dict[str, tuple[object, ...]] = {
    "price_month_cents": (0, 2_500, 7_500, 15_000, None),
    "price_year_cents": (0, 25_000, 75_000, 150_000, None),
    "trial_days": (0, 7, 7, 7, 0),
    "credits_month": (500, 5_000, 15_000, 30_000, 100_000),
    "storage_bytes": (GIB, 20 * GIB, 100 * GIB, 200 * GIB, 2048 * GIB),
    "running_jobs": (1, 1, 1, 3, 16),
    "waiting_jobs": (10, 50, 100, 200, 1_000),
    "creates_per_hour": (10, 60, 300, 1_000, None),
    "requests_per_minute": (120, 300, 600, 1_200, 6_000),
    "weight": (10, 25, 50, 75, 100),
    "target_wait_p95_seconds": (1_800, 600, 180, 60, 30),
    "custom_lora": (False, False, False, True, True),
    "external_image_api": (False, False, True, True, True),
    "api_keys": (False, False, True, True, True),
    "public_posts_month": (5, 50, None, None, None),
    "gpu_pool": ("standard", "standard", "standard", "premium", "premium"),
}


def test_without_a_login_an_address_may_ask_as_often_as_the_free_plan() -> None:
    catalogue = load_catalogue()
    assert catalogue.anonymous.requests_per_minute == 120
    assert catalogue.tier("free").requests_per_minute == 120


@pytest.mark.parametrize("column", TABLE)
def test_every_row_of_the_table(column: str) -> None:
    values = tuple(getattr(load_catalogue().tier(name), column) for name in NAMES)
    assert values == TABLE[column]


def test_the_paid_plans_are_for_sale_by_month_and_year() -> None:
    sold = [tier for tier in load_catalogue().tiers if tier.is_for_sale]
    assert [tier.name for tier in sold] == ["starter", "pro", "studio"]
    for tier in sold:
        assert tier.price_cents("month") == tier.price_month_cents
        assert tier.price_cents("year") == tier.price_year_cents
    assert [load_catalogue().rank(name) for name in NAMES] == [0, 1, 2, 3, 4]


def test_a_larger_pack_holds_more_credits_for_a_dollar() -> None:
    packs = load_catalogue().packs
    decided = [("small", 1_000, 600), ("medium", 5_000, 2_800), ("large", 20_000, 10_000)]
    assert [(pack.name, pack.credits, pack.price_cents) for pack in packs] == decided
    assert load_catalogue().pack("medium") == packs[1]
    rates = [pack.credits / pack.price_cents for pack in packs]
    assert rates == sorted(set(rates))


def test_the_demo_model_is_open_to_every_tier() -> None:
    assert all("demo" in tier.bases for tier in load_catalogue().tiers)


def test_a_refusing_gate_names_the_tier_that_opens_it() -> None:
    free = load_catalogue().tier("free")
    with pytest.raises(TierRequired) as refused:
        require_base(free, "flux")
    assert (refused.value.status, refused.value.extra) == (403, {"required_tier": "pro"})
    require_base(free, "sd15")


def retry_after(problem: Problem) -> int:
    return int(problem.headers["Retry-After"])


def test_the_waiting_limit_says_when_to_come_back() -> None:
    free = load_catalogue().tier("free")
    require_waiting_room(free, 9, expected_wait_seconds=40)
    with pytest.raises(WaitingLimitReached) as refused:
        require_waiting_room(free, 10, expected_wait_seconds=40)
    assert (refused.value.status, retry_after(refused.value)) == (429, 40)
    said = {"limit": "waiting_jobs", "used": 10, "allowed": 10, "retry_after_seconds": 40}
    assert refused.value.extra == said


def test_the_hourly_limit_opens_when_the_oldest_request_is_an_hour_old() -> None:
    starter = load_catalogue().tier("starter")
    require_hourly_room(starter, 59, oldest_age_seconds=10)
    with pytest.raises(HourlyLimitReached) as refused:
        require_hourly_room(starter, 60, oldest_age_seconds=3_500)
    assert retry_after(refused.value) == 100
    said = {"limit": "creates_per_hour", "used": 60, "allowed": 60, "retry_after_seconds": 100}
    assert refused.value.extra == said
    require_hourly_room(load_catalogue().tier("enterprise"), 10**6, oldest_age_seconds=0)
