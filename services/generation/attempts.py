"""The rules of attempts: how often a job may fail, and how long it rests in between."""

from libs.events.topics import Event
from services.generation.models import Job

MAX_FAILURES = 3
MAX_ENGINE_DEATHS = 3
RETRY_SECONDS = (1.0, 5.0, 15.0)
LONGEST_PART_AWAY_SECONDS = 60.0
LEASE_EXPIRED = {
    "slug": "worker-lost",
    "detail": "The machines that worked on this failed repeatedly; nothing was charged",
}
PART_AWAY = {"slug": "part-away", "detail": "A part that is needed does not answer"}
WORKER_STOPS = {"slug": "worker-stops", "detail": "The machine is being taken away"}
REQUEUED = {"slug": "requeued", "detail": "Somebody of ours gave it another chance"}
ENGINE_DIED = {"slug": "engine-died", "detail": "The engine ended while it drew this"}
PICTURE_REFUSED = {
    "slug": "picture-refused",
    "detail": "A picture may not be delivered; it was not charged",
}
ENGINE_FAILED = {
    "slug": "engine-failed",
    "detail": "The picture could not be made; nothing was charged",
}


def retry_delay_seconds(failures: int) -> float:
    """The rest before the next attempt, after `failures` earlier ones."""
    return RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]


def part_away_seconds(attempt: int) -> float:
    """The rest when a part was away in the `attempt`-th try: 1, 2, 4, ... at most 60 seconds."""
    return min(LONGEST_PART_AWAY_SECONDS, 2.0 ** min(attempt - 1, 10))


def endings_of(job: Job) -> list[str]:
    """Why each attempt since the job was last queued by somebody ended, the last one last."""
    reasons = [str(mark.get("reason")) for mark in job.marks if mark["name"] == "queued"]
    given = [place for place, reason in enumerate(reasons) if reason == REQUEUED["slug"]]
    return reasons[given[-1] + 1 :] if given else reasons


def engine_deaths(job: Job) -> int:
    """How many engines have died while they drew this job."""
    return endings_of(job).count(ENGINE_DIED["slug"])


def may_resume(job: Job) -> bool:
    """Whether a picture may go on in its kept state: not one on which an engine failed, and not one
    whose state may be what kills engines."""
    failed = ENGINE_FAILED["slug"] in endings_of(job)
    return not failed and engine_deaths(job) < MAX_ENGINE_DEATHS - 1


def requeued_event(job: Job, reason: dict[str, str]) -> Event:
    """Tells the owner that the job starts again, and why."""
    return Event(
        topic="job.requeued",
        user_id=job.user_id,
        job_id=job.id,
        data={"attempt": job.attempt, "reason": reason["slug"]},
    )
