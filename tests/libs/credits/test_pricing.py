import csv
from fractions import Fraction
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.credits.pricing import (
    CURRENT_VERSION,
    PRICE_BOOKS,
    Work,
    executed_price,
    external_price,
    format_credits,
    load_price_book,
    quote,
    steps_from_image,
)

# One table a published version, worked out from DOMAIN section 2 apart from the code.
GOLDEN = sorted(Path(__file__).with_name("golden").glob("*.csv"))
works = st.builds(
    Work,
    base=st.sampled_from(["demo", "sd15", "sdxl", "flux"]),
    width=st.integers(8, 256).map(lambda n: n * 8),
    height=st.integers(8, 256).map(lambda n: n * 8),
    steps=st.integers(1, 150),
    images=st.integers(1, 8),
    controlnets=st.integers(0, 3),
    ip_adapters=st.integers(0, 3),
    upscale=st.booleans(),
)


@pytest.mark.parametrize("table", GOLDEN, ids=lambda table: table.stem)
def test_a_published_version_keeps_its_prices(table: Path) -> None:
    book = load_price_book(table.stem)
    assert book.version == table.stem
    for row in csv.DictReader(table.read_text().splitlines()):
        price = int(row.pop("millicredits"))
        assert (row, quote(Work.model_validate(row), book)) == (row, price)


def test_every_published_version_has_a_golden_table_and_the_current_one_is_published() -> None:
    published = {file.stem for file in PRICE_BOOKS.glob("*.json")}
    assert published == {table.stem for table in GOLDEN}
    assert load_price_book().version == CURRENT_VERSION in published
    with pytest.raises(FileNotFoundError):
        load_price_book("1999-01-01")


@pytest.mark.parametrize(
    ("width", "height", "images", "price"),
    [(1024, 1024, 1, 2_098), (2048, 2048, 1, 8_389), (2048, 2048, 3, 25_166), (64, 64, 2, 2_000)],
)
def test_upscales_cost_by_the_pixels_of_the_output(
    width: int, height: int, images: int, price: int
) -> None:
    work = Work(base="sdxl", width=width, height=height, steps=20, images=images, upscale=True)
    assert quote(work) == price
    assert executed_price(work, 20 * images) == price


def test_an_external_request_costs_twenty_credits() -> None:
    assert external_price() == 20_000
    assert external_price(3) == 60_000


@pytest.mark.parametrize(
    ("base", "steps", "strength", "runs"),
    [
        ("sd15", 20, 0.7, 14),
        ("sd15", 10, 0.7, 7),  # 6 in exact fractions: the engine counts in floats
        ("sdxl", 20, 1.0, 20),
        ("sd15", 30, 0.33, 9),
        ("flux", 30, 0.33, 10),
        ("flux", 20, 1.0, 20),
        ("demo", 20, 0.04, 0),
    ],
)
def test_a_picture_from_an_image_counts_the_steps_that_it_runs(
    base: str, steps: int, strength: float, runs: int
) -> None:
    assert steps_from_image(base, steps, strength) == runs


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
