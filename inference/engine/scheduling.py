"""Who runs and whose rows are stepped next: pure rules over numbers.

A picture has a class from 0 (goes first) to 9. Every `ageing_seconds` in which nobody works on it
raise it by one class for good, so that nobody waits for ever: after `9 * ageing_seconds` it is in
class 0, where only those that arrived before it go first. A running picture gives way to a strictly
better class alone, so two pictures change places at most once a class.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A picture that runs or could: `number` counts arrivals, `urgency` is its class now. One that
    `has_begun`, running or paused, holds memory until it has ended."""

    number: int
    urgency: int
    is_running: bool
    has_begun: bool


@dataclass(frozen=True)
class Ready:
    """A picture that waits for its next step. `stepped` numbers the batch that it was in last;
    pictures of equal `group` can share a call. `is_single`: as in `model_buckets`."""

    number: int
    urgency: int
    stepped: int
    rows: int
    group: Hashable
    is_single: bool = False


def effective_class(priority: int, waited_seconds: float, ageing_seconds: float) -> int:
    """The class that a request's priority has become."""
    return max(0, priority - int(waited_seconds // ageing_seconds))


def choose_running(
    candidates: Sequence[Candidate], slots: int, fits: Callable[[Sequence[int]], bool]
) -> list[int]:
    """The numbers of those that are to run, best first; `fits` says whether these pictures have
    room in memory together.

    One that has to wait for room lets nobody behind it start, so that many small ones cannot keep
    a large one out; those that have begun go on, so that there will be room.
    """
    chosen: list[int] = []
    is_blocked = False
    for one in sorted(candidates, key=_rank):
        if len(chosen) >= slots:
            break
        if is_blocked and not one.has_begun:
            continue
        if fits([*chosen, one.number]):
            chosen.append(one.number)
        else:
            is_blocked = True
    return chosen


def _rank(one: Candidate) -> tuple[int, bool, int]:
    return (one.urgency, not one.is_running, one.number)


def read_buckets(text: str) -> tuple[int, ...]:
    """Rows of the batches that are allowed, rising: "2, 4,8" is (2, 4, 8); none is no batching.

    Raises ValueError.
    """
    words = text.replace(",", " ").split()
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ValueError(f"batch_rows must be whole numbers like 2,4,8, not {text!r}")
    return tuple(sorted({int(word) for word in words}))


def model_buckets(buckets: Sequence[int], is_single: bool) -> tuple[int, ...]:
    """The sizes of one model's batches. Buckets are set for UNets, whose pictures have two rows by
    guidance. A model that `is_single` has one row a picture always: half a bucket holds as many."""
    return tuple(sorted({max(1, rows // 2) for rows in buckets})) if is_single else tuple(buckets)


def padded_rows(rows: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that holds so many rows; more than the largest stay as they are."""
    return next((bucket for bucket in buckets if bucket >= rows), rows)


def next_batch(ready: Sequence[Ready], buckets: Sequence[int]) -> list[int]:
    """The numbers of the pictures to step now: the group that holds the most urgent picture, of
    equal ones the one that was stepped longest ago, as many as the largest bucket holds.

    Without buckets every picture is a batch of its own.
    """
    order = sorted(ready, key=lambda one: (one.urgency, one.stepped, one.number))
    if not order:
        return []
    first, *others = order
    sizes = model_buckets(buckets, first.is_single)
    batch, rows = [first.number], first.rows
    for one in others:
        if sizes and one.group == first.group and rows + one.rows <= sizes[-1]:
            batch.append(one.number)
            rows += one.rows
    return batch
