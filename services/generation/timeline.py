"""Where the time and the credits of a job went, from the moments that were noted of it.

A segment lasts from its moment to the next, so that the segments add up to the whole, exactly.
Workers' clocks may differ a little from the database's: a moment is never before the one in front
of it, nor after the end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from libs.credits.pricing import format_credits
from services.generation.attempts import LEASE_EXPIRED
from services.generation.models import Job, JobState, Mark

SegmentName = Literal[
    "queued",
    "rest",
    "claimed",
    "model_fetch",
    "model_load",
    "steps",
    "paused",
    "decode",
    "upload",
    "settle",
    "lost",
    "failed",
]
MICROSECOND = timedelta(microseconds=1)


class TimelineSegment(BaseModel):
    """A stretch of a job's life.

    `queued`: waits for its turn; `rest`: waits after a failure; `claimed`: a worker has it and the
    engine has no slot for it yet; `model_fetch`: object storage to disk; `model_load`: disk to
    memory; `steps`: denoising; `paused`: something more urgent had its slot; `decode`: latents to
    pixels; `upload`; `settle`: the closing transaction; `lost`: a worker had it and died; `failed`:
    it had ended, before it was queued again. `image` counts from 0. `reason`: why it was queued
    again.
    """

    name: SegmentName
    attempt: int
    image: int | None = None
    reason: str | None = None
    started_at: datetime
    ended_at: datetime
    microseconds: int
    millicredits: int


class TimelineAnswer(BaseModel):
    """The segments add up to `total_microseconds`, from creation to the end or until now, and their
    credits to what was captured."""

    generation_id: UUID
    status: JobState
    created_at: datetime
    ended_at: datetime
    total_microseconds: int
    captured_millicredits: int
    captured_credits: str
    segments: list[TimelineSegment]


@dataclass(frozen=True)
class Moment:
    """Where a segment begins. `steps` were done in it, when `after` others had been."""

    name: SegmentName
    at: datetime
    attempt: int
    image: int | None = None
    reason: str | None = None
    steps: int = 0
    after: int = 0


def show_timeline(job: Job, now: datetime) -> TimelineAnswer:
    """The timeline of a job, until its end or until now."""
    end = max(job.finished_at or now, job.created_at)
    moments = in_order(name_lost(list(moments_of(job)), job), end)
    captured = job.captured_millicredits or 0
    credits = share_credits(moments, captured)
    ends = [*(moment.at for moment in moments[1:]), end]
    segments = [
        TimelineSegment(
            name=moment.name,
            attempt=moment.attempt,
            image=moment.image,
            reason=moment.reason,
            started_at=moment.at,
            ended_at=until,
            microseconds=(until - moment.at) // MICROSECOND,
            millicredits=cost,
        )
        for moment, until, cost in zip(moments, ends, credits, strict=True)
        if until > moment.at or cost
    ]
    return TimelineAnswer(
        generation_id=job.id,
        status=job.state,
        created_at=job.created_at,
        ended_at=end,
        total_microseconds=(end - job.created_at) // MICROSECOND,
        captured_millicredits=captured,
        captured_credits=format_credits(captured),
        segments=segments,
    )


def moments_of(job: Job) -> Iterator[Moment]:
    """What was noted, as segments; a rest is followed by waiting."""
    attempt = 1
    yield Moment("queued", job.created_at.astimezone(UTC), attempt)
    for mark, following in pairwise([*job.marks, None]):
        if mark is None:
            return
        at = time_of(mark)
        if mark["name"] == "claimed":
            attempt = int(mark.get("attempt", attempt))
        rest = timedelta(seconds=float(mark.get("rest_seconds", 0)))
        reason = mark.get("reason")
        if rest > timedelta():
            attempt += 1
            over = at + rest if following is None else min(at + rest, time_of(following))
            yield Moment("rest", at, attempt, reason=reason)
            yield Moment("queued", over, attempt)
        else:
            attempt += mark["name"] == "queued"
            yield Moment(
                name=mark["name"],
                at=at,
                attempt=attempt,
                image=mark.get("image"),
                reason=reason,
                steps=int(mark.get("steps", 0)),
                after=int(mark.get("after", 0)),
            )


def time_of(mark: Mark) -> datetime:
    """When a moment was."""
    return datetime.fromisoformat(mark["at"]).astimezone(UTC)


def name_lost(moments: Sequence[Moment], job: Job) -> list[Moment]:
    """A worker that died noted nothing more: its claim was time that was lost."""
    lost = LEASE_EXPIRED["slug"]
    ended_lost = bool(job.error) and (job.error or {}).get("slug") == lost
    after = [*(moment.reason == lost for moment in moments[1:]), ended_lost]
    return [
        replace(moment, name="lost") if is_lost and moment.name == "claimed" else moment
        for moment, is_lost in zip(moments, after, strict=True)
    ]


def in_order(moments: Sequence[Moment], end: datetime) -> list[Moment]:
    """No moment before the one in front of it, none after the end."""
    times = accumulate((moment.at for moment in moments), max)
    return [replace(moment, at=min(at, end)) for moment, at in zip(moments, times, strict=True)]


def share_credits(moments: Sequence[Moment], captured: int) -> list[int]:
    """What each segment cost: the steps that were kept share what was captured. Where none were
    noted, the last claim cost it."""
    claims = [place for place, moment in enumerate(moments) if is_claim(moments, place)]
    last = claims[-1] if claims else 0
    done = kept_steps(moments)
    total = sum(done)
    if not total:
        return [captured if place == last else 0 for place in range(len(moments))]
    reached = [captured * steps // total for steps in accumulate(done)]
    return [upto - before for before, upto in pairwise([0, *reached])]


def kept_steps(moments: Sequence[Moment]) -> list[int]:
    """Steps of each segment that no later one did again: an attempt goes on at a checkpoint."""
    kept, begun = [], dict[int | None, int]()
    for moment in reversed(moments):
        until = begun.get(moment.image, moment.after + moment.steps)
        is_drawing = moment.name == "steps"
        kept.append(max(0, min(until - moment.after, moment.steps)) if is_drawing else 0)
        if is_drawing:
            begun[moment.image] = min(until, moment.after)
    return kept[::-1]


def is_claim(moments: Sequence[Moment], place: int) -> bool:
    """Whether an attempt begins here; the engine's slot is waited for anew for each image."""
    moment = moments[place]
    before = moments[place - 1].name if place else None
    return moment.name in ("claimed", "lost") and before in ("queued", "rest")
