"""What is sold, and under which of the provider's variants."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from libs.tiers.catalogue import Interval, PackName, TierName, load_catalogue

INTERVALS: tuple[Interval, ...] = ("month", "year")


@dataclass(frozen=True)
class PlanOffer:
    """A plan, renewed every interval."""

    tier: TierName
    interval: Interval

    @property
    def key(self) -> str:
        """Its name in the settings: `pro:year`."""
        return f"{self.tier}:{self.interval}"

    @property
    def price_cents(self) -> int:
        """The catalogue's price, without taxes."""
        return load_catalogue().tier(self.tier).price_cents(self.interval) or 0


@dataclass(frozen=True)
class PackOffer:
    """A pack of credits, bought once."""

    pack: PackName

    @property
    def key(self) -> str:
        """Its name in the settings: `pack:small`."""
        return f"pack:{self.pack}"

    @property
    def price_cents(self) -> int:
        """The catalogue's price, without taxes."""
        return load_catalogue().pack(self.pack).price_cents


Offer = PlanOffer | PackOffer


def all_offers() -> Iterator[Offer]:
    """Every plan and pack of the catalogue that can be bought online."""
    catalogue = load_catalogue()
    for tier in catalogue.tiers:
        if tier.is_for_sale:
            yield from (PlanOffer(tier.name, interval) for interval in INTERVALS)
    yield from (PackOffer(pack.name) for pack in catalogue.packs)


class Shelf:
    """Offers by the provider's variants and back."""

    def __init__(self, variants: Mapping[str, str]) -> None:
        """`variants`: the variant id of every offer's key, each another.

        Raises ValueError for a key that is missing or unknown, or an id that is there twice.
        """
        offers = {offer.key: offer for offer in all_offers()}
        if difference := set(variants) ^ set(offers):
            raise ValueError(f"missing or unknown: {', '.join(sorted(difference))}")
        if len(set(variants.values())) != len(variants):
            raise ValueError("one variant for two offers")
        self._variants = dict(variants)
        self._offers = {variants[key]: offer for key, offer in offers.items()}

    def variant_of(self, offer: Offer) -> str:
        """The variant under which an offer is sold."""
        return self._variants[offer.key]

    def offer_of(self, variant_id: str) -> Offer | None:
        """What a variant sells; None for one that is not ours."""
        return self._offers.get(variant_id)
