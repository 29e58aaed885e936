"""How long a job will wait, from the queue as it is and the speeds that were measured."""

from dataclasses import dataclass

from services.generation.schemas import WaitEstimate

FIRST_JOB_SECONDS_PER_MILLICREDIT = 0.001  # a credit is one GPU-second: until a job was measured


@dataclass(frozen=True)
class Outlook:
    """A pool's queue: work waiting, jobs running, measured seconds a milli-credit."""

    waiting: int
    waiting_millicredits: int
    running: int
    p50_speed: float | None
    p90_speed: float | None


def estimate_wait(outlook: Outlook) -> WaitEstimate:
    """Seconds until a job that is queued now starts: work ahead over the slots that are busy."""
    slots = max(1, outlook.running)

    def seconds(speed: float | None) -> float:
        per_millicredit = speed or FIRST_JOB_SECONDS_PER_MILLICREDIT
        return round(outlook.waiting_millicredits * per_millicredit / slots, 1)

    return WaitEstimate(
        jobs_ahead=outlook.waiting,
        p50_seconds=seconds(outlook.p50_speed),
        p90_seconds=seconds(outlook.p90_speed),
    )
