"""No service's role reads or changes another user's rows, even by SQL.

The catalogue of the database is walked, not a list: a new table cannot be forgotten.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.testkit.postgres import ROLES
from tests.services.one_row_each import ONE_ROW_EACH, Owned, fill, insertion
from tests.services.open_policies import PASSES

SessionsOf = Callable[[str], Sessions]
SERVICES = ("user", "payment", "generation", "gallery", "model")

# Kept for the worker alone: no service that answers users may read them.
NOT_FOR_SERVICES = {
    "billing.inbox",
    "billing.observations",
    "billing.take_backs",
    "ops.emails",
}
TENANT_TABLES = text(
    """
    SELECT n.nspname || '.' || c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS safe
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'f') AND (
        n.nspname || '.' || c.relname = 'identity.users'
        OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'user_id')
    )
    """
)
UNSAFE_VIEWS = text(
    """
    SELECT c.oid::regclass::text FROM pg_class c
    WHERE c.relkind = 'v' AND pg_get_userbyid(c.relowner) = 'easel_owner'
        AND NOT coalesce(c.reloptions, '{}') @> '{security_invoker=true}'
    """
)
TENANT_POLICIES = text(
    """
    SELECT schemaname || '.' || tablename AS name, qual, with_check FROM pg_policies
    WHERE policyname = 'tenant' AND cmd = 'ALL' AND roles = '{public}'
    """
)
OTHER_POLICIES = text(
    """
    SELECT schemaname || '.' || tablename, role, cmd, coalesce(qual, with_check)
    FROM pg_policies CROSS JOIN unnest(roles) role
    WHERE policyname <> 'tenant' AND tablename <> 'outbox'
    """
)
RIGHTS = text(
    """
    SELECT has_any_column_privilege(:role, c.oid, 'SELECT') AS reads,
        has_table_privilege(:role, c.oid, 'DELETE') AS deletes,
        ARRAY(
            SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
                AND has_column_privilege(:role, c.oid, a.attnum, 'UPDATE')
                AND a.attgenerated = '' AND a.attidentity = ''
        ) AS updates
    FROM pg_class c WHERE c.oid = to_regclass(:table)
        AND has_schema_privilege(:role, c.relnamespace, 'USAGE')
    """
)


@pytest.fixture
async def admin(sessions: SessionsOf) -> AsyncIterator[AsyncSession]:
    async with sessions("admin")() as session:
        yield session


async def test_every_tenant_table_forces_row_security(admin: AsyncSession) -> None:
    tables = {row.name: row.safe for row in await admin.execute(TENANT_TABLES)}
    assert set(tables) == set(ONE_ROW_EACH)
    assert [name for name, safe in tables.items() if not safe] == []


async def test_views_show_what_their_reader_may_see(admin: AsyncSession) -> None:
    assert (await admin.execute(UNSAFE_VIEWS)).all() == []


async def test_every_tenant_table_is_isolated_by_its_tenant(admin: AsyncSession) -> None:
    policies = {row.name: row for row in await admin.execute(TENANT_POLICIES)}
    assert set(policies) == set(ONE_ROW_EACH)
    for name, policy in policies.items():
        column = "id" if name == "identity.users" else "user_id"
        tenant = f"({column} = ( SELECT ops.current_tenant() AS current_tenant))"
        assert policy.qual == policy.with_check == tenant


async def test_nobody_passes_but_those_who_are_listed(admin: AsyncSession) -> None:
    assert {tuple(row) for row in await admin.execute(OTHER_POLICIES)} == PASSES


async def test_no_role_bypasses_row_security_or_becomes_another(admin: AsyncSession) -> None:
    roles = text(
        """
        SELECT rolname FROM pg_roles r WHERE rolname LIKE 'easel%' AND (
            rolsuper OR rolbypassrls OR rolcreaterole
            OR EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid)
        )
        """
    )
    assert (await admin.execute(roles)).all() == []


@pytest.fixture
async def owned(admin: AsyncSession) -> Owned:
    """One row of one user in every tenant table, committed before the test looks."""
    rows = Owned()
    await fill(admin, rows)
    await admin.commit()
    return rows


def strangers(table: str) -> list[str]:
    """Roles to whom no policy opens the table."""
    passing = {role.removeprefix("easel_") for name, role, *_ in PASSES if name == table}
    return [role for role in ROLES if role in SERVICES or role not in passing]


async def count(session: AsyncSession, table: str) -> int:
    return int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


async def read_rights(admin: AsyncSession, role: str, table: str) -> Row[Any] | None:
    """What a role may do with a table; None if it may not even enter the schema."""
    values = {"role": f"easel_{role}", "table": table}
    return (await admin.execute(RIGHTS, values)).one_or_none()


async def touch(session: AsyncSession, table: str, rights: Row[Any]) -> int:
    """Rows that the session's role can change, column by column, or delete."""
    statements = [f"UPDATE {table} SET {column} = {column}" for column in rights.updates]
    if rights.deletes:
        statements.append(f"DELETE FROM {table}")
    results = [await session.execute(text(statement)) for statement in statements]
    return sum(result.rowcount for result in results)  # type: ignore[attr-defined]


