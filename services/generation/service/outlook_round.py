"""The outlook of the whole queue, once a second: what estimates, admission and shares go by.

The relay looks at everybody's jobs so that no request has to. After a look that took long it rests
for longer: looking never takes more than a tenth of a core.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import Gauge

from libs.db.engine import Sessions
from libs.kernel.clock import Clock
from libs.tiers.catalogue import Pool
from services.generation.looks import Outlook, describe
from services.generation.measures import Measured, measure
from services.generation.repository import outlooks
from services.generation.waiting import POOLS, TIERS

OUTLOOK_SECONDS = 1.0
REST_OVER_WORK = 10.0
MEASURE_SECONDS = 5.0
labels = ("pool", "tier")
waiting_jobs = Gauge("easel_queue_waiting_jobs", "Jobs that wait", labels)
running_jobs = Gauge("easel_queue_running_jobs", "Jobs in flight", labels)
oldest_seconds = Gauge("easel_queue_oldest_wait_seconds", "Age of the oldest that waits", labels)
kept_ratio = Gauge(
    "easel_queue_estimates_kept_ratio", "Jobs that started before the p90 they were told", labels
)
pool_slots = Gauge("easel_queue_slots", "Jobs that may run at once", ("pool",))
target_seconds = Gauge(
    "easel_queue_target_seconds", "What 95 of 100 waits should not pass", ("tier",)
)


@dataclass
class Outlooker:
    """The round, and what it remembers between two looks."""

    sessions: Sessions
    clock: Clock
    measured: Mapping[Pool, Measured] = field(default_factory=dict)
    measure_at: float = float("-inf")
    look_at: float = float("-inf")

    async def look_in_turn(self) -> None:
        """Look, unless the last look was dear and short ago."""
        started = time.monotonic()
        if started >= self.look_at:
            await self.look()
            ended = time.monotonic()
            self.look_at = ended + REST_OVER_WORK * (ended - started) - OUTLOOK_SECONDS

    async def look(self) -> None:
        """Look and write down."""
        async with self.sessions.begin() as session:
            if time.monotonic() >= self.measure_at:
                drawn = {pool: await outlooks.read_drawn(session, pool) for pool in POOLS}
                self.measured = {pool: measure(jobs) for pool, jobs in drawn.items()}
                self.measure_at = time.monotonic() + MEASURE_SECONDS
            look = await outlooks.read_look(session, self.measured, self.clock())
            written = describe(look)
            await outlooks.write_outlooks(session, written)
        show_metrics(written)


def show_metrics(written: Iterable[Outlook]) -> None:
    """Set the gauges."""
    for tier in TIERS:
        target_seconds.labels(tier.name).set(tier.target_wait_p95_seconds)
    for row in written:
        facts = row.facts
        waiting_jobs.labels(row.pool, row.tier).set(facts.waiting)
        running_jobs.labels(row.pool, row.tier).set(facts.running)
        oldest_seconds.labels(row.pool, row.tier).set(facts.oldest_seconds)
        pool_slots.labels(row.pool).set(facts.pool.slots + facts.pool.helping_slots)
        if facts.kept is not None:
            kept_ratio.labels(row.pool, row.tier).set(facts.kept)
