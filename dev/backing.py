"""PostgreSQL, Redis, S3 and the mail catcher: started here, or already running somewhere else.

`external` is for `docker compose -f docker-compose.dev.yaml up -d`, whose ports and passwords are
the defaults, or for any servers that the EASEL_EXTERNAL_* variables name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from dev.mailbox import MailApi
from dev.parts.mail import mail_catcher
from dev.parts.postgres import ORDINARY, Account, admin_url, postgres
from dev.parts.program import LOOPBACK, Program
from dev.parts.redis import redis
from dev.parts.s3 import s3
from dev.ports import Ports
from dev.state import State

BUCKET = "easel-images"
REGION = "us-east-1"
DATABASE = "easel"
EXTERNAL_DEFAULTS = {
    "EASEL_EXTERNAL_DATABASE_URL": "postgresql://postgres:easel-local@127.0.0.1:5432/easel",
    "EASEL_EXTERNAL_REDIS_URL": "redis://:easel-local@127.0.0.1:6379/0",
    "EASEL_EXTERNAL_S3_ENDPOINT_URL": "http://127.0.0.1:9000",
    "EASEL_EXTERNAL_S3_ACCESS_KEY_ID": "easel-local",
    "EASEL_EXTERNAL_S3_SECRET_ACCESS_KEY": "easel-local-secret",
    "EASEL_EXTERNAL_SMTP_ADDRESS": "127.0.0.1:1025",
    "EASEL_EXTERNAL_MAIL_URL": "http://127.0.0.1:8025",
}


@dataclass(frozen=True)
class Backing:
    """Addresses of the backing parts, and the programs that this platform runs for them."""

    programs: Sequence[Program]
    admin_database_url: str
    redis_url: str
    s3_endpoint_url: str
    s3_access_key_id: str
    s3_secret_access_key: str
    smtp_address: str
    mail_url: str
    mail_api: MailApi

    def database_url(self, role: str, password: str) -> str:
        """The URL with which a service logs in as its own role."""
        server = urlsplit(self.admin_database_url)
        address = f"{server.hostname}:{server.port or 5432}"
        return f"postgresql+asyncpg://{role}:{password}@{address}{server.path}"

    @property
    def s3_address(self) -> str:
        """host:port of the S3 endpoint."""
        return urlsplit(self.s3_endpoint_url).netloc


def local_backing(
    state: State,
    ports: Ports,
    secrets: Mapping[str, str],
    python: str,
    account: Account = ORDINARY,
) -> Backing:
    """The parts run from the packages of the services environment, their files in the state.

    `account` runs PostgreSQL; it matters to a start only.
    """
    key, secret = secrets["s3_access_key_id"], secrets["s3_secret_access_key"]
    superuser, password = secrets["postgres_superuser"], secrets["redis"]
    return Backing(
        programs=(
            postgres(python, ports["postgres"], state.data / "postgres", account),
            redis(python, ports["redis"], state.data / "redis", password),
            s3(python, ports["s3"], state.data / "s3", key, secret, BUCKET),
            mail_catcher(python, ports["mail_smtp"], ports["mail"], state.data / "mail"),
        ),
        admin_database_url=_with_driver(admin_url(ports["postgres"], superuser, DATABASE)),
        redis_url=f"redis://:{password}@{LOOPBACK}:{ports['redis']}/0",
        s3_endpoint_url=f"http://{LOOPBACK}:{ports['s3']}",
        s3_access_key_id=key,
        s3_secret_access_key=secret,
        smtp_address=f"{LOOPBACK}:{ports['mail_smtp']}",
        mail_url=f"http://{LOOPBACK}:{ports['mail']}",
        mail_api="catcher",
    )


def external_backing(environment: Mapping[str, str]) -> Backing:
    """The parts run elsewhere; nothing is started for them."""
    given = {name: environment.get(name) or value for name, value in EXTERNAL_DEFAULTS.items()}
    return Backing(
        programs=(),
        admin_database_url=_with_driver(given["EASEL_EXTERNAL_DATABASE_URL"]),
        redis_url=given["EASEL_EXTERNAL_REDIS_URL"],
        s3_endpoint_url=given["EASEL_EXTERNAL_S3_ENDPOINT_URL"],
        s3_access_key_id=given["EASEL_EXTERNAL_S3_ACCESS_KEY_ID"],
        s3_secret_access_key=given["EASEL_EXTERNAL_S3_SECRET_ACCESS_KEY"],
        smtp_address=given["EASEL_EXTERNAL_SMTP_ADDRESS"],
        mail_url=given["EASEL_EXTERNAL_MAIL_URL"],
        mail_api="mailpit",
    )


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)
