"""Signatures of Standard Webhooks 1.0.0 (its section "Signature scheme", symmetric).

`webhook-signature` is a list of `v1,<base64 of HMAC-SHA256>`, one for each secret that is valid,
over `{webhook-id}.{webhook-timestamp}.{body}`; a secret is `whsec_<base64>`.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32  # the specification asks for 24 to 64
SIGNATURE_VERSION = "v1"


def make_secret() -> str:
    """A new secret; shown once, to its owner."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature; `timestamp` is in Unix seconds. Raises ValueError for what is no secret."""
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError("a secret begins with whsec_")
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.digest(key, signed, hashlib.sha256)
    return f"{SIGNATURE_VERSION},{base64.b64encode(digest).decode()}"


def signed_headers(
    valid_secrets: Sequence[str], message_id: UUID, moment: datetime, body: bytes
) -> dict[str, str]:
    """The headers of one try: the id stays the same at every try, the timestamp is the try's."""
    timestamp = int(moment.timestamp())
    signatures = (sign(secret, str(message_id), timestamp, body) for secret in valid_secrets)
    return {
        "webhook-id": str(message_id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }
