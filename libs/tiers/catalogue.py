"""The catalogue: every limit, gate and price of a plan, and the packs of credits, read once.

The numbers are DOMAIN section 1, and requests a minute; a number of that table anywhere else in
code is a defect.
"""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

TierName = Literal["free", "starter", "pro", "studio", "enterprise"]
Base = Literal["demo", "sd15", "sdxl", "flux"]
Pool = Literal["standard", "premium"]
Interval = Literal["month", "year"]
PackName = Literal["small", "medium", "large"]
DEFAULT_TIER: TierName = "free"


class Tier(BaseModel):
    """One plan. Credits are whole credits; None means unlimited, or by contract for a price."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: TierName
    price_month_cents: int | None
    price_year_cents: int | None
    trial_days: int
    contract: bool
    credits_month: int
    storage_bytes: int
    running_jobs: int
    waiting_jobs: int
    creates_per_hour: int | None
    requests_per_minute: int
    weight: int
    target_wait_p95_seconds: int
    bases: tuple[Base, ...]
    custom_lora: bool
    external_image_api: bool
    api_keys: bool
    public_posts_month: int | None
    gpu_pool: Pool

    @property
    def is_for_sale(self) -> bool:
        """Whether it can be bought online: it costs something, and the price is no contract's."""
        return bool(self.price_month_cents)

    def price_cents(self, interval: Interval) -> int | None:
        """The price of a month or a year."""
        return self.price_month_cents if interval == "month" else self.price_year_cents


class Pack(BaseModel):
    """Credits that are bought once, beside any plan, and do not expire. Whole credits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: PackName
    credits: int
    price_cents: int


class Anonymous(BaseModel):
    """What an address may do without a login."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: int


class Catalogue(BaseModel):
    """All plans and packs, from the smallest to the largest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    tiers: tuple[Tier, ...]
    anonymous: Anonymous
    packs: tuple[Pack, ...]

    def tier(self, name: TierName) -> Tier:
        """The plan of that name."""
        return next(tier for tier in self.tiers if tier.name == name)

    def pack(self, name: PackName) -> Pack:
        """The pack of that name."""
        return next(pack for pack in self.packs if pack.name == name)

    def rank(self, name: TierName) -> int:
        """Place of a plan, from the smallest to the largest."""
        return self.tiers.index(self.tier(name))

    def first_with_base(self, base: Base) -> Tier:
        """The smallest plan that may use models of a base."""
        return next(tier for tier in self.tiers if base in tier.bases)

    def first_with_api_keys(self) -> Tier:
        """The smallest plan that has personal API keys."""
        return next(tier for tier in self.tiers if tier.api_keys)


@cache
def load_catalogue() -> Catalogue:
    """The catalogue that ships with this build."""
    return Catalogue.model_validate_json(Path(__file__).with_name("catalogue.json").read_bytes())
