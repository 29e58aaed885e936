"""What the double sells: one product a plan, with a monthly and a yearly variant, and the packs."""

from dataclasses import dataclass
from typing import Literal

Interval = Literal["month", "year"]
TRIAL_DAYS = 7


@dataclass(frozen=True)
class Variant:
    """A price of a product; `interval` is None for what is paid once. Prices in cents (USD)."""

    id: int
    product_id: int
    product_name: str
    name: str
    price_cents: int
    interval: Interval | None = None
    trial_days: int = 0


def _plan(number: int, name: str, month_cents: int, year_cents: int) -> tuple[Variant, Variant]:
    product = number // 10 * 10
    title = f"Easel {name}"
    return (
        Variant(number, product, title, "Monthly", month_cents, "month", TRIAL_DAYS),
        Variant(number + 1, product, title, "Yearly", year_cents, "year", TRIAL_DAYS),
    )


VARIANTS: dict[int, Variant] = {
    variant.id: variant
    for variant in (
        *_plan(1001, "Starter", 25_00, 250_00),
        *_plan(1011, "Pro", 75_00, 750_00),
        *_plan(1021, "Studio", 150_00, 1_500_00),
        Variant(2001, 2001, "Easel credits, small pack (1,000)", "Default", 6_00),
        Variant(2002, 2002, "Easel credits, medium pack (5,000)", "Default", 28_00),
        Variant(2003, 2003, "Easel credits, large pack (20,000)", "Default", 100_00),
    )
}
PRODUCTS: dict[int, str] = {
    variant.product_id: variant.product_name for variant in VARIANTS.values()
}
