"""The shop as the local double of the provider sells it."""

import json
from typing import Any

from services.payment.settings import PaymentSettings

NOWHERE = "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"  # nothing connects
VARIANTS = {
    "starter:month": "1001",
    "starter:year": "1002",
    "pro:month": "1011",
    "pro:year": "1012",
    "studio:month": "1021",
    "studio:year": "1022",
    "pack:small": "2001",
    "pack:medium": "2002",
    "pack:large": "2003",
}
VARIANTS_JSON = json.dumps(VARIANTS)


def payment_settings(**given: Any) -> PaymentSettings:
    """Settings of which only what is given leads anywhere."""
    chosen: dict[str, Any] = {
        "port": 0,
        "database_url": NOWHERE,
        "billing_database_url": NOWHERE,
        "jwks_url": "http://issuer",
        "redis_url": "redis://127.0.0.1:1/0",  # away: nothing is counted
        "user_service_url": "http://user",
        "public_url": "https://easel.example",
        "lemon_squeezy_api_url": "http://127.0.0.1:9/v1",
        "lemon_squeezy_api_key": "local-api-key",
        "lemon_squeezy_store_id": "1",
        "lemon_squeezy_webhook_secret": "local-webhook-secret",
        "lemon_squeezy_variants": VARIANTS,
        **given,
    }
    return PaymentSettings(**chosen)
