"""Where Redis is: one server, or the primary that Sentinels name at the moment.

    redis://[user:password@]host[:port][/db]                 (rediss:// for TLS)
    sentinel://[user:password@]host[:port][,host[:port] ...]/primary-name[/db]
        [?sentinel_user=...&sentinel_password=...]

User and password are those of the Redis servers; Sentinels that want a login of their own get the
one after the question mark. Between servers and Sentinels there is no TLS.
"""

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

SENTINEL_PORT = 26379


@dataclass(frozen=True)
class SentinelAddress:
    """Sentinels as (host, port), the name under which they watch the primary, and the logins."""

    sentinels: tuple[tuple[str, int], ...]
    primary: str
    db: int = 0
    username: str | None = None
    password: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None


def read_sentinel_url(url: str) -> SentinelAddress | None:
    """The parts of a `sentinel://` URL; None for every other. Raises ValueError on a wrong one."""
    parts = urlsplit(url)
    if parts.scheme != "sentinel":
        return None
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    primary, _, db = parts.path.strip("/").partition("/")
    if not primary or not all(hosts.split(",")):
        raise ValueError("a Sentinel URL is sentinel://host:port,host:port/primary-name/db")
    query = parse_qs(parts.query)
    return SentinelAddress(
        sentinels=tuple(_host_and_port(host) for host in hosts.split(",")),
        primary=unquote(primary),
        db=int(db or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=query.get("sentinel_user", [None])[0],
        sentinel_password=query.get("sentinel_password", [None])[0],
    )


def _host_and_port(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if parts.hostname is None:
        raise ValueError(f"no host in {text!r}")
    return parts.hostname, parts.port or SENTINEL_PORT
