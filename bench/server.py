"""A durable PostgreSQL of a benchmark's own, and its pgbench."""

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
def database_server(folder: Path, owners: list[str]) -> Iterator[Server]:
    """A running server over a fresh cluster in `folder`, with the tables of `owners`."""
    python = services_python()
    server = Server(free_port(), server_binary(python).parent)
    account = make_cluster(python, folder / "data", PASSWORD)
    program = postgres(python, server.port, folder / "data", account)
    log = folder / "postgres.log"
    process = start(program, log)
    try:
        wait_ready(program, process, log, 30)
        asyncio.run(make_tables(server, owners))
        yield server
    finally:
        stop(program, process)


async def make_tables(server: Server, owners: list[str]) -> None:
    """The database, its roles and its tables."""
    await execute(admin_url(server.port, PASSWORD), "CREATE DATABASE bench")
    await migrate(server.url.replace("postgresql://", "postgresql+asyncpg://"), owners)


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
