"""The public plans are the catalogue, and the catalogue is what was decided."""

import httpx
import pytest

from libs.tiers.catalogue import load_catalogue

# price a month and a year in dollars, credits a month, running, waiting, creates an hour
DECIDED = {
    "free": (0, 0, 500, 1, 10, 10),
    "starter": (25, 250, 5_000, 1, 50, 60),
    "pro": (75, 750, 15_000, 1, 100, 300),
    "studio": (150, 1_500, 30_000, 3, 200, 1_000),
    "enterprise": (None, None, 100_000, 16, 1_000, None),
}


async def test_plans_need_no_login_and_equal_the_catalogue(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/v1/plans")
    assert answer.headers["cache-control"] == "public, max-age=300"
    catalogue = load_catalogue().model_dump(mode="json")
    assert answer.json() == {
        "version": catalogue["version"],
        "currency": "USD",
        "plans": catalogue["tiers"],
        "packs": catalogue["packs"],
    }


@pytest.mark.parametrize("name", DECIDED)
async def test_a_plan_costs_and_gives_what_was_decided(api: httpx.AsyncClient, name: str) -> None:
    plans = {plan["name"]: plan for plan in (await api.get("/api/v1/plans")).json()["plans"]}
    assert list(plans) == list(DECIDED)
    month, year, *numbers = DECIDED[name]
    plan = plans[name]
    prices = [plan["price_month_cents"], plan["price_year_cents"]]
    assert prices == [price if price is None else price * 100 for price in (month, year)]
    names = ("credits_month", "running_jobs", "waiting_jobs", "creates_per_hour")
    assert [plan[name] for name in names] == numbers
