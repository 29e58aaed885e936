"""How an attempt is written down: ended with what was delivered, or queued again."""

from functools import partial

from prometheus_client import Counter

from libs.credits.pricing import executed_price, load_price_book
from libs.db.engine import Sessions
from services.generation.attempts import (
    ENGINE_DIED,
    ENGINE_FAILED,
    MAX_ENGINE_DEATHS,
    MAX_FAILURES,
    PART_AWAY,
    PICTURE_REFUSED,
    engine_deaths,
    part_away_seconds,
    retry_delay_seconds,
)
from services.generation.models import JobState
from services.generation.resolution import work_of
from services.generation.service.checkpoints import Keeper
from services.generation.service.drawn import Drawing
from services.generation.service.endings import finish_job, hand_back_job, write_down

Reason = dict[str, str]
attempts = Counter("easel_job_attempts_total", "Attempts of jobs by outcome", ("outcome",))


async def close_job(
    sessions: Sessions,
    drawing: Drawing,
    keeper: Keeper,
    state: JobState,
    error: Reason | None = None,
) -> None:
    """End the job with what was delivered; a failed one is free. Raises LeaseLost.

    Each step is charged once, by whichever attempt it was run.
    """
    job, failed = drawing.job, state == "failed"
    steps = 0 if failed else drawing.executed_steps()
    prices = load_price_book(job.price_version)
    captured = executed_price(work_of(drawing.request, job.base), steps, prices)
    drawing.mark("settle")
    end = partial(
        finish_job,
        job=job,
        state=state,
        captured=min(captured, job.quoted_millicredits),
        images=() if failed else drawing.images,
        error=error,
        marks=drawing.marks,
    )
    await keeper.settle()  # an owner who is erased then leaves nothing that arrives later
    await write_down(sessions, job, end)
    attempts.labels(state).inc()
    if drawing.has_looked and not drawing.is_delivering:  # else it leads to files of nobody's
        await keeper.forget()


async def close_drawn(sessions: Sessions, drawing: Drawing, keeper: Keeper) -> None:
    """End a job whose images are all drawn, and delivered but for those that were refused."""
    if not drawing.refused:
        await close_job(sessions, drawing, keeper, "succeeded")
    elif drawing.images:
        await close_job(sessions, drawing, keeper, "partial", PICTURE_REFUSED)
    else:
        await close_job(sessions, drawing, keeper, "failed", PICTURE_REFUSED)


async def hand_back(
    sessions: Sessions,
    drawing: Drawing,
    reason: Reason,
    *,
    delay_seconds: float,
    failures: int = 0,
) -> None:
    """Queue the job again. Raises LeaseLost."""
    end = partial(
        hand_back_job,
        job=drawing.job,
        reason=reason,
        has_begun=drawing.has_begun,
        delay_seconds=delay_seconds,
        failures=failures,
        marks=drawing.marks,
    )
    await write_down(sessions, drawing.job, end)
    attempts.labels(reason["slug"]).inc()


async def wait_for_part(sessions: Sessions, drawing: Drawing) -> None:
    """A part is away: hand the job back, for longer each time, and count no failure."""
    delay = part_away_seconds(drawing.job.attempt)
    await hand_back(sessions, drawing, PART_AWAY, delay_seconds=delay)


async def retry_or_fail(sessions: Sessions, drawing: Drawing, keeper: Keeper) -> None:
    """The engine failed on this job: rest and try again, or give up with what was delivered."""
    job = drawing.job
    if job.failures + 1 < MAX_FAILURES:
        delay = retry_delay_seconds(job.failures)
        await hand_back(sessions, drawing, ENGINE_FAILED, delay_seconds=delay, failures=1)
    else:
        await give_up(sessions, drawing, keeper, ENGINE_FAILED)


async def suspect_or_give_up(sessions: Sessions, drawing: Drawing, keeper: Keeper) -> None:
    """The engine died while it drew this job and perhaps others, who are not to blame.

    No failure is counted; it draws alone from now on, and whoever kills engines then is known.
    """
    deaths = engine_deaths(drawing.job)
    if deaths + 1 < MAX_ENGINE_DEATHS:
        delay = retry_delay_seconds(deaths)
        await hand_back(sessions, drawing, ENGINE_DIED, delay_seconds=delay)
    else:
        await give_up(sessions, drawing, keeper, ENGINE_FAILED)


async def give_up(sessions: Sessions, drawing: Drawing, keeper: Keeper, reason: Reason) -> None:
    """End with what was delivered, or free of charge."""
    drawing.steps_of_current = 0
    state: JobState = "partial" if drawing.images else "failed"
    await close_job(sessions, drawing, keeper, state, reason)