@pytest.fixture
def pools(sessions: SessionsOf) -> dict[str, Sessions]:
    """Connections as each login role."""
    return {role: sessions(role) for role in ROLES}


@pytest.mark.parametrize("table", ONE_ROW_EACH)
async def test_another_users_row_is_neither_seen_nor_touched(
    pools: dict[str, Sessions], admin: AsyncSession, owned: Owned, table: str
) -> None:
    everything = await count(admin, table)
    official = everything - 1  # the demo model belongs to nobody and may be seen
    assert official == (1 if table == "models.models" else 0)
    for role in strangers(table):
        rights = await read_rights(admin, role, table)
        if rights is None:
            continue
        for user_id in (uuid4(), None):
            async with transaction(pools[role], user_id) as session:
                if rights.reads:
                    assert await count(session, table) == official, role
                assert await touch(session, table, rights) == 0, role
    assert await count(admin, table) == everything


@pytest.mark.parametrize("table", ONE_ROW_EACH)
async def test_nobody_inserts_a_row_for_another_user(
    pools: dict[str, Sessions], table: str
) -> None:
    statement, values = insertion(table, Owned())
    for role in strangers(table):
        for user_id in (uuid4(), None):
            with pytest.raises(DBAPIError, match="permission denied|row-level security"):
                async with transaction(pools[role], user_id) as session:
                    await session.execute(statement, values)


@pytest.mark.parametrize("table", sorted(set(ONE_ROW_EACH) - NOT_FOR_SERVICES))
async def test_the_row_is_there_for_its_own_user(
    pools: dict[str, Sessions], admin: AsyncSession, owned: Owned, table: str
) -> None:
    """The control of the tests above: with the right tenant the same questions find the row."""
    seen = {}
    for role in SERVICES:
        rights = await read_rights(admin, role, table)
        if rights and rights.reads:
            async with transaction(pools[role], owned.user_id) as session:
                seen[role] = await count(session, table)
    assert seen
    assert set(seen.values()) == {2 if table == "models.models" else 1}


async def test_the_ledgers_tables_are_written_by_its_functions_alone(admin: AsyncSession) -> None:
    rights = text(
        """
        SELECT r.rolname, c.relname, p.privilege
        FROM pg_roles r, pg_class c, unnest(ARRAY['INSERT', 'UPDATE']) p(privilege)
        WHERE r.rolname = ANY(:roles) AND c.relnamespace = 'credits'::regnamespace
            AND c.relkind = 'r' AND (has_any_column_privilege(r.oid, c.oid, p.privilege)
                OR has_table_privilege(r.oid, c.oid, 'DELETE, TRUNCATE'))
        """
    )
    roles = [f"easel_{role}" for role in ROLES]
    assert (await admin.execute(rights, {"roles": roles})).all() == []
    owner = (await admin.execute(rights, {"roles": ["easel_owner"]})).all()
    assert len(owner) == 16  # eight tables, two rights: the question can be answered


async def test_functions_that_run_as_their_owner_pin_what_they_call(admin: AsyncSession) -> None:
    loose = text(
        """
        SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.prosecdef AND (
            'search_path=pg_catalog, pg_temp' <> ALL (coalesce(p.proconfig, '{}'))
            OR has_function_privilege('public', p.oid, 'EXECUTE')
        )
        """
    )
    assert list(await admin.scalars(loose)) == []
    assert await admin.scalar(text("SELECT count(*) FROM pg_proc WHERE prosecdef")) >= 7
