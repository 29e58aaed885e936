"""Make the key that signs access tokens: `python -m dev.signing_key PATH` (EC P-256, PEM)."""

import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def make_signing_key(path: Path) -> None:
    """Write a new private key that only its owner may read."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_bytes(pem)
    os.replace(new, path)


if __name__ == "__main__":
    make_signing_key(Path(sys.argv[1]))
