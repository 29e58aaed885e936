"""The price of a request: a pure function of it and of a version of the price book.

`per image = max(1 credit, steps x s_model x (width x height / 512^2) x addons)`, rounded up to a
whole milli-credit once, at the end. Exact fractions in between; no floats touch money.
"""

from fractions import Fraction
from functools import cache
from math import ceil
from pathlib import Path

from pydantic import BaseModel, ConfigDict

MILLI = 1000
MEGAPIXEL = 1_000_000
CURRENT_VERSION = "2026-11-01"
PRICE_BOOKS = Path(__file__).with_name("price_books")


class PriceBook(BaseModel):
    """The numbers of the price formula. A published version never changes; a new price is a new
    file in price_books/, and a job keeps the version under which it was accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    minimum_image_millicredits: int
    reference_pixels: int
    step_millicredits: dict[str, int]
    addon_permille: dict[str, int]
    upscale_megapixel_millicredits: int
    external_request_millicredits: int


class Work(BaseModel):
    """What a request asks of the GPU. `steps` are those that are really run; an `upscale` is
    priced by the pixels of its output."""

    model_config = ConfigDict(frozen=True)

    base: str
    width: int
    height: int
    steps: int
    images: int
    controlnets: int = 0
    ip_adapters: int = 0
    upscale: bool = False


@cache
def load_price_book(version: str = CURRENT_VERSION) -> PriceBook:
    """A version of the price book. Raises FileNotFoundError for one that was never published."""
    return PriceBook.model_validate_json((PRICE_BOOKS / f"{version}.json").read_bytes())


def step_price(work: Work, book: PriceBook) -> Fraction:
    """Milli-credits of one denoising step of one image, before the minimum."""
    addons = (
        MILLI
        + work.controlnets * book.addon_permille["controlnet"]
        + work.ip_adapters * book.addon_permille["ip_adapter"]
    )
    area = Fraction(work.width * work.height, book.reference_pixels)
    return book.step_millicredits[work.base] * area * Fraction(addons, MILLI)


def output_price(work: Work, book: PriceBook) -> Fraction:
    """Milli-credits of the pixels of one upscaled image, before the minimum."""
    return Fraction(work.width * work.height, MEGAPIXEL) * book.upscale_megapixel_millicredits


def image_price(work: Work, book: PriceBook) -> Fraction:
    """Milli-credits of one finished image, exact."""
    exact = output_price(work, book) if work.upscale else work.steps * step_price(work, book)
    return max(Fraction(book.minimum_image_millicredits), exact)


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


def steps_from_image(base: str, steps: int, strength: float) -> int:
    """Steps that a picture which starts from an image really runs, `strength` (0..1) of the way.

    As diffusers counts them (`get_timesteps` of its image-to-image pipelines), in the same floats:
    rounded down, flux rounded up. 0 means that there is nothing to run.
    """
    if base == "flux":
        return steps - int(max(steps - min(steps * strength, steps), 0))
    return min(int(steps * strength), steps)


def external_price(requests: int = 1, book: PriceBook | None = None) -> int:
    """Milli-credits of requests that another provider's API serves."""
    return requests * (book or load_price_book()).external_request_millicredits


def format_credits(millicredits: int) -> str:
    """ "1.5" for 1500: what people read beside the `*_millicredits` member."""
    sign, whole = "-" if millicredits < 0 else "", abs(millicredits)
    decimals = f"{whole % MILLI:03d}".rstrip("0")
    return f"{sign}{whole // MILLI}{'.' + decimals if decimals else ''}"
