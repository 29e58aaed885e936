"""Migrations written as SQL files beside their Python file."""

from pathlib import Path

from alembic import op


def run_sql_file(path: Path) -> None:
    """Run every statement of a file, in order, in the migration's transaction."""
    connection = op.get_bind()
    for statement in split_statements(path.read_text()):
        connection.exec_driver_sql(statement)


def split_statements(script: str) -> list[str]:
    """One statement an item: it ends at a line's last semicolon outside a `$$` body."""
    statements, current, in_body = [], "", False
    for line in script.splitlines(keepends=True):
        current += line
        in_body ^= line.count("$$") % 2 == 1
        if line.rstrip().endswith(";") and not in_body:
            statements.append(current)
            current = ""
    return statements
