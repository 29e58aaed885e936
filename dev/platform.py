"""The processes of the local platform, with the settings that each is given."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dev.backing import BUCKET, REGION, Backing
from dev.local_secrets import LOGIN_ROLES
from dev.parts.caddy import caddy
from dev.parts.program import LOOPBACK, Program, answers_http
from dev.parts.triton import TritonPorts, is_ready
from dev.ports import Ports
from dev.run_triton import EXIT_SECONDS
from dev.state import ROOT, State

SERVICES = ("user", "payment", "generation", "gallery", "model")
WORKER_CONCURRENCY = 4
WORKER_STOP_SECONDS = 25
# Order matters: later histories build on earlier ones. A service without tables has none.
MIGRATION_OWNERS = (
    "libs.db",
    "libs.audit",
    "libs.jobs",
    "libs.web",
    "libs.tiers",
    "libs.mail",
    "libs.credits",
    "services.user",
    "services.payment",
    "services.model",
    "services.gallery",
    "services.generation",
)
# Settings that a developer may hand to every process.
PASSED_ON = ("EASEL_LOG_LEVEL",)


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
    def pages(self) -> Mapping[str, str]:
        """What a person may open beside the API: name -> address."""
        return {"e-mails": self.backing.mail_url}

    @property
    def signing_key_file(self) -> str:
        return str(self.state.secrets / "signing-key.pem")


def shared_settings(setup: Setup) -> dict[str, str]:
    """Settings that are the same for every process."""
    ports, backing = setup.ports, setup.backing
    return {
        "EASEL_LOG_LEVEL": "INFO",
        "EASEL_HOST": LOOPBACK,
        "EASEL_REDIS_URL": backing.redis_url,
        "EASEL_S3_ENDPOINT_URL": backing.s3_endpoint_url,
        "EASEL_S3_PUBLIC_ENDPOINT_URL": setup.public_url,
        "EASEL_S3_BUCKET_IMAGES": BUCKET,
        "EASEL_S3_ACCESS_KEY_ID": backing.s3_access_key_id,
        "EASEL_S3_SECRET_ACCESS_KEY": backing.s3_secret_access_key,
        "EASEL_S3_REGION": REGION,
        "EASEL_JWKS_URL": f"http://{LOOPBACK}:{ports['user']}/api/v1/auth/.well-known/jwks.json",
        "EASEL_MODEL_SERVICE_URL": f"http://{LOOPBACK}:{ports['model']}",
        "EASEL_TRITON_GRPC_URL": f"{LOOPBACK}:{ports['triton_grpc']}",
        "EASEL_WORKER_POOL": "premium,standard",
        "EASEL_WORKER_CONCURRENCY": str(WORKER_CONCURRENCY),
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
    }


def _settings_of(setup: Setup, role: str, **own: str) -> dict[str, str]:
    url = setup.backing.database_url(f"easel_{role}", setup.secrets[f"easel_{role}"])
    return {**shared_settings(setup), "EASEL_DATABASE_URL": url, **own}


def service(setup: Setup, name: str) -> Program:
    """One HTTP service; ready when its needs answer too."""
    port = setup.ports[name]
    own = {"EASEL_SIGNING_KEY_FILE": setup.signing_key_file} if name == "user" else {}
    return Program(
        name=name,
        argv=[setup.python, "-m", f"services.{name}.app"],
        env=_settings_of(setup, name, EASEL_PORT=str(port), **own),
        ports=[port],
        ready=lambda: answers_http(f"http://{LOOPBACK}:{port}/readyz", timeout=3.0),
    )


def background(setup: Setup, name: str, stop_seconds: int, **own: str) -> Program:
    """The worker or the relay: health and metrics on a port, no API."""
    port = setup.ports[name]
    return Program(
        name=name,
        argv=[setup.python, "-m", f"services.generation.{name}"],
        env=_settings_of(setup, name, EASEL_METRICS_PORT=str(port), **own),
        ports=[port],
        ready=lambda: answers_http(f"http://{LOOPBACK}:{port}/healthz"),
        stop_seconds=stop_seconds,
    )


def triton(setup: Setup) -> Program:
    """The inference server with the engine; its threads are the machine's cores."""
    names = ("triton_http", "triton_grpc", "triton_metrics", "triton_engine")
    ports = [setup.ports[name] for name in names]
    return Program(
        name="triton",
        argv=[setup.python, "-m", "dev.run_triton"],
        env={
            "EASEL_INFERENCE_PYTHON": setup.inference_python,
            "EASEL_TRITON_STATE": str(setup.state.triton),
            "EASEL_TRITON_PORTS": ",".join(map(str, ports)),
            "EASEL_TRITON_CONTROL_KEY": setup.secrets["triton_control_key"],
            "EASEL_TRITON_THREADS": str(os.cpu_count() or 1),
            "EASEL_TRITON_MODELS_DIR": os.environ.get("EASEL_MODELS_DIR", ""),
        },
        ports=ports,
        ready=lambda: is_ready(TritonPorts(*ports)),
        stop_seconds=EXIT_SECONDS + 2,
    )


def front_programs(setup: Setup) -> Sequence[Program]:
    """What needs only addresses to start: services and the gateway."""
    storage = setup.state.run / "caddy"
    gateway = caddy(setup.python, setup.ports, storage, setup.backing.s3_address, BUCKET)
    return (*(service(setup, name) for name in SERVICES), gateway)


def background_programs(setup: Setup) -> Sequence[Program]:
    """What reads the tables from its first moment: worker and relay."""
    key = setup.secrets["triton_control_key"]
    return (
        background(setup, "worker", WORKER_STOP_SECONDS, EASEL_TRITON_CONTROL_KEY=key),
        background(setup, "relay", 10),
    )


def preparation(setup: Setup) -> tuple[list[str], dict[str, str]]:
    """Command and settings that bring database, roles and bucket up to date."""
    passwords = {role: setup.secrets[role] for role in LOGIN_ROLES}
    settings = {
        **shared_settings(setup),
        "EASEL_ADMIN_DATABASE_URL": setup.backing.admin_database_url,
        "EASEL_ROLE_PASSWORDS": json.dumps(passwords),
    }
    owners = [name for name in MIGRATION_OWNERS if _has_migrations(name)]
    return [setup.python, "-m", "dev.prepare", *owners], settings


def _has_migrations(owner: str) -> bool:
    return (ROOT.joinpath(*owner.split(".")) / "migrations").is_dir()
