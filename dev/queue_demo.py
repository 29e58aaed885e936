"""`./easel demo queue`: three plans and one free user who floods, on the running platform.

Customers of three plans each want a picture now and then. One free user asks at once for more than
the free plan lets in, six pictures at a time. What everybody waited is printed by plan.
"""

import argparse
import math
import random
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dev.account import register
from dev.client import ApiError, Client
from dev.mailbox import Mailbox
from dev.parts.program import PartError

PAID_TIERS = ("starter", "pro")
TIERS = ("free", *PAID_TIERS)
PEOPLE_A_TIER = 3
FLOOD_REQUESTS = 14
FLOOD_PICTURES = 6
STEPS = 20
LOOK_SECONDS = 4.0
END_SECONDS = 240.0
PATH = "/api/v1/generations"
ENDED = ("succeeded", "partial", "failed", "cancelled", "expired")
HEAD = ("", "jobs", "refused", "p50, s", "p95, s", "target, s", "inside")


@dataclass
class Customer:
    """Somebody who asks; `floods` is the one who asks too much."""

    client: Client
    email: str
    tier: str
    floods: bool
    refused: int = 0

    @property
    def line(self) -> str:
        """Where the customer's jobs are counted."""
        return "flooder" if self.floods else self.tier

    def ask(self, pictures: int, seed: int) -> None:
        """One request; that a limit refuses it is counted."""
        size = {"width": 64, "height": 64, "steps": STEPS, "num_images": pictures, "seed": seed}
        try:
            self.client.call("POST", PATH, {"model": "demo", "prompt": "a red apple", **size})
        except ApiError as error:
            if error.status != 429:
                raise
            self.refused += 1

    def jobs(self) -> list[Any]:
        """All jobs so far."""
        found: list[Any] = self.client.call("GET", f"{PATH}?limit=100")["items"]
        return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=50.0, help="how long people ask")
    parser.add_argument("--every", type=float, default=1.5, help="seconds between two requests")


def open_accounts(url: str, mailbox: Mailbox) -> list[Customer]:
    """Fresh accounts, side by side; all are on the free plan until somebody gives them another."""
    kinds = [(tier, False) for tier in TIERS for _ in range(PEOPLE_A_TIER)] + [("free", True)]

    def open_one(kind: tuple[str, bool]) -> Customer:
        tier, floods = kind
        email = f"{'flooder' if floods else tier}-{secrets.token_hex(8)}@easel.example"
        customer = Customer(Client(url), email, tier, floods)
        register(customer.client, mailbox, email, secrets.token_urlsafe(18), tier.capitalize())
        return customer

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(open_one, kinds))


def run(customers: Sequence[Customer], arguments: argparse.Namespace) -> None:
    """Let them ask, tell how it goes, and print the waits. Raises PartError if it never ends."""
    flooder = next(customer for customer in customers if customer.floods)
    people = [customer for customer in customers if not customer.floods]
    with ThreadPoolExecutor(1) as pool:
        for number in range(FLOOD_REQUESTS):
            flooder.ask(FLOOD_PICTURES, number)
        asked = pool.submit(ask_now_and_then, people, arguments.seconds, arguments.every)
        jobs = watch(customers, asked)
    plans = flooder.client.call("GET", "/api/v1/plans")["plans"]
    targets = {plan["name"]: plan["target_wait_p95_seconds"] for plan in plans}
    for row in (HEAD, *rows_of(customers, jobs, targets)):
        print(f"{row[0]:<10}" + "".join(f"{word:>11}" for word in row[1:]))


def ask_now_and_then(people: Sequence[Customer], seconds: float, every: float) -> None:
    """Requests of one picture at random moments, by everybody in turn."""
    chance = random.Random(1)
    ends, number = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        people[number % len(people)].ask(1, number)
        number += 1
        time.sleep(chance.expovariate(1 / every))


def watch(customers: Sequence[Customer], asked: "Future[None]") -> dict[str, list[Any]]:
    """All jobs by line of the table, when all have been asked for and have ended."""
    started = time.monotonic()
    while (seconds := time.monotonic() - started) < END_SECONDS:
        over = asked.done()
        jobs: dict[str, list[Any]] = {}
        for customer in customers:
            jobs.setdefault(customer.line, []).extend(customer.jobs())
        tell(seconds, jobs)
        if over and all(job["status"] in ENDED for found in jobs.values() for job in found):
            asked.result()
            return jobs
        time.sleep(LOOK_SECONDS)
    raise PartError("not all jobs have ended: see `./easel logs worker`")


def tell(seconds: float, jobs: dict[str, list[Any]]) -> None:
    """One line: what waits, runs and has ended."""
    parts = []
    for line, found in jobs.items():
        states = Counter(job["status"] for job in found)
        ended = sum(states[state] for state in ENDED)
        parts.append(f"{line} {states['queued']} / {states['running']} / {ended}")
    print(f"{seconds:5.0f} s  waiting / running / ended:  " + "   ".join(parts), flush=True)


def rows_of(
    customers: Sequence[Customer], jobs: dict[str, list[Any]], targets: dict[str, int]
) -> Iterator[tuple[str, ...]]:
    """The waits from acceptance to start, line by line."""
    for line, found in jobs.items():
        refused = sum(customer.refused for customer in customers if customer.line == line)
        waits = sorted(wait_of(job) for job in found if job["started_at"])
        target = targets[found[0]["tier"]]
        inside = sum(wait <= target for wait in waits) / len(waits)
        middle, most = (waits[math.ceil(share * len(waits)) - 1] for share in (0.5, 0.95))
        numbers = (f"{middle:.1f}", f"{most:.1f}", f"{target}", f"{inside:.0%}")
        yield (line, str(len(found)), str(refused), *numbers)


def wait_of(job: Any) -> float:
    """Seconds from acceptance to the first start."""
    accepted, started = (datetime.fromisoformat(job[name]) for name in ("created_at", "started_at"))
    return (started - accepted).total_seconds()
