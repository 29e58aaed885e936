"""Looks for texts everywhere: each column of each table, each key of Redis, each object."""

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

from libs.events.connection import build_redis
from libs.storage.objects import StorageSettings, build_client
from tests.stack.running import Stack

TABLES = """
    SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
    WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')
"""


def tables(stack: Stack) -> list[str]:
    """Every table of the database."""
    return sorted(name for (name,) in stack.sql(TABLES))


def tables_with(stack: Stack, *texts: str) -> dict[str, list[str]]:
    """The tables with rows that hold one of the texts in any column, and those rows.

    A row as text shows bytes in hex, so each text is looked for in that form as well.
    """
    patterns = [f"%{form}%" for one in texts for form in (one, one.encode().hex())]
    found = {}
    for table in tables(stack):
        query = f"SELECT CAST(t AS text) FROM {table} t WHERE CAST(t AS text) ILIKE ANY (:patterns)"
        rows = [row for (row,) in stack.sql(query, patterns=patterns)]
        if rows:
            found[table] = rows
    return found


def redis_with(stack: Stack, *texts: str) -> dict[str, str]:
    """Keys of Redis that hold one of the texts in their name or value."""
    everything = stack.run(read_redis(stack))
    return {
        key: value for key, value in everything.items() if holds(f"{key} {value}".encode(), texts)
    }


async def read_redis(stack: Stack) -> dict[str, str]:
    """Every key with its value as text; messages of Celery are unpacked."""
    redis: Any = build_redis(stack.redis_url)
    read = {
        "string": redis.get,
        "hash": redis.hgetall,
        "stream": redis.xrange,
        "set": redis.smembers,
        "list": lambda key: redis.lrange(key, 0, -1),
        "zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
    }
    found = {}
    for key in await redis.keys("*"):
        kind = await redis.type(key)
        if kind != "none":  # it has expired meanwhile
            found[key] = unpacked(await read[kind](key))
    await redis.aclose()
    return found


def unpacked(value: Any) -> str:
    """A value as text, with what Celery has packed beside it."""
    plain = str(value)
    for item in value if isinstance(value, list) else []:
        try:
            plain += base64.b64decode(json.loads(item)["body"]).decode()
        except (ValueError, TypeError, KeyError):
            continue
    return plain


def objects(storage: StorageSettings) -> Iterator[tuple[str, bytes]]:
    """Every object of the store: key and body."""
    client = build_client(storage, storage.endpoint_url)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=storage.bucket):
        for found in page.get("Contents", []):
            body = client.get_object(Bucket=storage.bucket, Key=found["Key"])["Body"].read()
            yield found["Key"], body


def objects_with(storage: StorageSettings, *texts: str) -> list[str]:
    """Keys of objects that hold one of the texts in their name or body."""
    return [key for key, body in objects(storage) if holds(key.encode() + body, texts)]


def holds(content: bytes, texts: Sequence[str]) -> bool:
    """Whether bytes hold one of the texts, whatever its case."""
    return any(one.lower().encode() in content.lower() for one in texts)
