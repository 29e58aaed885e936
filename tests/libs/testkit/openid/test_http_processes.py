"""Both doubles as processes of their own: the start commands of the local platform."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from dev.parts.program import LOOPBACK, answers_http, free_port
from libs.testkit.discord import server as discord_server
from libs.testkit.openid import server as openid_server

ROOT = Path(__file__).parents[4]
PROGRAMS = {
    "GOOGLE": (openid_server.__name__, "EASEL_OPENID_PORT", openid_server.AUTHORIZE),
    "DISCORD": (discord_server.__name__, "EASEL_DISCORD_PORT", "/oauth2/authorize"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_double_starts_by_its_command(name: str) -> None:
    module, port_variable, path = PROGRAMS[name]
    port, redirect = free_port(), "http://127.0.0.1:1/callback"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        port_variable: str(port),
        f"EASEL_{name}_CLIENT_ID": "the-client",
        f"EASEL_{name}_CLIENT_SECRET": "secret",
        f"EASEL_{name}_REDIRECT_URI": redirect,
    }
    running = subprocess.Popen([sys.executable, "-m", module], env=environment)
    base = f"http://{LOOPBACK}:{port}"
    try:
        deadline = time.monotonic() + 20
        while not answers_http(f"{base}/health"):
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        query = {
            "client_id": "the-client",
            "redirect_uri": redirect,
            "response_type": "code",
            "scope": "email",
        }
        assert httpx.get(base + path, params=query).status_code == 200
        assert httpx.get(base + path, params={**query, "client_id": "x"}).status_code == 400
        assert httpx.get(f"{base}/health", headers={"Host": "evil.example"}).status_code == 400
    finally:
        running.terminate()
        assert running.wait(10) is not None
