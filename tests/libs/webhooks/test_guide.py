"""What the guide tells customers to do accepts what we send, and refuses what is forged."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from libs.webhooks.messages import Message
from libs.webhooks.signatures import make_secret, signed_headers

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guides" / "webhooks.md"
BODY = Message("generation.failed", datetime.now(UTC), {"detail": "naïve \\ \n"}).body().encode()
ASK = """
import json, sys
told = json.loads(sys.argv[1])
body = open("body", "rb").read()
print("genuine" if is_genuine(told["secret"], told["headers"], body) else "forged")
"""
Verify = Callable[[str, dict[str, str], bytes], str]


def example(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return str(found)


@pytest.fixture(params=["python", "sh"])
def verify(request: pytest.FixtureRequest, tmp_path: Path) -> Verify:
    """What an example of the guide says to a secret, headers and a body."""
    if request.param == "sh" and shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH")

    def ask(secret: str, headers: dict[str, str], body: bytes) -> str:
        (tmp_path / "body").write_bytes(body)
        if request.param == "python":
            command = [sys.executable, "-c", example("python") + ASK, told(secret, headers)]
            environment = {}
        else:
            command = ["sh", "-c", example("sh")]
            environment = {name.upper().replace("-", "_"): one for name, one in headers.items()}
            environment |= {"SECRET": secret, "PATH": os.environ["PATH"]}
        answer = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return answer.stdout.strip()

    return ask


def told(secret: str, headers: dict[str, str]) -> str:
    return json.dumps({"secret": secret, "headers": headers})


def test_what_we_send_is_genuine_by_either_secret(verify: Verify) -> None:
    new, old = make_secret(), make_secret()
    headers = signed_headers([new, old], uuid4(), datetime.now(UTC), BODY)
    assert [verify(secret, headers, BODY) for secret in (new, old)] == ["genuine"] * 2


def test_what_is_forged_is_refused(verify: Verify) -> None:
    secret = make_secret()
    headers = signed_headers([secret], uuid4(), datetime.now(UTC), BODY)
    assert verify(make_secret(), headers, BODY) == "forged"
    assert verify(secret, headers, BODY + b" ") == "forged"
    assert verify(secret, {**headers, "webhook-id": str(uuid4())}, BODY) == "forged"
