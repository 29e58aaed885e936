from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.ids import new_id
from services.generation.attempts import LEASE_EXPIRED
from services.generation.models import Job
from services.generation.timeline import TimelineAnswer, show_timeline

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def at(seconds: float) -> str:
    return (NOON + timedelta(seconds=seconds)).isoformat()


def mark(name: str, seconds: float, **details: Any) -> dict[str, Any]:
    return {"name": name, "at": at(seconds), **details}


def job_of(marks: list[dict[str, Any]], *, end: float | None, **values: Any) -> Job:
    finished = None if end is None else NOON + timedelta(seconds=end)
    state = "running" if end is None else "succeeded"
    return Job(
        **{
            "id": new_id(),
            "user_id": UUID(int=1),
            "state": state,
            "marks": marks,
            "created_at": NOON,
            "finished_at": finished,
            **values,
        }
    )


def names(timeline: TimelineAnswer) -> list[tuple[str, int, float, int]]:
    return [
        (part.name, part.attempt, part.microseconds / 1e6, part.millicredits)
        for part in timeline.segments
    ]


def assert_whole(timeline: TimelineAnswer) -> None:
    assert sum(part.microseconds for part in timeline.segments) == timeline.total_microseconds
    assert sum(part.millicredits for part in timeline.segments) == timeline.captured_millicredits


TWO_IMAGES = [
    mark("claimed", 4, attempt=1),
    mark("model_load", 5, image=0),
    mark("claimed", 9, image=0),
    mark("steps", 10, image=0, steps=20),
    mark("decode", 14, image=0),
    mark("upload", 15, image=0),
    mark("claimed", 16, image=1),
    mark("steps", 17, image=1, steps=10),
    mark("settle", 20),
]


def test_every_part_of_a_job_is_told_and_the_steps_cost_the_credits() -> None:
    timeline = show_timeline(job_of(TWO_IMAGES, end=21, captured_millicredits=1_000), NOON)
    assert names(timeline) == [
        ("queued", 1, 4, 0),
        ("claimed", 1, 1, 0),
        ("model_load", 1, 4, 0),
        ("claimed", 1, 1, 0),
        ("steps", 1, 4, 666),
        ("decode", 1, 1, 0),
        ("upload", 1, 1, 0),
        ("claimed", 1, 1, 0),
        ("steps", 1, 3, 334),
        ("settle", 1, 1, 0),
    ]
    assert timeline.captured_credits == "1"
    assert_whole(timeline)


def test_lost_attempts_and_rests_are_told_and_cost_nothing() -> None:
    marks = [
        mark("claimed", 1, attempt=1),
        mark("queued", 16, reason=LEASE_EXPIRED["slug"], rest_seconds=0),
        mark("claimed", 17, attempt=2),
        mark("steps", 18, image=0, steps=5),
        mark("queued", 20, reason="engine-failed", rest_seconds=5.0),
        mark("claimed", 27, attempt=3),
        mark("steps", 28, image=0, steps=20),
        mark("settle", 30),
    ]
    timeline = show_timeline(job_of(marks, end=31, captured_millicredits=700), NOON)
    assert names(timeline) == [
        ("queued", 1, 1, 0),
        ("lost", 1, 15, 0),
        ("queued", 2, 1, 0),
        ("claimed", 2, 1, 0),
        ("steps", 2, 2, 0),
        ("rest", 3, 5, 0),
        ("queued", 3, 2, 0),
        ("claimed", 3, 1, 0),
        ("steps", 3, 2, 700),
        ("settle", 3, 1, 0),
    ]
    assert timeline.segments[5].reason == "engine-failed"
    assert_whole(timeline)


def test_steps_are_paid_where_they_were_run_and_kept() -> None:
    marks = [
        mark("claimed", 1, attempt=1),
        mark("steps", 2, image=0, steps=20, after=0),
        mark("steps", 4, image=1, steps=5, after=0),
        mark("paused", 5, image=1),
        mark("steps", 6, image=1, steps=7, after=5),
        mark("queued", 8, reason="worker-stops", rest_seconds=0),
        mark("claimed", 9, attempt=2),
        mark("steps", 10, image=1, steps=10, after=10),
        mark("settle", 12),
    ]
    timeline = show_timeline(job_of(marks, end=13, captured_millicredits=4_000), NOON)
    assert names(timeline) == [
        ("queued", 1, 1, 0),
        ("claimed", 1, 1, 0),
        ("steps", 1, 2, 2_000),
        ("steps", 1, 1, 500),
        ("paused", 1, 1, 0),
        ("steps", 1, 2, 500),
        ("queued", 2, 1, 0),
        ("claimed", 2, 1, 0),
        ("steps", 2, 2, 1_000),
        ("settle", 2, 1, 0),
    ]
    assert_whole(timeline)


def test_a_job_given_up_after_its_worker_died_ends_in_lost_time() -> None:
    lost = job_of([mark("claimed", 1, attempt=3)], end=16, state="failed", error=LEASE_EXPIRED)
    assert names(show_timeline(lost, NOON))[-1] == ("lost", 3, 15, 0)


def test_until_now_while_it_runs() -> None:
    timeline = show_timeline(
        job_of([mark("claimed", 4, attempt=1)], end=None), NOON.replace(hour=13)
    )
    assert names(timeline) == [("queued", 1, 4, 0), ("claimed", 1, 3_596, 0)]
    waiting = show_timeline(job_of([], end=None, state="queued"), NOON + timedelta(seconds=2))
    assert names(waiting) == [("queued", 1, 2, 0)]


def test_what_was_paid_without_notes_is_the_claims() -> None:
    old = job_of([mark("claimed", 1, attempt=1)], end=3, captured_millicredits=900)
    assert names(show_timeline(old, NOON)) == [("queued", 1, 1, 0), ("claimed", 1, 2, 900)]


NAMES = st.sampled_from(
    ["claimed", "steps", "paused", "decode", "upload", "settle", "queued", "failed"]
)


@given(
    st.lists(
        st.tuples(
            NAMES, st.floats(-5, 50), st.integers(0, 30), st.floats(0, 9), st.integers(0, 30)
        ),
        max_size=12,
    ),
    st.floats(0, 40),
    st.integers(0, 10_000),
)
def test_the_parts_are_the_whole_whatever_the_clocks_say(
    moments: list[tuple[str, float, int, float, int]], end: float, captured: int
) -> None:
    marks = [
        mark(
            name,
            seconds,
            steps=steps,
            after=after,
            **({"rest_seconds": rest} if name == "queued" else {}),
        )
        for name, seconds, steps, rest, after in moments
    ]
    timeline = show_timeline(job_of(marks, end=end, captured_millicredits=captured), NOON)
    assert_whole(timeline)
    ends = [part.ended_at for part in timeline.segments]
    assert ends == sorted(ends) and all(part.microseconds >= 0 for part in timeline.segments)
