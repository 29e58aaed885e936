"""The private keys that sign tokens: one file a key, named by when it comes into use.

`20261123T050000Z.pem` signs from that moment until the next one does. Every key is published from
the day its file appears, so that verifiers know it before its first signature, and until the last
token of the one before has expired: keys overlap, and nobody is logged out by a rotation.

    python -m libs.auth.signing_keys FOLDER [SECONDS]    make the next key, for use in SECONDS
"""

import os
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from libs.auth.tokens import ACCESS_TOKEN_LIFETIME, SigningKey, load_signing_key

NAME = re.compile(r"\d{8}T\d{6}Z")
NAME_FORMAT = "%Y%m%dT%H%M%SZ"
# A key is published this long after its last signature; verifiers' clocks may differ a little.
RETIRE_AFTER = ACCESS_TOKEN_LIFETIME + timedelta(minutes=5)
REREAD_SECONDS = 15.0


class SigningKeys:
    """The keys of a folder, read again as files appear and go."""

    def __init__(self, folder: Path, *, reread_seconds: float = REREAD_SECONDS) -> None:
        self.folder, self.reread_seconds = folder, reread_seconds
        self._keys: list[tuple[datetime, SigningKey]] = []
        self._read_at = float("-inf")
        self._read()

    def current(self, now: datetime) -> SigningKey:
        """The key that signs: the newest whose time has come. Raises LookupError without one."""
        begun = [key for begins, key in self._known() if begins <= now]
        if not begun:
            raise LookupError(f"no signing key in {self.folder} is in use yet")
        return begun[-1]

    def published(self, now: datetime) -> Sequence[SigningKey]:
        """The keys that verifiers need: future ones, the present one, those just retired."""
        keys = self._known()
        ends = [begins for begins, _ in keys[1:]]
        retired = [end + RETIRE_AFTER <= now for end in ends]
        return [
            key
            for (_, key), is_retired in zip(keys, [*retired, False], strict=True)
            if not is_retired
        ]

    def _known(self) -> list[tuple[datetime, SigningKey]]:
        if time.monotonic() - self._read_at >= self.reread_seconds:
            self._read()
        return self._keys

    def _read(self) -> None:
        files = sorted(path for path in self.folder.glob("*.pem") if NAME.fullmatch(path.stem))
        self._keys = [(begin_of(file), load_signing_key(file.read_bytes())) for file in files]
        self._read_at = time.monotonic()


def begin_of(file: Path) -> datetime:
    """When the key of a file comes into use."""
    return datetime.strptime(file.stem, NAME_FORMAT).replace(tzinfo=UTC)


def make_signing_key(folder: Path, begins: datetime) -> Path:
    """Write a new EC P-256 key that only its owner may read."""
    pem = generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / f"{begins.strftime(NAME_FORMAT)}.pem"
    new = file.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_bytes(pem)
    os.replace(new, file)
    return file


def main(arguments: Sequence[str]) -> None:
    """Make a key in the folder that the first argument names."""
    delay = timedelta(seconds=int(arguments[1]) if len(arguments) > 1 else 0)
    print(make_signing_key(Path(arguments[0]), datetime.now(UTC) + delay))


if __name__ == "__main__":
    main(sys.argv[1:])
