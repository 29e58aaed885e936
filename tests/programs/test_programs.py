"""Each service's executable starts with Python and its settings alone, and answers /healthz."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from dev.parts.program import LOOPBACK, free_port
from libs.auth.signing_keys import make_signing_key
from tests.services.payment.shop import VARIANTS_JSON

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120.0  # the first start unpacks the executable
NOBODY = f"{LOOPBACK}:1"


def executable(name: str) -> Path:
    """The packaged program: beside the tests under Pants, in dist/ after `tools/pants package`."""
    places = [folder / "services" / f"{name}.pex" for folder in (ROOT, ROOT / "dist")]
    found = [place for place in places if place.is_file()]
    if not found:
        pytest.fail(f"{name}.pex is not built: run `tools/pants package services::`", pytrace=False)
    return found[0]


def settings(folder: Path, port: int) -> dict[str, str]:
    """Every setting, and no part that they name runs."""
    make_signing_key(folder / "keys", datetime.now(UTC))
    return {
        "PATH": os.defpath,
        "PEX_ROOT": str(folder / "pex"),
        "EASEL_PORT": str(port),
        "EASEL_DATABASE_URL": f"postgresql+asyncpg://nobody:nothing@{NOBODY}/easel",
        "EASEL_REDIS_URL": f"redis://{NOBODY}/0",
        "EASEL_JWKS_URL": f"http://{NOBODY}/jwks.json",
        "EASEL_MODEL_SERVICE_URL": f"http://{NOBODY}",
        "EASEL_SIGNING_KEYS": str(folder / "keys"),
        "EASEL_S3_ENDPOINT_URL": f"http://{NOBODY}",
        "EASEL_S3_PUBLIC_ENDPOINT_URL": f"http://{NOBODY}",
        "EASEL_S3_BUCKET_IMAGES": "easel-images",
        "EASEL_S3_ACCESS_KEY_ID": "nobody",
        "EASEL_S3_SECRET_ACCESS_KEY": "nothing",
        "EASEL_S3_REGION": "us-east-1",
        "EASEL_BILLING_DATABASE_URL": f"postgresql+asyncpg://nobody:nothing@{NOBODY}/easel",
        "EASEL_USER_SERVICE_URL": f"http://{NOBODY}",
        "EASEL_PUBLIC_URL": f"http://{NOBODY}",
        "EASEL_LEMON_SQUEEZY_API_URL": f"http://{NOBODY}/v1",
        "EASEL_LEMON_SQUEEZY_API_KEY": "nobody",
        "EASEL_LEMON_SQUEEZY_STORE_ID": "1",
        "EASEL_LEMON_SQUEEZY_WEBHOOK_SECRET": "nothing",
        "EASEL_LEMON_SQUEEZY_VARIANTS": VARIANTS_JSON,
    }


def health(port: int, process: subprocess.Popen[bytes]) -> int:
    """The status of /healthz as soon as the program listens."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the program ended with {process.returncode}"
        try:
            with urlopen(f"http://{LOOPBACK}:{port}/healthz", timeout=5) as answer:
                return int(answer.status)
        except (URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(f"no answer in {START_SECONDS:.0f} s")


@pytest.mark.parametrize("name", ["gallery", "generation", "model", "payment", "studio", "user"])
def test_a_program_starts_alone(name: str, tmp_path: Path) -> None:
    port = free_port()
    python = Path(sys.executable).resolve()  # the bare interpreter behind a virtual environment
    command = [python, executable(name)]
    process = subprocess.Popen(command, env=settings(tmp_path, port), cwd=tmp_path)
    try:
        assert health(port, process) == 200
    finally:
        process.terminate()
        process.wait(timeout=30)
