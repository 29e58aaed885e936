"""What verification, admission and logins cost: `./easel bench auth [--json]`.

Servers of its own, all in one run on one machine; rounds alternate, and what is compared meets
the same noise. `verified_ratio`: requests a second of a route that verifies its caller over those
of the same route that asks nobody (best rounds). `login_flood_p99_ratio`: 99th percentile of
reading one's account while 20 people a second log in at the same service, over the same without
(medians of the rounds). `admission_vs_hello`: CPU of the generation service for a whole create
request (token, limits, idempotency, gates, price, hold, job, outbox) over that of a bare FastAPI
hello (the smallest of the rounds on each side).
"""

import asyncio
import json
import statistics
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from bench.auth_servers import Servers, auth_servers, credentials
from bench.figures import run
from bench.http_load import closed_loop, cpu_seconds, open_loop, percentile, repeat, request

ROUNDS = 5
CLIENTS = 8
REQUESTS = 4_000
ADMISSIONS = 1_500
READS_A_SECOND = 50.0
LOGINS_A_SECOND = 20.0
FLOOD_SECONDS = 6.0
ACCOUNT = "/api/v1/users/me"
WISH = {"model": "demo", "prompt": "a red apple in the morning", "steps": 20, "seed": 7}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def verified_ratio(servers: Servers) -> float:
    """Requests a second, verified over open; every user and address stays inside its limits."""
    port = servers.ports["probe"]
    open_requests = [
        request("GET", "/open", {"X-Forwarded-For": f"10.0.{n // 250}.{n % 250}"})
        for n in range(2_000)
    ]
    verified = [request("GET", "/verified", bearer(token)) for token in servers.tokens]
    rates: dict[str, list[float]] = {"open": [], "verified": []}
    for number in range(ROUNDS + 1):
        for name, requests in (("open", open_requests), ("verified", verified)):
            asked = list(repeat(requests, REQUESTS))
            rate = asyncio.run(closed_loop(port, asked, clients=CLIENTS, expect=200))
            if number:  # the first round fills the memories of both
                rates[name].append(rate)
    return max(rates["verified"]) / max(rates["open"])


def cpu_of(servers: Servers, name: str, requests: Sequence[bytes], expect: int) -> float:
    """Microseconds of CPU a request."""
    before = cpu_seconds(servers.pids[name])
    port = servers.ports[name]
    asyncio.run(closed_loop(port, requests, clients=CLIENTS, expect=expect))
    return (cpu_seconds(servers.pids[name]) - before) / len(requests) * 1e6


def create_requests(servers: Servers, count: int) -> list[bytes]:
    """Create requests of all users in turn, each with an Idempotency-Key of its own."""
    body = json.dumps(WISH).encode()
    return [
        request(
            "POST",
            "/api/v1/generations",
            {**bearer(token), "Idempotency-Key": uuid.uuid4().hex},
            body,
        )
        for token in (servers.tokens[n % len(servers.tokens)] for n in range(count))
    ]


def admission_costs(servers: Servers) -> tuple[float, float]:
    """Microseconds of CPU: of a create request, and of a hello."""
    hellos = [request("GET", "/", {})] * REQUESTS
    costs: dict[str, list[float]] = {"generation": [], "hello": []}
    for number in range(ROUNDS + 1):
        creates = create_requests(servers, ADMISSIONS)
        for name, requests, expect in (("generation", creates, 202), ("hello", hellos, 200)):
            cost = cpu_of(servers, name, requests, expect)
            if number:
                costs[name].append(cost)
    return min(costs["generation"]), min(costs["hello"])


async def read_p99(servers: Servers, logins: bool) -> float:
    """The 99th percentile of reading one's account, with or without people who log in."""
    port = servers.ports["user"]
    reads = [request("GET", ACCOUNT, bearer(token)) for token in servers.tokens]
    log_ins = [
        request("POST", "/api/v1/auth/login", {"X-Forwarded-For": f"10.1.0.{n % 250}"}, body)
        for n, body in enumerate(credentials(user) for user in servers.users)
    ]
    measured = open_loop(
        port, repeat(reads, int(READS_A_SECOND * FLOOD_SECONDS)), a_second=READS_A_SECOND
    )
    if not logins:
        return percentile(await measured, 0.99)
    flood = repeat(log_ins, int(LOGINS_A_SECOND * FLOOD_SECONDS))
    took, _ = await asyncio.gather(measured, open_loop(port, flood, a_second=LOGINS_A_SECOND))
    return percentile(took, 0.99)


def flood_p99s(servers: Servers) -> tuple[float, float]:
    """Milliseconds: idle and flooded, medians of the rounds."""
    idle, flooded = [], []
    for number in range(ROUNDS + 1):
        quiet = asyncio.run(read_p99(servers, False))
        loud = asyncio.run(read_p99(servers, True))
        if number:
            idle.append(quiet * 1000)
            flooded.append(loud * 1000)
    return statistics.median(idle), statistics.median(flooded)


def measure() -> dict[str, float]:
    """All figures of one run."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with auth_servers(Path(folder)) as servers:
            ratio = verified_ratio(servers)
            create, hello = admission_costs(servers)
            idle, flooded = flood_p99s(servers)
    return {
        "verified_ratio": round(ratio, 3),
        "login_flood_p99_ratio": round(flooded / idle, 2),
        "admission_vs_hello": round(create / hello, 2),
        "admission_cpu_us": round(create),
        "hello_cpu_us": round(hello),
        "idle_p99_ms": round(idle, 2),
        "flooded_p99_ms": round(flooded, 2),
    }


if __name__ == "__main__":
    run(__doc__, measure, sys.argv[1:])
