"""The real parts: what is written survives a stop and a start."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import boto3
import httpx
import pytest
from botocore.config import Config
from redis import Redis
from redis.exceptions import AuthenticationError

from dev.parts.postgres import admin_url, make_cluster, postgres, server_binary
from dev.parts.program import (
    LOOPBACK,
    PartError,
    Program,
    free_port,
    services_python,
    start,
    stop,
    wait_ready,
)
from dev.parts.redis import redis
from dev.parts.s3 import s3

PASSWORD = "a-Password_7"
KEYS = ("akid", "a-secret-of-s3")
BUCKET = "pictures"


@contextmanager
def running(program: Program, folder: Path) -> Iterator[None]:
    log = folder / f"{program.name}.log"
    process = start(program, log)
    try:
        wait_ready(program, process, log)
        yield
    finally:
        stop(program, process)
    assert not program.ready()


async def test_rows_survive_a_restart_and_a_wrong_password_is_refused(tmp_path: Path) -> None:
    python, port, data = services_python(), free_port(), tmp_path / "data"
    url = admin_url(port, PASSWORD)
    for start_number in (1, 2):
        account = make_cluster(python, data, PASSWORD)
        with running(postgres(python, port, data, account), tmp_path):
            connection = await asyncpg.connect(url)
            if start_number == 1:
                await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
            assert await connection.fetchval("SELECT answer FROM kept") == 42
            assert await connection.fetchval("SHOW fsync") == "on"
            assert await connection.fetchval("SHOW server_version") >= "16"
            await connection.close()
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(admin_url(port, "guess"))


def test_the_cluster_belongs_to_its_account_alone(tmp_path: Path) -> None:
    make_cluster(services_python(), tmp_path / "data", PASSWORD)
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_postgres_is_the_version_of_the_cloud() -> None:
    command = [str(server_binary(services_python())), "--version"]
    assert b"PostgreSQL) 16." in subprocess.run(command, capture_output=True, check=True).stdout


def test_redis_keeps_its_streams_and_asks_for_the_password(tmp_path: Path) -> None:
    port = free_port()
    program = redis(services_python(), port, tmp_path / "data", PASSWORD)
    client = Redis(host=LOOPBACK, port=port, password=PASSWORD)
    with running(program, tmp_path):
        client.xadd("stream", {"step": "7"})
        with pytest.raises(AuthenticationError):
            Redis(host=LOOPBACK, port=port).ping()
    with running(program, tmp_path):
        assert client.xlen("stream") == 1
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert (tmp_path / "data" / "redis.conf").stat().st_mode & 0o077 == 0


def test_pictures_survive_and_only_signed_urls_read_them(tmp_path: Path) -> None:
    port = free_port()
    program = s3(services_python(), port, tmp_path / "data", *KEYS, BUCKET)
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{LOOPBACK}:{port}",
        aws_access_key_id=KEYS[0],
        aws_secret_access_key=KEYS[1],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
    )
    key = {"Bucket": BUCKET, "Key": "user/2026/11/image.png"}
    with running(program, tmp_path):
        client.put_object(Bucket=BUCKET, Key=key["Key"], Body=b"picture", ContentType="image/png")
    with running(program, tmp_path):
        url = client.generate_presigned_url("get_object", Params=key, ExpiresIn=60)
        signed = httpx.get(url)
        assert (signed.status_code, signed.content) == (200, b"picture")
        assert signed.headers["content-type"] == "image/png"
        assert httpx.get(url.replace("image.png", "other.png")).status_code >= 400
        assert httpx.get(url.partition("?")[0]).status_code >= 400


def test_a_part_that_cannot_start_is_told_with_its_log(tmp_path: Path) -> None:
    program = redis(services_python(), 1, tmp_path / "data", PASSWORD)
    (tmp_path / "data" / "redis.conf").write_text("no-such-setting 1\n")
    log = tmp_path / "redis.log"
    process = start(program, log)
    with pytest.raises(PartError, match=rf"redis ended at start with 1; see {log}"):
        wait_ready(program, process, log)
    stop(program, process)
