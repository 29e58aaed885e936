"""The files of the site, read once: what a browser asks for, and how it is answered."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SITE = Path(__file__).parent / "site"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
NOT_FOUND = "/not-found"


@dataclass(frozen=True)
class SiteFile:
    """A file as it is answered; `etag` changes with its bytes."""

    body: bytes
    media_type: str
    etag: str

    @property
    def is_page(self) -> bool:
        return self.media_type.startswith("text/html")


def read_site(folder: Path = SITE) -> Mapping[str, SiteFile]:
    """Address -> file: `/sign-up` is sign-up.html, `/` is index.html, others have their names.

    Raises KeyError for a kind of file that the site does not serve.
    """
    return {address_of(path.relative_to(folder)): read_file(path) for path in files_in(folder)}


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def address_of(path: Path) -> str:
    if path.suffix != ".html":
        return f"/{path.as_posix()}"
    return "/" if path.stem == "index" else f"/{path.with_suffix('').as_posix()}"


def read_file(path: Path) -> SiteFile:
    body = path.read_bytes()
    return SiteFile(body, TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')
