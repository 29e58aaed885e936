from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.credits.pricing import Work, executed_price, format_credits, quote

# Worked out by hand from DOMAIN section 2.
GOLDEN = [
    (Work(base="demo", width=64, height=64, steps=20, images=1), 1_000),  # the minimum
    (Work(base="demo", width=64, height=64, steps=20, images=4), 4_000),
    (Work(base="sd15", width=512, height=512, steps=20, images=1), 10_000),
    (Work(base="sd15", width=512, height=768, steps=30, images=2), 45_000),
    (Work(base="sdxl", width=1024, height=1024, steps=30, images=1), 90_000),
    (Work(base="flux", width=1024, height=1024, steps=28, images=1), 112_000),
    (Work(base="sd15", width=512, height=512, steps=20, images=1, controlnets=1), 13_000),
    (
        Work(base="sd15", width=512, height=512, steps=20, images=1, controlnets=2, ip_adapters=1),
        18_000,
    ),
    (Work(base="sd15", width=520, height=512, steps=7, images=3), 10_665),  # 10,664.06 rounded up
]
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


@pytest.mark.parametrize(("work", "price"), GOLDEN)
def test_golden_prices(work: Work, price: int) -> None:
    assert quote(work) == price


@given(works)
def test_everything_executed_costs_the_quote_and_nothing_costs_nothing(work: Work) -> None:
    assert executed_price(work, work.images * work.steps) == quote(work)
    assert executed_price(work, 0) == 0


@given(works, st.data())
def test_a_part_costs_its_share_rounded_up_once(work: Work, data: st.DataObject) -> None:
    total = work.images * work.steps
    done = data.draw(st.integers(0, total))
    price = executed_price(work, done)
    assert price <= quote(work)
    exact_quote = max(Fraction(1000), Fraction(quote(work) - 1))
    assert price >= ceil(exact_quote * done / total) - 1


def test_more_steps_than_asked_for_are_refused() -> None:
    with pytest.raises(ValueError, match="21 of 20"):
        executed_price(Work(base="demo", width=64, height=64, steps=20, images=1), 21)


@pytest.mark.parametrize(
    ("millicredits", "text"), [(0, "0"), (1, "0.001"), (1500, "1.5"), (-20, "-0.02"), (7000, "7")]
)
def test_credits_are_shown_without_rounding(millicredits: int, text: str) -> None:
    assert format_credits(millicredits) == text
