"""All that the database holds of one user, as text that can be compared."""

from uuid import UUID

from tests.stack.running import Stack

# Tables with a user's rows, and what tells whose a row is.
TABLES = """
    SELECT n.nspname || '.' || c.relname,
        CASE WHEN c.relname = 'users' THEN 'id' ELSE 'user_id' END
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND (n.nspname || '.' || c.relname = 'identity.users' OR EXISTS (
        SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'user_id'))
    ORDER BY 1
"""
# A key's last use is noted when it is shown, whatever it is answered.
NOTED = "last_used_at"


def rows_of(stack: Stack, user_id: UUID) -> list[str]:
    """Every row of the user in every table, as JSON."""
    row = f"CAST(to_jsonb(t) - '{NOTED}' AS text)"
    parts = [
        f"SELECT '{table} ' || {row} FROM {table} t WHERE t.{column} = :user"
        for table, column in stack.sql(TABLES)
    ]
    return sorted(row for (row,) in stack.sql(" UNION ALL ".join(parts), user=user_id))
