"""The servers of `./easel bench auth`: PostgreSQL, Redis, services, and what is compared."""

import asyncio
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from dev.parts.postgres import admin_url, make_cluster, postgres
from dev.parts.program import (
    LOOPBACK,
    Program,
    answers_http,
    free_port,
    services_python,
    start,
    stop,
    wait_ready,
)
from dev.parts.redis import redis
from dev.platform import MIGRATION_OWNERS
from libs.auth.passwords import HASHER
from libs.auth.signing_keys import SigningKeys, make_signing_key
from libs.auth.tokens import issue_access_token
from libs.db.migrate import migrate

PASSWORD = "bench"
ROLES = ("user", "generation", "model")
USERS = 500
LOGIN_PASSWORD = "correct horse battery"
CREDITS = 10**12
ADD_USER = """
    INSERT INTO identity.users
        (id, email, display_name, password_hash, created_at, email_verified_at)
    SELECT id, id || '@example.com', 'Bench', $2, now(), now() FROM unnest($1::uuid[]) id
"""
ADD_PLAN = """
    INSERT INTO ops.entitlements (user_id, tier) SELECT id, 'enterprise' FROM unnest($1::uuid[]) id
"""
ADD_CREDITS = f"""
    SELECT set_config('app.user_id', $1::uuid::text, false),
        credits.open_account($1, now()),
        credits.grant_credits($1, gen_random_uuid(), 'bench:' || $1::text, 'plan', {CREDITS},
            now() + interval '1 month', NULL)
"""


@dataclass
class Servers:
    """Ports and process ids by name, and the users with their tokens."""

    ports: dict[str, int] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    users: list[uuid.UUID] = field(default_factory=lambda: [uuid.uuid4() for _ in range(USERS)])
    tokens: list[str] = field(default_factory=list)


@contextmanager
def auth_servers(folder: Path) -> Iterator[Servers]:
    """Everything runs inside the block."""
    python, servers = services_python(), Servers()
    keys = folder / "keys"
    make_signing_key(keys, datetime.now(UTC) - timedelta(seconds=5))
    servers.tokens = [token_of(keys, user) for user in servers.users]
    with ExitStack() as stack:

        def run(program: Program) -> None:
            log = folder / f"{program.name}.log"
            process = start(program, log)
            stack.callback(stop, program, process)
            wait_ready(program, process, log, 60)
            servers.ports[program.name] = program.ports[0]
            servers.pids[program.name] = process.pid

        database, cache = free_port(), free_port()
        account = make_cluster(python, folder / "data", PASSWORD)
        run(postgres(python, database, folder / "data", account, durable=False))
        run(redis(python, cache, folder / "redis", PASSWORD, durable=False))
        asyncio.run(fill(database, servers))
        ports = {name: free_port() for name in ("user", "model", "generation", "probe", "hello")}
        for name, port in ports.items():
            run(service(python, name, port, settings(ports, database, cache, keys)))
        yield servers


def token_of(keys: Path, user: uuid.UUID) -> str:
    """An access token of the largest plan."""
    now = datetime.now(UTC)
    return issue_access_token(
        SigningKeys(keys).current(now),
        issuer="easel",
        user_id=user,
        session_id=uuid.uuid4(),
        tier="enterprise",
        now=now,
    )


def settings(ports: dict[str, int], database: int, cache: int, keys: Path) -> dict[str, str]:
    """What the services are told; their own database role is added by `service`."""
    user = f"http://{LOOPBACK}:{ports['user']}"
    return {
        "EASEL_LOG_LEVEL": "WARNING",
        "EASEL_REDIS_URL": f"redis://:{PASSWORD}@{LOOPBACK}:{cache}/0",
        "EASEL_JWKS_URL": f"{user}/api/v1/auth/.well-known/jwks.json",
        "EASEL_USER_SERVICE_URL": user,
        "EASEL_MODEL_SERVICE_URL": f"http://{LOOPBACK}:{ports['model']}",
        "EASEL_PUBLIC_URL": "http://localhost",
        "EASEL_SIGNING_KEYS": str(keys),
        "EASEL_LOGINS_PER_ADDRESS": "100000",
        "EASEL_BENCH_DATABASE": str(database),
    }


def service(python: str, name: str, port: int, shared: dict[str, str]) -> Program:
    """One application; the bare ones are `bench.auth_probe`."""
    is_ours = name in ROLES
    role = name if is_ours else "user"
    host = f"{LOOPBACK}:{shared['EASEL_BENCH_DATABASE']}"
    return Program(
        name=name,
        argv=[python, "-m", f"services.{name}.app" if is_ours else "bench.auth_probe"],
        env={
            **os.environ,
            **shared,
            "EASEL_PORT": str(port),
            "EASEL_PROBE": name,
            "EASEL_DATABASE_URL": f"postgresql+asyncpg://easel_{role}:{PASSWORD}@{host}/bench",
        },
        ports=[port],
        ready=lambda: answers_http(
            f"http://{LOOPBACK}:{port}/" + ("" if name == "hello" else "healthz")
        ),
    )


async def fill(port: int, servers: Servers) -> None:
    """Tables, roles, and users of the largest plan with credits and a password."""
    bare = await asyncpg.connect(admin_url(port, PASSWORD))
    await bare.execute("CREATE DATABASE bench")
    await bare.close()
    url = admin_url(port, PASSWORD, "bench")
    await migrate(url.replace("postgresql://", "postgresql+asyncpg://"), list(MIGRATION_OWNERS))
    connection = await asyncpg.connect(url)
    try:
        for role in ROLES:
            await connection.execute(f"ALTER ROLE easel_{role} PASSWORD '{PASSWORD}'")
        await connection.execute(ADD_USER, servers.users, HASHER.hash(LOGIN_PASSWORD))
        await connection.execute(ADD_PLAN, servers.users)
        for user in servers.users:
            await connection.fetchrow(ADD_CREDITS, user)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def credentials(user: uuid.UUID) -> bytes:
    """The body of a login."""
    return json.dumps({"email": f"{user}@example.com", "password": LOGIN_PASSWORD}).encode()
