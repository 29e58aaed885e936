"""A price, taken apart so that its parts add up to it exactly."""

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import Any

from libs.credits.pricing import (
    PriceBook,
    Work,
    format_credits,
    load_price_book,
    output_price,
    quote,
    step_price,
)
from services.generation.schemas import PriceBreakdown, PricePart


@lru_cache(maxsize=4096)
def price_now(work: Work) -> PriceBreakdown:
    """The breakdown by the present price book, remembered: it is the same for everybody."""
    return explain_price(work, load_price_book())


def dump_price(breakdown: PriceBreakdown) -> dict[str, Any]:
    """A breakdown as JSON."""
    return breakdown.model_dump(mode="json")


def explain_price(work: Work, book: PriceBook) -> PriceBreakdown:
    """The breakdown of `quote(work, book)`.

    The exact price before and after each rule is rounded up like the quote, and a part is the
    difference: so no fraction is lost between the parts.
    """
    plain = work.model_copy(update={"controlnets": 0, "ip_adapters": 0})
    all_steps = work.images * work.steps
    total, minimum = quote(work, book), book.minimum_image_millicredits
    upto_steps = ceil(all_steps * step_price(plain, book))
    upto_addons = ceil(all_steps * step_price(work, book))
    if work.upscale:
        upto_steps = upto_addons = ceil(work.images * output_price(work, book))
    step = book.step_millicredits[work.base]
    pixels = work.width * work.height
    return PriceBreakdown(
        price_version=book.version,
        images=work.images,
        steps=work.steps,
        step_millicredits=step,
        step_credits=format_credits(step),
        pixels=pixels,
        reference_pixels=book.reference_pixels,
        area_factor=format_factor(Fraction(pixels, book.reference_pixels)),
        megapixel_millicredits=book.upscale_megapixel_millicredits if work.upscale else None,
        addons_factor=format_factor(step_price(work, book) / step_price(plain, book)),
        minimum_image_millicredits=minimum,
        minimum_image_credits=format_credits(minimum),
        minimum_applied=total > upto_addons,
        parts=[
            price_part("pixels" if work.upscale else "steps", upto_steps),
            price_part("addons", upto_addons - upto_steps),
            price_part("minimum", total - upto_addons),
        ],
        total_millicredits=total,
        total_credits=format_credits(total),
    )


def price_part(name: str, millicredits: int) -> PricePart:
    """A part with its readable amount."""
    credits = format_credits(millicredits)
    return PricePart.model_validate(
        {"name": name, "millicredits": millicredits, "credits": credits}
    )


def format_factor(factor: Fraction) -> str:
    """A factor as a plain decimal, exact for areas: "0.015625"."""
    return f"{(Decimal(factor.numerator) / factor.denominator).normalize():f}"
