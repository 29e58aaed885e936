"""The processes of the local platform."""

import json
import os
from collections.abc import Mapping, Sequence

from dev.backing import BUCKET
from dev.local_secrets import LOGIN_ROLES
from dev.parts.caddy import caddy
from dev.parts.program import LOOPBACK, Program, answers_http
from dev.parts.triton import TritonPorts, is_ready
from dev.run_triton import EXIT_SECONDS
from dev.settings import (
    Setup,
    account_settings,
    double_settings,
    mail_settings,
    provider_settings,
    service_settings,
    settings_of,
    shared_settings,
    sign_in_double_settings,
    worker_settings,
)
from dev.state import ROOT

SERVICES = ("user", "payment", "generation", "gallery", "model")
WORKER_STOP_SECONDS = 25
# Order matters: later histories build on earlier ones. A service without tables has none.
MIGRATION_OWNERS = (
    "libs.db",
    "libs.audit",
    "libs.jobs",
    "libs.web",
    "libs.tiers",
    "libs.mail",
    "libs.auth",
    "libs.credits",
    "libs.webhooks",
    "services.user",
    "services.payment",
    "services.model",
    "services.gallery",
    "services.generation",
)


def service(setup: Setup, name: str) -> Program:
    """One HTTP service; ready when its needs answer too."""
    port = setup.ports[name]
    own = service_settings(setup, name)
    return Program(
        name=name,
        argv=[setup.python, "-m", f"services.{name}.app"],
        env=settings_of(setup, name, EASEL_PORT=str(port), **own),
        ports=[port],
        ready=lambda: answers_http(f"http://{LOOPBACK}:{port}/readyz", timeout=3.0),
    )


def background(
    setup: Setup, name: str, module: str, own: Mapping[str, str], stop_seconds: int = 10
) -> Program:
    """A process without an API: metrics, which tell that it lives, on a port."""
    port = setup.ports[name]
    return Program(
        name=name,
        argv=[setup.python, "-m", module],
        env=settings_of(setup, name, EASEL_METRICS_PORT=str(port), **own),
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


def lemon_squeezy(setup: Setup) -> Program:
    """The double of the payment provider: its API, a checkout to click, a dashboard."""
    return Program(
        name="lemon-squeezy",
        argv=[setup.python, "-m", "libs.testkit.lemon_squeezy.server"],
        env=double_settings(setup),
        ports=[setup.ports["lemon_squeezy"]],
        ready=lambda: answers_http(f"{setup.lemon_squeezy_url}/health"),
    )


def sign_in_double(setup: Setup, part: str, provider: str) -> Program:
    """The double of a sign-in provider: its protocol, and a page with accounts to choose from."""
    port = setup.ports[part]
    return Program(
        name=part,
        argv=[setup.python, "-m", f"libs.testkit.{part}.server"],
        env=sign_in_double_settings(setup, provider),
        ports=[port],
        ready=lambda: answers_http(f"http://{LOOPBACK}:{port}/health"),
    )


def studio(setup: Setup) -> Program:
    """The web pages; they need no other part to start."""
    port = setup.ports["studio"]
    return Program(
        name="studio",
        argv=[setup.python, "-m", "services.studio.app"],
        env={**shared_settings(setup), "EASEL_PORT": str(port)},
        ports=[port],
        ready=lambda: answers_http(f"http://{LOOPBACK}:{port}/healthz"),
    )


def front_programs(setup: Setup) -> Sequence[Program]:
    """What needs only addresses to start: services, pages, the gateway, the outside providers."""
    storage = setup.state.run / "caddy"
    gateway = caddy(setup.python, setup.ports, storage, setup.backing.s3_address, BUCKET)
    return (
        *(service(setup, name) for name in SERVICES),
        studio(setup),
        gateway,
        lemon_squeezy(setup),
        sign_in_double(setup, "openid", "google"),
        sign_in_double(setup, "discord", "discord"),
    )


def background_programs(setup: Setup) -> Sequence[Program]:
    """What reads the tables from its first moment."""
    money = {**provider_settings(setup), **mail_settings(setup)}
    return (
        background(
            setup,
            "worker",
            "services.generation.worker",
            worker_settings(setup),
            WORKER_STOP_SECONDS,
        ),
        background(setup, "relay", "services.generation.relay", {}),
        background(setup, "billing", "services.payment.worker", money),
        background(setup, "account", "services.user.worker", account_settings(setup)),
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
