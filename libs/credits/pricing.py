"""The price of a generation: a pure function of the request (DOMAIN section 2).

`per image = max(1 credit, steps x s_model x (width x height / 512^2) x addons)`, rounded up to a
whole milli-credit once, at the end. Exact fractions in between; no floats touch money.
"""

from fractions import Fraction
from functools import cache
from math import ceil
from pathlib import Path

from pydantic import BaseModel, ConfigDict

MILLI = 1000


class PriceBook(BaseModel):
    """The numbers of the price formula."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    minimum_image_millicredits: int
    reference_pixels: int
    step_millicredits: dict[str, int]
    addon_permille: dict[str, int]


class Work(BaseModel):
    """What a request asks of the GPU."""

    model_config = ConfigDict(frozen=True)

    base: str
    width: int
    height: int
    steps: int
    images: int
    controlnets: int = 0
    ip_adapters: int = 0


@cache
def load_price_book() -> PriceBook:
    """The price book that ships with this build."""
    return PriceBook.model_validate_json(Path(__file__).with_name("price_book.json").read_bytes())


def step_price(work: Work, book: PriceBook) -> Fraction:
    """Milli-credits of one denoising step of one image, before the minimum."""
    addons = (
        MILLI
        + work.controlnets * book.addon_permille["controlnet"]
        + work.ip_adapters * book.addon_permille["ip_adapter"]
    )
    area = Fraction(work.width * work.height, book.reference_pixels)
    return book.step_millicredits[work.base] * area * Fraction(addons, MILLI)


def image_price(work: Work, book: PriceBook) -> Fraction:
    """Milli-credits of one finished image, exact."""
    return max(Fraction(book.minimum_image_millicredits), work.steps * step_price(work, book))


def quote(work: Work, book: PriceBook | None = None) -> int:
    """Milli-credits of the whole request: what is held when it is accepted."""
    return ceil(work.images * image_price(work, book or load_price_book()))


def executed_price(work: Work, executed_steps: int, book: PriceBook | None = None) -> int:
    """Milli-credits of the steps whose result was kept, over all images of the request.

    A full request costs its quote exactly; less costs the same share of it. Raises ValueError if
    more steps are claimed than the request has.
    """
    total_steps = work.images * work.steps
    if not 0 <= executed_steps <= total_steps:
        raise ValueError(f"{executed_steps} of {total_steps} steps")
    per_step = image_price(work, book or load_price_book()) / work.steps
    return ceil(executed_steps * per_step)


def format_credits(millicredits: int) -> str:
    """ "1.5" for 1500: what people read beside the `*_millicredits` member."""
    sign, whole = "-" if millicredits < 0 else "", abs(millicredits)
    decimals = f"{whole % MILLI:03d}".rstrip("0")
    return f"{sign}{whole // MILLI}{'.' + decimals if decimals else ''}"
