"""A durable PostgreSQL of the benchmark's own, with ledger, customers and pgbench's tables."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from dev.parts.postgres import admin_url, make_cluster, postgres, server_binary
from dev.parts.program import (
    LOOPBACK,
    PartError,
    free_port,
    services_python,
    start,
    stop,
    wait_ready,
)
from libs.db.migrate import migrate

PASSWORD = "bench"
ROLE = "easel_generation"  # holds are made by this one, under row security
OWNERS = ("libs.db", "libs.audit", "libs.jobs", "libs.web", "libs.tiers", "libs.credits")
CUSTOMERS = 10_000
SCALE = 10  # a million rows of pgbench_accounts
CUSTOMER = "lpad({}::text, 32, '0')::uuid"
MAY_SETTLE = f"GRANT EXECUTE ON FUNCTION credits.settle_hold TO {ROLE}"
OPEN = f"""
    DO $$ BEGIN FOR n IN 1 .. {CUSTOMERS} LOOP
        PERFORM set_config('app.user_id', ({CUSTOMER.format("n")})::text, true);
        FOR month IN 1 .. 2 LOOP
            PERFORM credits.grant_credits({CUSTOMER.format("n")}, gen_random_uuid(),
                'bench:' || n || ':' || month, 'plan', 1000000000000,
                now() + month * interval '1 month', NULL);
        END LOOP;
    END LOOP; END $$
"""


@dataclass(frozen=True)
class Server:
    """Where the benchmark's database is, and PostgreSQL's own programs."""

    port: int
    programs: Path

    @property
    def url(self) -> str:
        """The superuser's URL."""
        return admin_url(self.port, PASSWORD, "bench")

    def pgbench(self, role: str, *options: str, cwd: Path) -> str:
        """Run pgbench as a role; what it printed. Raises PartError."""
        command = [str(self.programs / "pgbench"), "-h", LOOPBACK, "-p", str(self.port), "-U", role]
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        done = subprocess.run(
            [*command, *options, "bench"],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=environment,
        )
        if done.returncode:
            raise PartError(f"pgbench failed: {done.stderr.strip()}")
        return done.stdout


@contextmanager
def ledger_server(folder: Path) -> Iterator[Server]:
    """A running server over a fresh cluster in `folder`, ready to be measured."""
    python = services_python()
    server = Server(free_port(), server_binary(python).parent)
    account = make_cluster(python, folder / "data", PASSWORD)
    program = postgres(python, server.port, folder / "data", account)
    log = folder / "postgres.log"
    process = start(program, log)
    try:
        wait_ready(program, process, log, 30)
        asyncio.run(fill(server))
        server.pgbench("postgres", "-q", "-i", "-s", str(SCALE), cwd=folder)
        yield server
    finally:
        stop(program, process)


async def fill(server: Server) -> None:
    """Tables, roles, and customers with two grants each."""
    bare = admin_url(server.port, PASSWORD)
    await execute(bare, "CREATE DATABASE bench")
    await migrate(server.url.replace("postgresql://", "postgresql+asyncpg://"), list(OWNERS))
    await execute(server.url, f"ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'", MAY_SETTLE)
    await execute(server.url, OPEN, "VACUUM ANALYZE")


async def execute(url: str, *statements: str) -> None:
    """Run statements as the superuser, one after another."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement, timeout=600)
    finally:
        await connection.close()


async def read_plan(url: str, query: str) -> float:
    """Seconds that a query takes on the server, all rows read."""
    connection = await asyncpg.connect(url)
    try:
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", timeout=600)
        return float(json.loads(plan)[0]["Execution Time"]) / 1000
    finally:
        await connection.close()
