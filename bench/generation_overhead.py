"""Platform time beside bare Triton time: `./easel bench overhead [--json]`, platform running.

One run alternates the same 64 px, 20-step request through the API (from POST to the `finished`
event) and straight to Triton over gRPC. `non_triton_ms` is the median of the paired differences:
gateway, admission, outbox, Celery, claim, encoding, upload, closing transaction and events.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Iterator

from bench.figures import print_figures
from dev import ports
from dev.account import sign_up
from dev.client import Client
from dev.lifecycle import make_setup
from dev.parts.program import LOOPBACK, PartError
from dev.settings import Setup
from dev.state import find_state
from libs.triton.client import TritonClient
from libs.triton.contract import GenerationRequest

PAIRS = 16
JOBS_OF_A_USER = 8  # below the free plan's requests an hour
REQUEST = {
    "model": "demo",
    "prompt": "a red apple",
    "width": 64,
    "height": 64,
    "steps": 20,
    "guidance": 5.0,
    "scheduler": "euler",
}


def new_clients(setup: Setup) -> Iterator[Client]:
    """Clients of fresh accounts, each as often as its plan allows."""
    while True:
        client = Client(setup.public_url)
        sign_up(client, setup.mailbox, "Bench")
        yield from [client] * JOBS_OF_A_USER


def through_the_platform(client: Client, seed: int) -> float:
    """Seconds from POST to the `finished` event."""
    started = time.perf_counter()
    job = client.call("POST", "/api/v1/generations", {**REQUEST, "seed": seed})
    events = list(client.events(f"/api/v1/generations/{job['id']}/events"))
    seconds = time.perf_counter() - started
    if not events or events[-1].data.get("status") != "succeeded":
        raise PartError(f"generation {job['id']} did not succeed: see `./easel logs worker`")
    return seconds


async def straight_to_triton(triton: TritonClient, seed: int) -> float:
    """Seconds from the gRPC request to the picture."""
    request = GenerationRequest.model_validate({**REQUEST, "seed": seed, "progress_every": 5})
    started = time.perf_counter()
    async for _ in triton.generate(request):
        pass
    return time.perf_counter() - started


async def measure(setup: Setup, pairs: int) -> dict[str, float]:
    """The figures of one run, in milliseconds."""
    triton = TritonClient(f"{LOOPBACK}:{setup.ports['triton_grpc']}")
    clients = new_clients(setup)
    totals, bares = [], []
    for seed in range(pairs + 1):
        total = await asyncio.to_thread(through_the_platform, next(clients), seed)
        bare = await straight_to_triton(triton, seed)
        if seed:  # the first pair warms every cache
            totals.append(total * 1000)
            bares.append(bare * 1000)
    await triton.close()
    differences = [total - bare for total, bare in zip(totals, bares, strict=True)]
    return {
        "total_ms": round(statistics.median(totals), 1),
        "bare_triton_ms": round(statistics.median(bares), 1),
        "non_triton_ms": round(statistics.median(differences), 1),
        "pairs": pairs,
    }


def main(argv: list[str]) -> int:
    """Print the table, or one JSON object with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    arguments = parser.parse_args(argv)
    state = find_state()
    chosen = ports.remembered(state)
    if not chosen:
        print("bench: Easel is not running here: run `./easel up`", file=sys.stderr)
        return 1
    setup = make_setup(state, ports.remembered_backing(state), chosen)
    try:
        figures = asyncio.run(measure(setup, arguments.pairs))
    except PartError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print_figures(figures, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
