"""What login roles may, from the catalogue of the database: a new role or table is in at once."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.engine import Sessions
from libs.testkit.postgres import ROLES, TEMPLATE
from tests.isolation.definers import DEFINERS

SECURITY_PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
# Tables that belong to no tenant, and why nothing of anybody can be read from them.
WITHOUT_TENANTS = {
    "billing.reconciliation": "when the daily comparison ran",
    "credits.movements": "how much each kind of movement changes what is available",
    "generation.pool_clocks": "virtual times of the scheduler",
    "generation.outlooks": "sums of each tier's queue",
    "generation.tier_clocks": "virtual times of the scheduler",
    "generation.workers": "machines of ours, which name nobody",
    "identity.oauth_attempts": "hashes of sign-ins under way, which are nobody's yet",
    "ops.ended_logins": "ids of sessions, which name nobody",
    "ops.outbox": "messages in flight: its own policies, INSERT for services, the rest the relay's",
}
LOGIN_ROLES = "SELECT oid, rolname FROM pg_roles WHERE rolcanlogin AND rolname LIKE 'easel%'"
OUR_TABLES = """
    SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relrowsecurity, c.relforcerowsecurity
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema$)'
        AND c.relname !~ '^history_'
"""


@pytest.fixture
async def admin(sessions: Callable[[str], Sessions]) -> AsyncIterator[AsyncSession]:
    async with sessions("admin")() as session:
        yield session


async def ask(admin: AsyncSession, query: str, **values: Any) -> list[Any]:
    return [tuple(row) for row in await admin.execute(text(query), values)]


async def test_the_roles_are_those_that_the_tests_of_rows_walk(admin: AsyncSession) -> None:
    known = await ask(admin, f"SELECT rolname FROM ({LOGIN_ROLES}) roles")
    assert {name for (name,) in known} == {f"easel_{role}" for role in ROLES}


async def test_no_service_role_is_more_than_a_login(admin: AsyncSession) -> None:
    powers = "rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication"
    query = f"SELECT rolname FROM pg_roles WHERE rolname LIKE 'easel%' AND ({powers} {{}})"
    assert await ask(admin, query.format("")) == []
    superusers = query.replace("LIKE 'easel%'", "= CURRENT_USER").format("")
    assert len(await ask(admin, superusers)) == 1  # the question can be answered


async def test_no_service_role_owns_anything(admin: AsyncSession) -> None:
    query = f"""
        SELECT r.rolname, d.classid::regclass::text, d.objid FROM pg_shdepend d
        JOIN ({LOGIN_ROLES}) r ON r.oid = d.refobjid
        WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o'
    """
    assert await ask(admin, query) == []
    owned = query.replace(LOGIN_ROLES, "SELECT oid, rolname FROM pg_roles")
    assert len(await ask(admin, owned)) > 50  # easel_owner owns it all


async def test_no_service_role_makes_anything(admin: AsyncSession) -> None:
    """Not even a temporary table, which a function of the owner might meet.

    That right is the database's, which a copy does not have: the migrated one is asked.
    """
    query = f"""
        SELECT r.rolname, n.nspname FROM ({LOGIN_ROLES}) r, pg_namespace n
        WHERE has_schema_privilege(r.oid, n.oid, 'CREATE')
        UNION ALL
        SELECT r.rolname, 'temporary' FROM ({LOGIN_ROLES}) r
        WHERE has_database_privilege(r.oid, '{TEMPLATE}', 'TEMPORARY, CREATE')
    """
    assert await ask(admin, query) == []


async def test_every_table_forces_row_security_or_belongs_to_no_tenant(admin: AsyncSession) -> None:
    tables = await ask(
        admin, f"SELECT name, relrowsecurity AND relforcerowsecurity FROM ({OUR_TABLES}) t"
    )
    assert {name for name, is_forced in tables if not is_forced} <= WITHOUT_TENANTS.keys()
    assert WITHOUT_TENANTS.keys() <= {name for name, _ in tables}


async def test_no_table_without_tenants_names_anybody(admin: AsyncSession) -> None:
    query = f"""
        SELECT t.name, a.attname FROM ({OUR_TABLES}) t JOIN pg_attribute a ON a.attrelid = t.oid
        WHERE a.attnum > 0 AND a.attname IN ('user_id', 'email', 'recipient', 'display_name')
            AND NOT t.relrowsecurity
    """
    assert await ask(admin, query) == []


async def test_nobody_can_rewrite_what_is_only_added_to(admin: AsyncSession) -> None:
    """The audit log and the ledger: not changed, not deleted, not emptied, by any login role."""
    query = f"""
        SELECT r.rolname, t.name, p.privilege
        FROM ({LOGIN_ROLES}) r, ({OUR_TABLES}) t, unnest(ARRAY['UPDATE', 'INSERT']) p(privilege)
        WHERE (t.name ~ '^credits\\.' OR (t.name = 'ops.audit_log' AND p.privilege = 'UPDATE'))
            AND (has_any_column_privilege(r.oid, t.oid, p.privilege)
                OR has_table_privilege(r.oid, t.oid, 'DELETE, TRUNCATE, TRIGGER, REFERENCES'))
    """
    assert await ask(admin, query) == []
    assert await ask(admin, query.replace(LOGIN_ROLES, "SELECT oid, rolname FROM pg_roles")) != []


async def test_not_even_the_owner_rewrites_the_audit_log(admin: AsyncSession) -> None:
    triggers = """
        SELECT tgname FROM pg_trigger WHERE tgrelid = 'ops.audit_log'::regclass
            AND tgenabled IN ('O', 'A') AND tgtype & 56 = 56  -- UPDATE, DELETE, TRUNCATE
    """
    assert len(await ask(admin, triggers)) == 1


async def test_functions_of_the_owner_are_known_and_pinned(admin: AsyncSession) -> None:
    query = """
        SELECT n.nspname || '.' || p.proname, pg_get_userbyid(p.proowner),
            'search_path=pg_catalog, pg_temp' = ANY (p.proconfig),
            has_function_privilege('public', p.oid, 'EXECUTE')
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prosecdef
    """
    functions = await ask(admin, query)
    assert {name for name, *_ in functions} == DEFINERS.keys()
    assert {tuple(rest) for _, *rest in functions} == {("easel_owner", True, False)}


def test_the_security_page_lists_the_functions_of_the_owner() -> None:
    page = SECURITY_PAGE.read_text()
    assert [name for name, why in DEFINERS.items() if f"| `{name}` | {why} |" not in page] == []


async def test_a_new_database_has_no_accounts(admin: AsyncSession) -> None:
    assert await ask(admin, "SELECT count(*) FROM identity.users") == [(0,)]
    assert await ask(admin, "SELECT count(*) FROM ops.api_keys") == [(0,)]
