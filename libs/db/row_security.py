"""Row security for migrations: who may see which rows of a table."""

from alembic import op

CURRENT_TENANT = "(SELECT ops.current_tenant())"  # a sub-select: evaluated once a statement


def force_row_security(table: str) -> None:
    """Enable row security on `schema.table` for everybody, its owner included."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def isolate_tenants(table: str, column: str = "user_id") -> None:
    """Force row security and let a transaction touch only the rows of its own tenant."""
    force_row_security(table)
    op.execute(
        f"CREATE POLICY tenant ON {table} "
        f"USING ({column} = {CURRENT_TENANT}) WITH CHECK ({column} = {CURRENT_TENANT})"
    )


def open_to_role(table: str, role: str, command: str = "ALL", rows: str = "true") -> None:
    """Let one maintenance role pass a forced table, for one command and a condition on rows."""
    check = f"WITH CHECK ({rows})" if command in {"ALL", "INSERT", "UPDATE"} else ""
    using = f"USING ({rows})" if command != "INSERT" else ""
    op.execute(
        f"CREATE POLICY {role}_{command.lower()} ON {table} FOR {command} TO {role} {using} {check}"
    )


def grant(privileges: str, table: str, *roles: str) -> None:
    """GRANT to login roles; the only way a service role gets a right."""
    op.execute(f"GRANT {privileges} ON {table} TO {', '.join(roles)}")
