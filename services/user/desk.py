"""What the verbs of accounts work with, made once in the composition root."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from libs.db.engine import Sessions
from libs.kernel.clock import Clock
from services.user.tokens import TokenIssuer


@dataclass(frozen=True)
class Desk:
    """`public_url` is our origin: the links in e-mails lead there.

    Passwords are hashed between transactions, so the verbs get the pool instead of one session.
    """

    pool: Sessions
    issuer: TokenIssuer
    public_url: str
    clock: Clock


def desk_of(request: Request) -> Desk:
    """The desk that the composition root made."""
    desk: Desk = request.app.state.desk
    return desk


CurrentDesk = Annotated[Desk, Depends(desk_of)]
