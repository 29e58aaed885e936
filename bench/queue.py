"""The queue beside a plain one, before a backlog, and in simulated days: `./easel bench queue`.

`cycle_ratio`: full fair cycles a second over those of a plain SKIP LOCKED queue on the same server
in the same run, four clients (the slots of a worker); also with one and with eight, and over
Celery's drain of tasks that do nothing with one solo worker. `dispatch_p99_ms`: from the moment
when one more job is due until a worker has claimed, 100 a second, 100,000 jobs waiting.
`claim_growth`: a claim with 1,000,000 jobs waiting over one with 1,000. The rest comes from the
simulator (`sim.figures`): one user's flood, overload, shares, gaps, estimates.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from bench import queue_celery
from bench.figures import run
from bench.queue_backlog import claim_seconds, dispatch_seconds, fill
from bench.queue_cycles import PLAIN_TABLE, Cycle, cycles_a_second, fair_cycle, plain_cycle
from bench.server import Server, database_server, execute
from dev.platform import MIGRATION_OWNERS
from sim import figures as simulated

CLIENTS = (4, 1, 8)
ROUNDS, SECONDS = 5, 2.0
FEW, SOME, MANY = 1_000, 100_000, 1_000_000
CLAIMS, DISPATCH_SECONDS = 300, 20.0
PLAIN_FILL = """
    INSERT INTO plain.jobs (id, user_id, request, cost)
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, '{{}}', 1000
    FROM generate_series(1, {jobs}) n
"""


def say(words: str) -> None:
    """Progress, beside the figures."""
    print(words, file=sys.stderr, flush=True)


def best_rate(server: Server, cycle: Cycle, clients: int) -> float:
    """The best of a few looks: what else the machine does only ever slows one."""
    asyncio.run(execute(server.url, "CHECKPOINT"))
    return asyncio.run(cycles_a_second(server.url, cycle, clients, SECONDS))


def measure_cycles(server: Server) -> dict[str, float]:
    """Rates of both queues in turns, with 10,000 jobs waiting in each."""
    asyncio.run(execute(server.url, PLAIN_TABLE, PLAIN_FILL.format(jobs=10_000)))
    asyncio.run(fill(server.url, 10_000))
    rates: dict[tuple[str, int], float] = {}
    for clients in CLIENTS:
        for _ in range(ROUNDS):
            for name, cycle in (("plain", plain_cycle), ("fair", fair_cycle)):
                rate = best_rate(server, cycle, clients)
                rates[name, clients] = max(rate, rates.get((name, clients), 0.0))
        say(
            f"{clients} clients: plain {rates['plain', clients]:.0f}/s, "
            f"fair {rates['fair', clients]:.0f}/s"
        )
    celery = queue_celery.drain_rate()
    say(f"Celery, one solo worker, tasks that do nothing: {celery:.0f}/s")
    ratios = {n: rates["fair", n] / rates["plain", n] for n in CLIENTS}
    return {
        "cycle_ratio": ratios[CLIENTS[0]],
        **{f"cycle_ratio_{n}": ratios[n] for n in CLIENTS[1:]},
        "cycle_over_celery": rates["fair", CLIENTS[0]] / celery,
    }


def measure_backlog(server: Server) -> dict[str, float]:
    """Claims with few and with many jobs waiting, and the dispatch in between."""
    medians = {}
    for jobs in (FEW, MANY):
        asyncio.run(fill(server.url, jobs))
        medians[jobs] = asyncio.run(claim_seconds(server.url, CLAIMS))
        say(f"{jobs} jobs waiting: {medians[jobs] * 1e6:.0f} us a claim")
    asyncio.run(fill(server.url, SOME))
    waited = asyncio.run(dispatch_seconds(server.url, DISPATCH_SECONDS))
    return {
        "dispatch_p99_ms": waited[int(len(waited) * 0.99)] * 1000,
        "claim_growth": medians[MANY] / medians[FEW],
    }


def measure() -> dict[str, float]:
    """All figures of one run."""
    with tempfile.TemporaryDirectory(prefix="easel-queue-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server may run as another account
        with database_server(folder, list(MIGRATION_OWNERS)) as server:
            figures = {**measure_cycles(server), **measure_backlog(server)}
    say("simulating")
    return {name: round(value, 4) for name, value in {**figures, **simulated.measure()}.items()}


if __name__ == "__main__":
    run(__doc__, measure, sys.argv[1:])
