"""Answers about what can be bought."""

from pydantic import BaseModel

from libs.tiers.catalogue import Pack, Tier


class PlansAnswer(BaseModel):
    """All plans and packs, from the smallest to the largest; a null price is by contract.

    A pack is bought once, beside any plan; its credits do not expire.
    """

    version: str
    currency: str = "USD"
    plans: tuple[Tier, ...]
    packs: tuple[Pack, ...]
