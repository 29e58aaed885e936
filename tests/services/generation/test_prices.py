"""What a request may cost at most, and where its price comes from."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from libs.credits.caps import set_cap
from libs.credits.pricing import Work, load_price_book, quote
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from services.generation.price_breakdown import explain_price
from tests.services.callers import Caller, named_fields, problem_of

SessionsOf = Callable[[str], Sessions]
PATH = "/api/v1/generations"
# three images of a credit each: the minimum of the demo model
REQUEST = {"model": "demo", "prompt": "a red apple", "seed": 7, "num_images": 3}
SPENT = "SELECT (SELECT count(*) FROM generation.jobs), (SELECT count(*) FROM credits.holds)"


async def jobs_and_holds(sessions: SessionsOf) -> tuple[int, ...]:
    async with sessions("admin")() as session:
        return tuple((await session.execute(text(SPENT))).one())


@pytest.mark.parametrize("maximum", [2.999, "2.999", 1, "0.001"])
async def test_a_price_above_the_maximum_is_refused_before_anything_is_held(
    ada: Caller, sessions: SessionsOf, maximum: object
) -> None:
    answer = await ada.post(PATH, {**REQUEST, "max_credits": maximum})
    problem = answer.json()
    assert problem_of(answer) == (422, "price-above-maximum")
    assert [error["field"] for error in problem["errors"]] == ["body.max_credits"]
    assert problem["price_millicredits"] == 3_000
    assert problem["maximum_millicredits"] == int(Decimal(str(maximum)) * 1_000)
    assert await jobs_and_holds(sessions) == (0, 0)


@pytest.mark.parametrize("maximum", [3, "3", "3.000", 3.001, 1_000_000, None])
async def test_a_price_within_the_maximum_is_accepted(
    ada: Caller, sessions: SessionsOf, maximum: object
) -> None:
    answer = await ada.post(PATH, {**REQUEST, "max_credits": maximum})
    assert (answer.status_code, answer.json()["quoted_millicredits"]) == (202, 3_000)
    assert await jobs_and_holds(sessions) == (1, 1)


async def test_a_cap_of_the_day_refuses_with_its_numbers(ada: Caller, sessions: SessionsOf) -> None:
    async with transaction(sessions("payment"), ada.id) as session:
        await set_cap(session, user_id=ada.id, key_id=None, period="day", millicredits=5_000)
    assert (await ada.post(PATH, REQUEST)).status_code == 202
    refused = await ada.post(PATH, REQUEST)
    assert problem_of(refused) == (402, "spend-cap-reached")
    numbers = ("needed_millicredits", "spent_millicredits", "cap_millicredits", "period", "of_key")
    told = refused.json()
    assert [told[name] for name in numbers] == [3_000, 3_000, 5_000, "day", False]
    assert await jobs_and_holds(sessions) == (1, 1)


@pytest.mark.parametrize(
    "maximum", [0, -1, 1_000_001, 1.0005, "1.0005", "1e3", " 3 ", "three", True, [3], "NaN"]
)
async def test_a_maximum_out_of_range_is_named(
    ada: Caller, sessions: SessionsOf, maximum: object
) -> None:
    answer = await ada.post(PATH, {**REQUEST, "max_credits": maximum})
    assert named_fields(answer) == ["body.max_credits"]
    assert await jobs_and_holds(sessions) == (0, 0)


async def test_a_quote_says_whether_it_keeps_to_the_maximum(ada: Caller) -> None:
    for maximum, within in [("2.999", False), ("3", True), (None, True)]:
        quoted = (await ada.post(f"{PATH}/quote", {**REQUEST, "max_credits": maximum})).json()
        assert (quoted["price_millicredits"], quoted["within_maximum"]) == (3_000, within)


async def test_a_repeat_with_another_spelling_of_the_maximum_is_the_same_request(
    ada: Caller,
) -> None:
    key = {"Idempotency-Key": "once"}
    first = await ada.post(PATH, {**REQUEST, "max_credits": 3}, **key)
    second = await ada.post(PATH, {**REQUEST, "max_credits": "3.00"}, **key)
    assert second.headers["idempotency-replayed"] == "true"
    assert second.json() == first.json()


async def test_a_price_is_explained_to_the_last_milli_credit(ada: Caller) -> None:
    quoted = (await ada.post(f"{PATH}/quote", REQUEST)).json()
    price = quoted["price"]
    assert price["price_version"] == load_price_book().version
    assert (price["images"], price["steps"]) == (3, 20)
    assert (price["step_millicredits"], price["step_credits"]) == (500, "0.5")
    assert (price["pixels"], price["reference_pixels"]) == (4_096, 262_144)
    assert (price["area_factor"], price["addons_factor"]) == ("0.015625", "1")
    assert (price["minimum_image_credits"], price["minimum_applied"]) == ("1", True)
    # 3 x 20 x 500 x 0.015625 = 468.75, rounded up; the minimum makes it 3 credits
    assert [(part["name"], part["millicredits"], part["credits"]) for part in price["parts"]] == [
        ("steps", 469, "0.469"),
        ("addons", 0, "0"),
        ("minimum", 2_531, "2.531"),
    ]
    assert (price["total_millicredits"], price["total_credits"]) == (3_000, "3")
    job = (await ada.post(PATH, REQUEST)).json()
    assert job["price"] == price
    assert (await ada.get(f"{PATH}/{job['id']}")).json()["price"] == price


def test_addons_have_a_part_of_their_own() -> None:
    work = Work(
        base="sd15", width=512, height=512, steps=20, images=1, controlnets=2, ip_adapters=1
    )
    price = explain_price(work, load_price_book())
    assert [part.millicredits for part in price.parts] == [10_000, 8_000, 0]
    assert (price.area_factor, price.addons_factor, price.minimum_applied) == ("1", "1.8", False)


works = st.builds(
    Work,
    base=st.sampled_from(["demo", "sd15", "sdxl", "flux"]),
    width=st.integers(8, 256).map(lambda n: n * 8),
    height=st.integers(8, 256).map(lambda n: n * 8),
    steps=st.integers(1, 150),
    images=st.integers(1, 8),
    controlnets=st.integers(0, 3),
    ip_adapters=st.integers(0, 3),
)


@given(works)
def test_the_parts_are_the_quote_and_the_factors_explain_them(work: Work) -> None:
    price = explain_price(work, load_price_book())
    parts = {part.name: part.millicredits for part in price.parts}
    assert sum(parts.values()) == price.total_millicredits == quote(work)
    assert min(parts.values()) >= 0
    steps = price.images * price.steps * price.step_millicredits * Fraction(price.area_factor)
    assert parts["steps"] == ceil(steps)
    assert parts["steps"] + parts["addons"] == ceil(steps * Fraction(price.addons_factor))
    assert price.minimum_applied == (parts["minimum"] > 0)
    floor = price.images * price.minimum_image_millicredits
    assert price.total_millicredits == max(floor, ceil(steps * Fraction(price.addons_factor)))
