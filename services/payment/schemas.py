"""Answers of the payment API. Amounts are milli-credits, with a readable text beside them."""

from datetime import datetime
from uuid import UUID

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


class GrantAnswer(BaseModel):
    """Credits that were given at once; they are spent in the order shown."""

    id: UUID
    kind: str
    amount_millicredits: int
    remaining_millicredits: int
    remaining_credits: str
    expires_at: datetime | None
    created_at: datetime


class BalanceAnswer(BaseModel):
    """`total` is `available` and `held` together; `held` belongs to jobs that have not ended."""

    total_millicredits: int
    total_credits: str
    held_millicredits: int
    held_credits: str
    available_millicredits: int
    available_credits: str
    grants: list[GrantAnswer]


class TransactionAnswer(BaseModel):
    """One movement. `amount` is what it changed in the available credits; captures change none.

    `reference` is the generation, or the grant.
    """

    id: int
    kind: str
    amount_millicredits: int
    amount_credits: str
    captured_millicredits: int
    reference: UUID
    created_at: datetime
