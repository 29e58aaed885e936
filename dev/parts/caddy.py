"""The gateway: Caddy in front of the services, one origin for browsers and clients."""

from collections.abc import Mapping
from pathlib import Path

from dev.parts.program import LOOPBACK, Program, answers_http, find_binary

CADDYFILE = Path(__file__).resolve().parents[1] / "Caddyfile"


def caddy(
    python: str, ports: Mapping[str, int], storage: Path, s3_address: str, bucket: str
) -> Program:
    """The gateway on `ports["gateway"]`; routes by path to the services' ports and to S3."""
    binary = find_binary("caddy", python, variable="EASEL_CADDY")
    upstreams = ("gateway", "user", "payment", "generation", "gallery", "model", "studio")
    return Program(
        name="gateway",
        argv=[str(binary), "run", "--adapter", "caddyfile", "--config", str(CADDYFILE)],
        env={
            **{f"EASEL_{name.upper()}_PORT": str(ports[name]) for name in upstreams},
            "EASEL_GATEWAY_STORAGE": str(storage),
            "EASEL_S3_ADDRESS": s3_address,
            "EASEL_S3_BUCKET_IMAGES": bucket,
            "XDG_CONFIG_HOME": str(storage),
            "XDG_DATA_HOME": str(storage),
        },
        ports=[ports["gateway"]],
        ready=lambda: answers_http(f"http://{LOOPBACK}:{ports['gateway']}/healthz"),
        stop_seconds=5,
    )
