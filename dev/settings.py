"""What the processes of the local platform are told: their settings, from one setup."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dev.backing import BUCKET, REGION, Backing
from dev.mailbox import Mailbox
from dev.parts.program import LOOPBACK
from dev.ports import Ports
from dev.state import State

WORKER_CONCURRENCY = 4
MAIL_FROM = "Easel <mail@easel.example>"
# Settings that a developer may hand to every process.
PASSED_ON = ("EASEL_LOG_LEVEL",)
STORE_ID = "1"
# On one machine everybody has one address, and tests sign up by the dozen.
LOGIN_LIMITS = {
    "EASEL_LOGINS_PER_ADDRESS": "100000",
    "EASEL_LOGINS_PER_ACCOUNT": "1000",
    "EASEL_LOGINS_PER_ACCOUNT_AND_ADDRESS": "1000",
    "EASEL_LETTERS_PER_ADDRESS": "100000",
    "EASEL_REFRESHES_PER_ADDRESS": "100000",
}
# What the Lemon Squeezy double sells under which variant.
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
# How this platform is registered at the doubles of Google and Discord.
GOOGLE_CLIENT_ID = "easel-local.apps.googleusercontent.example"
DISCORD_CLIENT_ID = "157730590492196864"
WEBHOOK_PATH = "/api/v1/payments/webhooks/lemon-squeezy"


@dataclass(frozen=True)
class Setup:
    """What every process is made from."""

    state: State
    ports: Ports
    secrets: Mapping[str, str]
    backing: Backing
    python: str
    inference_python: str

    @property
    def public_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['gateway']}"

    @property
    def lemon_squeezy_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['lemon_squeezy']}"

    @property
    def openid_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['openid']}"

    @property
    def discord_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['discord']}"

    @property
    def pages(self) -> Mapping[str, str]:
        """What a person may open beside the API: name -> address."""
        return {"e-mails": self.backing.mail_url, "payments": self.lemon_squeezy_url}

    @property
    def signing_keys(self) -> Path:
        """The folder of the keys that sign tokens."""
        return self.state.secrets / "signing-keys"

    @property
    def mailbox(self) -> Mailbox:
        """The e-mails that the platform has sent."""
        return Mailbox(self.backing.mail_url, self.backing.mail_api)

    def database_url(self, role: str) -> str:
        """The URL of a login role: `database_url("payment")`."""
        return self.backing.database_url(f"easel_{role}", self.secrets[f"easel_{role}"])


def shared_settings(setup: Setup) -> dict[str, str]:
    """Settings that are the same for every process."""
    ports, backing = setup.ports, setup.backing
    return {
        "EASEL_LOG_LEVEL": "INFO",
        "EASEL_HOST": LOOPBACK,
        "EASEL_PUBLIC_URL": setup.public_url,
        "EASEL_REDIS_URL": backing.redis_url,
        "EASEL_S3_ENDPOINT_URL": backing.s3_endpoint_url,
        "EASEL_S3_PUBLIC_ENDPOINT_URL": setup.public_url,
        "EASEL_S3_BUCKET_IMAGES": BUCKET,
        "EASEL_S3_ACCESS_KEY_ID": backing.s3_access_key_id,
        "EASEL_S3_SECRET_ACCESS_KEY": backing.s3_secret_access_key,
        "EASEL_S3_REGION": REGION,
        "EASEL_JWKS_URL": f"http://{LOOPBACK}:{ports['user']}/api/v1/auth/.well-known/jwks.json",
        **{
            f"EASEL_{name.upper()}_SERVICE_URL": f"http://{LOOPBACK}:{ports[name]}"
            for name in ("user", "payment", "generation", "gallery", "model")
        },
        "EASEL_TRITON_GRPC_URL": f"{LOOPBACK}:{ports['triton_grpc']}",
        # webhooks of developers lead to their own machine
        "EASEL_WEBHOOKS_ALLOW_PRIVATE": "1",
        "EASEL_WORKER_POOL": "premium,standard",
        "EASEL_WORKER_CONCURRENCY": str(WORKER_CONCURRENCY),
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
    }


def settings_of(setup: Setup, role: str, **own: str) -> dict[str, str]:
    """Settings of a process that logs in to the database as `role`."""
    return {**shared_settings(setup), "EASEL_DATABASE_URL": setup.database_url(role), **own}


def provider_settings(setup: Setup) -> dict[str, str]:
    """Where payment and billing find Lemon Squeezy: here, its double."""
    return {
        "EASEL_LEMON_SQUEEZY_API_URL": f"{setup.lemon_squeezy_url}/v1",
        "EASEL_LEMON_SQUEEZY_API_KEY": setup.secrets["lemon_squeezy_api_key"],
        "EASEL_LEMON_SQUEEZY_STORE_ID": STORE_ID,
        "EASEL_LEMON_SQUEEZY_VARIANTS": json.dumps(VARIANTS),
    }


def service_settings(setup: Setup, name: str) -> dict[str, str]:
    """What one service has beyond the others."""
    if name == "user":
        keys = {"EASEL_SIGNING_KEYS": str(setup.signing_keys)}
        return {**keys, **LOGIN_LIMITS, **sign_in_settings(setup)}
    if name == "payment":
        return {
            **provider_settings(setup),
            "EASEL_LEMON_SQUEEZY_WEBHOOK_SECRET": setup.secrets["lemon_squeezy_webhook_secret"],
            "EASEL_BILLING_DATABASE_URL": setup.database_url("billing"),
        }
    return {}


def worker_settings(setup: Setup) -> dict[str, str]:
    """What the GPU worker has beyond the others: ways to mend its Triton."""
    return {
        "EASEL_TRITON_CONTROL_KEY": setup.secrets["triton_control_key"],
        "EASEL_WORKER_RESTART_TRITON": shlex.join([setup.python, "-m", "dev.restart_triton"]),
        "EASEL_STATE_DIR": str(setup.state.home),
    }


def account_settings(setup: Setup) -> dict[str, str]:
    """What the account worker has: keys to sign its questions to the services with."""
    return {"EASEL_SIGNING_KEYS": str(setup.signing_keys)}


def sign_in_settings(setup: Setup) -> dict[str, str]:
    """Where the user service finds Google and Discord: here, their doubles."""
    return {
        "EASEL_GOOGLE_CLIENT_ID": GOOGLE_CLIENT_ID,
        "EASEL_GOOGLE_CLIENT_SECRET": setup.secrets["google_client_secret"],
        "EASEL_GOOGLE_ISSUER": setup.openid_url,
        "EASEL_GOOGLE_LABEL": "Google (local)",
        "EASEL_DISCORD_CLIENT_ID": DISCORD_CLIENT_ID,
        "EASEL_DISCORD_CLIENT_SECRET": setup.secrets["discord_client_secret"],
        "EASEL_DISCORD_BASE_URL": setup.discord_url,
        "EASEL_DISCORD_LABEL": "Discord (local)",
    }


def sign_in_double_settings(setup: Setup, name: str) -> dict[str, str]:
    """What the double of `google` or `discord` is told of the one application that it knows."""
    part, client_id = {
        "google": ("openid", GOOGLE_CLIENT_ID),
        "discord": ("discord", DISCORD_CLIENT_ID),
    }[name]
    variable = f"EASEL_{name.upper()}"
    return {
        f"EASEL_{part.upper()}_PORT": str(setup.ports[part]),
        f"{variable}_CLIENT_ID": client_id,
        f"{variable}_CLIENT_SECRET": setup.secrets[f"{name}_client_secret"],
        f"{variable}_REDIRECT_URI": f"{setup.public_url}/api/v1/auth/oauth/{name}/callback",
    }


def mail_settings(setup: Setup) -> dict[str, str]:
    """Where e-mails go: the catcher, which asks for neither encryption nor a password."""
    host, _, port = setup.backing.smtp_address.rpartition(":")
    return {
        "EASEL_MAIL_TRANSPORT": "smtp",
        "EASEL_MAIL_FROM": MAIL_FROM,
        "EASEL_SMTP_HOST": host,
        "EASEL_SMTP_PORT": port,
        "EASEL_SMTP_TLS": "none",
    }


def double_settings(setup: Setup) -> dict[str, str]:
    """What the Lemon Squeezy double is told; it calls back through the gateway."""
    return {
        "EASEL_LS_PORT": str(setup.ports["lemon_squeezy"]),
        "EASEL_LS_WEBHOOK_URL": setup.public_url + WEBHOOK_PATH,
        "EASEL_LS_WEBHOOK_SECRET": setup.secrets["lemon_squeezy_webhook_secret"],
        "EASEL_LS_API_KEY": setup.secrets["lemon_squeezy_api_key"],
        "EASEL_LS_STORE_ID": STORE_ID,
        "EASEL_LS_STATE": str(setup.state.data / "lemon-squeezy.json"),
    }
