"""All services on real PostgreSQL, Redis and S3, each on a loopback port, in this process."""

import asyncio
import secrets
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn
from fastapi import FastAPI
from sqlalchemy import CursorResult, text
from starlette.applications import Starlette

from dev.parts.program import LOOPBACK, free_port
from libs.auth.signing_keys import make_signing_key
from libs.db.engine import Sessions, build_engine, build_sessions
from libs.storage.objects import ObjectStore, StorageSettings
from libs.testkit.lemon_squeezy.client import DoubleClient
from libs.testkit.lemon_squeezy.fixture import serving as serving_shop
from libs.testkit.lemon_squeezy.runtime import Settings
from libs.testkit.oauth.browser import serving as serving_provider
from libs.testkit.openid.fixture import GOOGLE
from libs.testkit.openid.server import Settings as OpenIdSettings
from libs.testkit.openid.server import create_app
from libs.testkit.postgres import TEMPLATE, Database, Server, execute, run_apart
from tests.services.payment.shop import VARIANTS
from tests.stack.services import SERVICES, build_apps

START_SECONDS = 20.0
WEBHOOKS = "/api/v1/payments/webhooks/lemon-squeezy"
UNLIMITED = 10**6
THROTTLES = (  # what they do has tests of its own
    "logins_per_address",
    "logins_per_account",
    "logins_per_account_and_address",
    "letters_per_address",
    "letters_per_account",
    "refreshes_per_address",
)
T = TypeVar("T")


@dataclass(frozen=True)
class Stack:
    """The running services and what they stand on."""

    database: Database
    store: ObjectStore
    redis_url: str
    signing_keys: Path
    apps: Mapping[str, FastAPI]
    urls: Mapping[str, str]
    loop: asyncio.AbstractEventLoop
    admin: Sessions
    provider: DoubleClient
    pools: dict[str, Sessions] = field(default_factory=dict)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The outcome of a coroutine that runs on the services' loop."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result()

    def sessions(self, role: str) -> Sessions:
        """Sessions of one login role of the database."""
        if role not in self.pools:
            engine = build_engine(self.database.url(role), application=f"test-{role}", pool_size=1)
            self.pools[role] = build_sessions(engine)
        return self.pools[role]

    def sql(self, statement: str, **values: Any) -> list[Any]:
        """What a statement of the database's administrator, who sees all rows, answers."""

        async def ask() -> list[Any]:
            async with self.admin.begin() as session:
                result = await session.execute(text(statement), values)
                is_query = isinstance(result, CursorResult) and result.returns_rows
                return [tuple(row) for row in result] if is_query else []

        return self.run(ask())

    def call(
        self, service: str, method: str, path: str, *, headers: Mapping[str, str], body: Any = None
    ) -> httpx.Response:
        """One request to one service."""
        return self.http.request(method, self.urls[service] + path, headers=headers, json=body)


@contextmanager
def own_database(server: Server) -> Iterator[Database]:
    """A migrated database that lasts as long as the block."""
    name, url = f"stack_{secrets.token_hex(6)}", server.admin_url("postgres")
    run_apart(execute(url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    yield Database(server, name)
    run_apart(execute(url, f"DROP DATABASE {name} WITH (FORCE)"))


def what_is_known(
    database: Database,
    redis_url: str,
    storage: StorageSettings,
    keys: Path,
    urls: Mapping[str, str],
) -> dict[str, Any]:
    """Every setting of every service, by its name."""
    return {
        "host": LOOPBACK,
        "log_level": "ERROR",
        "jwks_url": f"{urls['user']}/api/v1/auth/.well-known/jwks.json",
        "signing_keys": keys,
        "redis_url": redis_url,
        "public_url": "https://easel.example",
        "billing_database_url": database.url("billing"),
        **{f"{name}_service_url": url for name, url in urls.items()},
        "google_issuer": urls["openid"],
        "google_client_id": GOOGLE.client_id,
        "google_client_secret": GOOGLE.client_secret,
        **dict.fromkeys(THROTTLES, UNLIMITED),
        "s3_bucket_images": storage.bucket,
        "s3_region": storage.region,
        "s3_endpoint_url": storage.endpoint_url,
        "s3_access_key_id": storage.access_key_id,
        "s3_secret_access_key": storage.secret_access_key,
        "lemon_squeezy_api_url": f"{urls['lemon_squeezy']}/v1",
        "lemon_squeezy_api_key": "local-api-key",
        "lemon_squeezy_store_id": "1",
        "lemon_squeezy_webhook_secret": "local-webhook-secret",
        "lemon_squeezy_variants": VARIANTS,
    }


@contextmanager
def serving(apps: Mapping[str, Starlette], urls: Mapping[str, str]) -> Iterator[Any]:
    """Every application answers at its URL inside the block, all on one loop; yields the loop."""
    servers = [
        uvicorn.Server(
            uvicorn.Config(
                app,
                host=LOOPBACK,
                port=int(urls[name].rpartition(":")[2]),
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        for name, app in apps.items()
    ]
    loop = asyncio.new_event_loop()

    async def serve_all() -> None:
        await asyncio.gather(*(server.serve() for server in servers))

    thread = threading.Thread(target=loop.run_until_complete, args=(serve_all(),), daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not all(server.started for server in servers):
        assert thread.is_alive() and time.monotonic() < deadline, "a service does not start"
        time.sleep(0.01)
    try:
        yield loop
    finally:
        for server in servers:
            server.should_exit = True
        thread.join()
        loop.close()


@contextmanager
def running_stack(
    server: Server, redis_url: str, storage: StorageSettings, folder: Path
) -> Iterator[Stack]:
    """Everything runs inside the block."""
    keys = folder / "signing-keys"
    make_signing_key(keys, datetime.now(UTC) - timedelta(minutes=1))
    ports = {name: free_port() for name in (*SERVICES, "lemon_squeezy", "openid")}
    urls = {name: f"http://{LOOPBACK}:{port}" for name, port in ports.items()}
    sold = Settings(
        port=ports["lemon_squeezy"],
        webhook_url=urls["payment"] + WEBHOOKS,
        rate_limit=UNLIMITED,
    )
    openid = create_app(OpenIdSettings(ports["openid"], GOOGLE))
    with (
        own_database(server) as database,
        serving_shop(sold),
        serving_provider(openid, ports["openid"]),
    ):
        known = what_is_known(database, redis_url, storage, keys, urls)
        apps = build_apps(known | {"database_url": database.url})
        engine = build_engine(database.admin_url, application="test-admin")
        with serving(apps, urls) as loop:
            stack = Stack(
                database=database,
                store=ObjectStore(storage),
                redis_url=redis_url,
                signing_keys=keys,
                apps=apps,
                urls=urls,
                loop=loop,
                admin=build_sessions(engine),
                provider=DoubleClient(sold),
            )
            yield stack
            stack.http.close()
            stack.run(stack.provider.http.aclose())
            stack.run(engine.dispose())
