"""The owner of all tables, one login role a service, one schema an owner."""

from alembic import op

revision = "db_0001"
down_revision = None
branch_labels = None
depends_on = None

LOGIN_ROLES = ("user", "payment", "generation", "gallery", "model", "worker", "relay")
SCHEMAS = ("ops", "credits", "identity", "billing", "models", "gallery", "generation")


def create_role(name: str, attributes: str) -> None:
    """Roles belong to the server, not to the database: another database may have made it."""
    op.execute(
        f"""
        DO $$ BEGIN
            CREATE ROLE {name} {attributes};
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$
        """
    )


def revoke_temporary_objects() -> None:
    """No service makes any; a function that runs as the owner must never meet a caller's."""
    op.execute(
        """
        DO $$ BEGIN
            EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        END $$
        """
    )


def upgrade() -> None:
    create_role("easel_owner", "NOLOGIN")
    op.execute("GRANT easel_owner TO CURRENT_USER")
    for name in LOGIN_ROLES:
        create_role(f"easel_{name}", "LOGIN NOINHERIT NOBYPASSRLS NOCREATEDB NOCREATEROLE")
    op.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    revoke_temporary_objects()
    for schema in SCHEMAS:
        op.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        op.execute(f"ALTER SCHEMA {schema} OWNER TO easel_owner")
    roles = ", ".join(f"easel_{name}" for name in LOGIN_ROLES)
    op.execute(f"GRANT USAGE ON SCHEMA ops, credits TO {roles}")
    op.execute(
        "ALTER DEFAULT PRIVILEGES FOR ROLE easel_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"
    )
    op.execute(
        """
        CREATE FUNCTION ops.current_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
        RETURN nullif(current_setting('app.user_id', true), '')::uuid
        """
    )
    op.execute("ALTER FUNCTION ops.current_tenant() OWNER TO easel_owner")
    op.execute(f"GRANT EXECUTE ON FUNCTION ops.current_tenant() TO easel_owner, {roles}")
