"""The guide to personal data names everything that there is: nothing is added unnoticed."""

from collections import defaultdict

from libs.storage.objects import StorageSettings
from tests.erasure.account_worker import AccountWorker
from tests.erasure.inventory import patterns, tables
from tests.erasure.life import Life
from tests.erasure.search import objects, read_redis
from tests.services.one_row_each import ONE_ROW_EACH
from tests.stack.running import Stack

# Ids, numbers, times and flags cannot hold what somebody wrote.
COLUMNS = """
    SELECT table_schema || '.' || table_name, column_name, data_type
    FROM information_schema.columns JOIN information_schema.tables
        USING (table_schema, table_name)
    WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')
        AND table_name NOT LIKE 'history\\_%'
"""
HOLD_NO_TEXT = {
    "bigint",
    "boolean",
    "double precision",
    "integer",
    "numeric",
    "smallint",
    "timestamp with time zone",
    "uuid",
}


def columns(stack: Stack) -> dict[str, set[str]]:
    """Every table with its columns that can hold text."""
    found: dict[str, set[str]] = defaultdict(set)
    for table, column, kind in stack.sql(COLUMNS):
        found[table] |= set() if kind in HOLD_NO_TEXT else {column}
    return found


def test_every_table_is_named(stack: Stack) -> None:
    assert set(columns(stack)) == set(tables())


def test_every_column_that_can_hold_text_is_named(stack: Stack) -> None:
    found = columns(stack)
    assert {name: found[name] for name in tables()} == {
        name: set(table.columns) for name, table in tables().items()
    }


def test_every_table_with_a_tenant_says_how_it_ends() -> None:
    ends = {name: tables()[name].ends for name in ONE_ROW_EACH}
    assert {name for name, end in ends.items() if not end.startswith(("gone", "stays"))} == set()


def test_every_key_of_redis_and_every_object_is_named(
    stack: Stack, worker: AccountWorker, storage_settings: StorageSettings
) -> None:
    ada = Life(stack)
    ada.fill()
    worker.relay()
    ada.call("user", "POST", "/api/v1/users/me/export")
    worker.export_all()
    keys = stack.run(read_redis(stack))
    assert any(key.startswith("events:job:") for key in keys)
    known = patterns("Keys of Redis")
    assert [key for key in keys if not any(one.fullmatch(key) for one in known)] == []
    known = patterns("Objects")
    named = [key for key, _ in objects(storage_settings) if str(ada.id) in key]
    assert len(named) >= 5
    assert [key for key in named if not any(one.fullmatch(key) for one in known)] == []


def test_the_pattern_of_a_key_fits_no_other() -> None:
    (stream, *_) = patterns("Keys of Redis")
    assert stream.fullmatch("events:job:0199") and not stream.fullmatch("events:user:0199")
