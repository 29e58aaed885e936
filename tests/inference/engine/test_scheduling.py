"""The rules of who runs: nobody waits for ever, nobody changes places without end."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.jobs import Job
from inference.engine.scheduling import (
    Candidate,
    Ready,
    choose_running,
    effective_class,
    model_buckets,
    next_batch,
    padded_rows,
    read_buckets,
)
from tests.inference.engine.recorder import Recorder
from tests.inference.sample_requests import request

AGEING = 2
CLASSES = st.integers(0, 9)


def everything_fits(numbers: object) -> bool:
    return True


candidates = st.lists(
    st.builds(
        lambda urgency, is_running, is_paused: (urgency, is_running, is_running or is_paused),
        CLASSES,
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
).map(lambda drawn: [Candidate(n, *one) for n, one in enumerate(drawn)])


@given(candidates, st.integers(0, 5))
def test_only_a_strictly_better_class_takes_a_slot_away(
    pictures: list[Candidate], slots: int
) -> None:
    chosen = set(choose_running(pictures, slots, everything_fits))
    assert len(chosen) == min(slots, len(pictures))
    new = [one for one in pictures if one.number in chosen and not one.is_running]
    left = [one for one in pictures if one.number not in chosen]
    for one in left:
        for taken in new:
            if one.is_running:
                assert taken.urgency < one.urgency
            else:  # first come, first served
                assert (taken.urgency, taken.number) < (one.urgency, one.number)


@given(candidates, st.integers(1, 5), st.integers(0, 60))
def test_who_lacks_room_lets_nobody_behind_it_start(
    pictures: list[Candidate], slots: int, room: int
) -> None:
    sizes = {one.number: (one.number * 7) % 13 + 1 for one in pictures}
    chosen = choose_running(pictures, slots, lambda ns: sum(sizes[n] for n in ns) <= room)
    assert sum(sizes[number] for number in chosen) <= room
    rank = {one.number: (one.urgency, not one.is_running, one.number) for one in pictures}
    by_number = {one.number: one for one in pictures}
    skipped = [n for n in rank if n not in chosen and any(rank[n] < rank[c] for c in chosen)]
    for number in chosen:
        if any(rank[other] < rank[number] for other in skipped):
            assert by_number[number].has_begun


@dataclass
class Life:
    """A picture of a simulation with one tick a step."""

    number: int
    arrival: int
    priority: int
    work: int
    waited: int = 0
    pauses: int = 0
    is_running: bool = False
    has_begun: bool = False
    ended: int | None = None


def simulate(drawn: list[tuple[int, int, int]], slots: int) -> list[Life]:
    lives = [Life(n, *one) for n, one in enumerate(sorted(drawn))]
    tick = 0
    while any(life.ended is None for life in lives):
        here = [life for life in lives if life.arrival <= tick and life.ended is None]
        choice = choose_running(
            [
                Candidate(
                    life.number,
                    effective_class(life.priority, life.waited, AGEING),
                    life.is_running,
                    life.has_begun,
                )
                for life in here
            ],
            slots,
            everything_fits,
        )
        for life in here:
            runs = life.number in choice
            life.pauses += life.is_running and not runs
            life.is_running, life.has_begun = runs, life.has_begun or runs
            life.work -= runs
            life.waited += not runs
            if life.work == 0:
                life.ended = tick
        tick += 1
    return lives


arrivals = st.lists(st.tuples(st.integers(0, 30), CLASSES, st.integers(1, 6)), max_size=25)


@given(arrivals, st.integers(1, 3))
def test_waiting_has_an_end_whatever_comes_later(
    drawn: list[tuple[int, int, int]], slots: int
) -> None:
    """After `priority * AGEING` of waiting a picture is in class 0, where only those that came
    before it and those that run then go first."""
    longest = max((work for _, _, work in drawn), default=0)
    for life in simulate(drawn, slots):
        before = sum(work for n, (_, _, work) in enumerate(sorted(drawn)) if n < life.number)
        assert life.waited <= life.priority * AGEING + before + slots * longest


@given(CLASSES, CLASSES, st.integers(1, 60), st.integers(1, 60), st.integers(0, 20))
def test_two_pictures_change_places_at_most_once_a_class(
    first: int, second: int, work: int, other_work: int, later: int
) -> None:
    lives = simulate([(0, first, work), (later, second, other_work)], slots=1)
    assert sum(life.pauses for life in lives) <= first + second + 1


def test_a_class_is_gained_by_waiting_alone_and_never_lost() -> None:
    job = Job(1, request(priority=3), (), "", Recorder(), arrived=100.0)
    assert job.urgency(109.0, 10) == 3
    assert job.urgency(110.0, 10) == 2
    job.begin_work(115.0)
    assert job.waited(500.0) == 15.0
    job.end_work(500.0)
    assert job.urgency(504.0, 10) == 2
    assert job.urgency(505.0, 10) == 1
    assert job.urgency(9999.0, 10) == 0


ready = st.lists(
    st.tuples(CLASSES, st.integers(0, 5), st.integers(1, 3), st.sampled_from("ab")), max_size=10
).map(lambda drawn: [Ready(n, *one) for n, one in enumerate(drawn)])


@given(ready, st.sampled_from([(), (8,), (2, 4), (1,)]))
def test_a_batch_is_of_one_group_and_holds_the_most_urgent(
    pictures: list[Ready], buckets: tuple[int, ...]
) -> None:
    batch = [pictures[number] for number in next_batch(pictures, buckets)]
    assert bool(batch) == bool(pictures)
    if batch:
        best = min(pictures, key=lambda one: (one.urgency, one.stepped, one.number))
        assert batch[0] == best
        assert len({one.group for one in batch}) == 1
        assert len(batch) == 1 or sum(one.rows for one in batch) <= max(buckets)


@given(st.integers(1, 8), st.integers(1, 8))
def test_pictures_of_one_row_share_half_a_bucket(pictures: int, slots: int) -> None:
    """As many of them as of pictures with two rows, and no more than half of it is idle."""
    singles = [Ready(n, 0, 0, 1, "flux", is_single=True) for n in range(pictures)]
    pairs = [Ready(n, 0, 0, 2, "sdxl") for n in range(pictures)]
    bucket = (2 * slots,)
    assert next_batch(singles, bucket) == next_batch(pairs, bucket)
    assert model_buckets(bucket, is_single=True) == (slots,)
    assert model_buckets(bucket, is_single=False) == bucket
    assert model_buckets((1, 2, 3), is_single=True) == (1,)
    assert model_buckets((), is_single=True) == ()


@given(st.integers(1, 8), st.lists(st.sampled_from("abc"), min_size=1, max_size=6))
def test_equal_pictures_take_turns(bucket: int, groups: list[str]) -> None:
    stepped = dict.fromkeys(range(len(groups)), 0)
    for turn in range(1, len(groups) + 1):
        pictures = [Ready(n, 0, stepped[n], 1, group) for n, group in enumerate(groups)]
        for number in next_batch(pictures, (bucket,)):
            stepped[number] = turn
    assert all(stepped.values())


def test_rows_are_filled_up_to_a_bucket() -> None:
    assert [padded_rows(rows, (2, 4, 8)) for rows in (1, 2, 3, 5, 8, 9)] == [2, 2, 4, 8, 8, 9]
    assert padded_rows(3, ()) == 3


def test_buckets_are_read_from_a_text() -> None:
    assert read_buckets("") == ()
    assert read_buckets("8, 2 4,4") == (2, 4, 8)
    for wrong in ("0", "-2", "two", "2.5"):
        with pytest.raises(ValueError, match="batch_rows must be whole numbers"):
            read_buckets(wrong)
