"""The two tokens of a login: a signed one for 15 minutes, an opaque one for 30 days."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from libs.auth.tokens import SigningKey, issue_access_token

REFRESH_TOKEN_LIFETIME = timedelta(days=30)
REFRESH_TOKEN_BYTES = 32

Verdict = Literal["valid", "reused", "ended"]


@dataclass(frozen=True)
class TokenIssuer:
    """Signs access tokens in the platform's name."""

    key: SigningKey
    issuer: str

    def access_token(self, user_id: UUID, session_id: UUID, role: str, now: datetime) -> str:
        """A signed token that names the user, the login session and the role."""
        return issue_access_token(
            self.key,
            issuer=self.issuer,
            user_id=user_id,
            session_id=session_id,
            role=role,
            now=now,
        )


def make_refresh_token() -> str:
    """256 random bits, URL-safe."""
    return secrets.token_urlsafe(REFRESH_TOKEN_BYTES)


def hash_refresh_token(token: str) -> bytes:
    """What is stored of a refresh token. It is random, so one fast hash is enough."""
    return hashlib.sha256(token.encode()).digest()


def judge_refresh_token(
    *, used_at: datetime | None, expires_at: datetime, revoked_at: datetime | None, now: datetime
) -> Verdict:
    """Whether a known token may be exchanged.

    One that was exchanged before is in two hands: the thief's and the owner's (RFC 9700, 4.14.2).
    """
    if revoked_at is not None:
        return "ended"
    if used_at is not None:
        return "reused"
    return "valid" if now < expires_at else "ended"
