"""Secrets of one local platform: generated once, readable by their owner only."""

import json
import secrets
from pathlib import Path

LOGIN_ROLES = (
    "easel_user",
    "easel_payment",
    "easel_generation",
    "easel_gallery",
    "easel_model",
    "easel_worker",
    "easel_relay",
    "easel_billing",
    "easel_account",
)
NAMES = (
    "postgres_superuser",
    "redis",
    "s3_access_key_id",
    "s3_secret_access_key",
    "triton_control_key",
    "lemon_squeezy_api_key",
    "lemon_squeezy_webhook_secret",
    "google_client_secret",
    "discord_client_secret",
    "demo_password",
    "admin_password",
    *LOGIN_ROLES,
)
BYTES = 18


def load_or_make(folder: Path) -> dict[str, str]:
    """Name -> secret, in letters, digits, `-` and `_`; what is missing is made and kept."""
    file = folder / "secrets.json"
    known = dict(json.loads(file.read_text())) if file.exists() else {}
    missing = [name for name in NAMES if name not in known]
    if missing:
        # A leading dash would look like an option on a command line.
        known |= {name: "e" + secrets.token_urlsafe(BYTES) for name in missing}
        file.touch(mode=0o600)
        file.write_text(json.dumps(known, indent=1) + "\n")
    return known
