"""A durable PostgreSQL of the benchmark's own, with ledger, customers and pgbench's tables."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.server import PASSWORD, Server, database_server, execute

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


@contextmanager
def ledger_server(folder: Path) -> Iterator[Server]:
    """A running server over a fresh cluster in `folder`, ready to be measured."""
    with database_server(folder, list(OWNERS)) as server:
        asyncio.run(fill(server))
        server.pgbench("postgres", "-q", "-i", "-s", str(SCALE), cwd=folder)
        yield server


async def fill(server: Server) -> None:
    """Rights, and customers with two grants each."""
    await execute(server.url, f"ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'", MAY_SETTLE)
    await execute(server.url, OPEN, "VACUUM ANALYZE")
