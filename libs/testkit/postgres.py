"""A real PostgreSQL for tests: one server a pytest process, one migrated copy a test.

The server is volatile (no fsync). Every test gets a database of its own, cloned from a template
into which all histories were migrated once. A process whose parent has such a server and says so in
EASEL_TEST_POSTGRES (`port:password`) uses that one.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from dev.parts.postgres import admin_url, make_cluster, postgres
from dev.parts.program import LOOPBACK, free_port, services_python
from libs.db.engine import Sessions, build_engine, build_sessions
from libs.db.migrate import migrate
from libs.testkit.running import running

TEMPLATE = "easel_template"
SHARED = "EASEL_TEST_POSTGRES"
ROLES = (
    "user",
    "payment",
    "generation",
    "gallery",
    "model",
    "worker",
    "relay",
    "billing",
    "account",
)
OWNERS = (
    *("libs.db", "libs.audit", "libs.jobs", "libs.web", "libs.tiers", "libs.mail"),
    *("libs.auth", "libs.credits", "libs.webhooks"),
    *("services.user", "services.payment", "services.model", "services.gallery"),
    "services.generation",
)


@dataclass(frozen=True)
class Server:
    """A running server and the password that the superuser and every login role have."""

    port: int
    password: str

    def admin_url(self, database: str) -> str:
        """The superuser's URL of one database, without a driver name."""
        return admin_url(self.port, self.password, database)


@dataclass(frozen=True)
class Database:
    """One test's database."""

    server: Server
    name: str

    @property
    def admin_url(self) -> str:
        """The superuser's URL, for SQLAlchemy."""
        return with_driver(self.server.admin_url(self.name))

    def url(self, role: str) -> str:
        """A service's URL, with its own login role: `url("generation")`."""
        account = f"easel_{role}:{self.server.password}"
        return f"postgresql+asyncpg://{account}@{LOOPBACK}:{self.server.port}/{self.name}"


def with_driver(url: str) -> str:
    """The URL as SQLAlchemy wants it."""
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)


def run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on a loop of its own, whatever loop the test has."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


async def execute(url: str, *statements: str) -> None:
    """Run statements as the superuser, each in its own transaction."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def make_template(server: Server) -> None:
    """Create and migrate the template, and give the login roles their password."""
    run_apart(execute(server.admin_url("postgres"), f"CREATE DATABASE {TEMPLATE}"))
    run_apart(migrate(with_driver(server.admin_url(TEMPLATE)), list(OWNERS)))
    passwords = [f"ALTER ROLE easel_{role} PASSWORD '{server.password}'" for role in ROLES]
    run_apart(execute(server.admin_url("postgres"), *passwords))


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the template; about three seconds, or the one that the parent process has."""
    if SHARED in os.environ:
        port, _, password = os.environ[SHARED].partition(":")
        yield Server(int(port), password)
        return
    folder = tmp_path_factory.mktemp("postgres")
    python = services_python()
    server = Server(free_port(), secrets.token_hex(12))
    account = make_cluster(python, folder / "data", server.password)
    program = postgres(python, server.port, folder / "data", account, durable=False)
    with running(program, folder):
        make_template(server)
        yield server


@pytest.fixture
def database(postgres_server: Server) -> Iterator[Database]:
    """An empty, migrated database of this test's own; about 0.1 seconds."""
    name = f"test_{secrets.token_hex(6)}"
    url = postgres_server.admin_url("postgres")
    run_apart(execute(url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    yield Database(postgres_server, name)
    run_apart(execute(url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def sessions(database: Database) -> AsyncIterator[Callable[[str], Sessions]]:
    """`sessions("generation")`: sessions with a service's own login role; "admin" bypasses RLS."""
    engines: list[AsyncEngine] = []

    def sessions_of(role: str) -> Sessions:
        url = database.admin_url if role == "admin" else database.url(role)
        engines.append(build_engine(url, application=f"test-{role}"))
        return build_sessions(engines[-1])

    yield sessions_of
    for engine in engines:
        await engine.dispose()
