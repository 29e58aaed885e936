"""The tokens of a login: signed for 15 minutes, opaque for 30 days; and those of e-mails."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from libs.auth.principals import Role
from libs.auth.service_tokens import issue_service_token
from libs.auth.signing_keys import SigningKeys
from libs.auth.tokens import issue_access_token
from libs.tiers.catalogue import TierName

REFRESH_TOKEN_LIFETIME = timedelta(days=30)
SESSION_LIFETIME = timedelta(days=90)  # however often it is refreshed
OPAQUE_TOKEN_BYTES = 32

Verdict = Literal["valid", "reused", "ended"]


@dataclass(frozen=True)
class TokenIssuer:
    """Signs tokens in the platform's name, with the key that is in use at the moment."""

    keys: SigningKeys
    issuer: str

    def access_token(
        self,
        *,
        user_id: UUID,
        session_id: UUID,
        role: Role,
        tier: TierName,
        authenticated_at: datetime,
        now: datetime,
    ) -> str:
        """A token for 15 minutes of one login, which proved who it is at `authenticated_at`."""
        return issue_access_token(
            self.keys.current(now),
            issuer=self.issuer,
            user_id=user_id,
            session_id=session_id,
            role=role,
            tier=tier,
            authenticated_at=authenticated_at,
            now=now,
        )

    def service_token(self, audience: str, user_id: UUID, now: datetime) -> str:
        """A token by which this service asks another for something about a user, for a minute."""
        return issue_service_token(
            self.keys.current(now),
            issuer=self.issuer,
            service="user",
            audience=audience,
            user_id=user_id,
            now=now,
        )

    def public_keys(self, now: datetime) -> list[dict[str, Any]]:
        """The JSON Web Keys that verify what was and will be signed."""
        return [key.public_jwk() for key in self.keys.published(now)]


def make_opaque_token() -> str:
    """256 random bits, URL-safe: a refresh token, or what a link in an e-mail carries."""
    return secrets.token_urlsafe(OPAQUE_TOKEN_BYTES)


def hash_opaque_token(token: str) -> bytes:
    """What is stored of an opaque token. It is random, so one fast hash is enough."""
    return hashlib.sha256(token.encode()).digest()


def session_expires_at(created_at: datetime, refreshed_at: datetime) -> datetime:
    """When a login session ends by itself: 30 days without a use, and 90 days after the login."""
    return min(refreshed_at + REFRESH_TOKEN_LIFETIME, created_at + SESSION_LIFETIME)


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
