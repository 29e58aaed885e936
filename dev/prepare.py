"""Bring the backing parts to where the services need them: `python -m dev.prepare OWNER...`.

Creates the database, runs the migrations of the owners in their order, sets the passwords of the
login roles, and creates the picture bucket. Everything may run again. Environment:
EASEL_ADMIN_DATABASE_URL (the database is its path), EASEL_ROLE_PASSWORDS (JSON, role -> password)
and, for the bucket, the EASEL_S3_* settings.
"""

import asyncio
import json
import os
import sys
from urllib.parse import urlsplit

import asyncpg

from libs.db.migrate import migrate


async def create_database(admin_url: str) -> None:
    """Create the database that the URL names, unless it exists."""
    parts = urlsplit(admin_url.replace("+asyncpg", ""))
    name = parts.path.removeprefix("/")
    connection = await asyncpg.connect(parts._replace(path="/postgres").geturl())
    try:
        find = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
        if not await connection.fetchval(find, name):
            quoted = await connection.fetchval("SELECT quote_ident($1)", name)
            await connection.execute(f"CREATE DATABASE {quoted}")
    finally:
        await connection.close()


async def set_role_passwords(admin_url: str, passwords: dict[str, str]) -> None:
    """Give every login role its password; a role that does not exist is PostgreSQL's error."""
    connection = await asyncpg.connect(admin_url.replace("+asyncpg", ""))
    try:
        async with connection.transaction():
            for role, password in passwords.items():
                statement = await connection.fetchval(
                    "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)",
                    role,
                    password,
                )
                await connection.execute(statement)
    finally:
        await connection.close()


def create_bucket(environment: dict[str, str]) -> None:
    """Create the picture bucket, unless it exists."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=environment["EASEL_S3_ENDPOINT_URL"],
        aws_access_key_id=environment["EASEL_S3_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["EASEL_S3_SECRET_ACCESS_KEY"],
        region_name=environment["EASEL_S3_REGION"],
    )
    bucket = environment["EASEL_S3_BUCKET_IMAGES"]
    if bucket not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=bucket)


async def prepare(admin_url: str, owners: list[str], passwords: dict[str, str]) -> None:
    """Database, tables, roles."""
    await create_database(admin_url)
    await migrate(admin_url, owners)
    await set_role_passwords(admin_url, passwords)


if __name__ == "__main__":
    asyncio.run(
        prepare(
            os.environ["EASEL_ADMIN_DATABASE_URL"],
            sys.argv[1:],
            json.loads(os.environ["EASEL_ROLE_PASSWORDS"]),
        )
    )
    if "EASEL_S3_ENDPOINT_URL" in os.environ:
        create_bucket(dict(os.environ))
