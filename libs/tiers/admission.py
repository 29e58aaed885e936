"""Who is let in when there is more work than GPUs: nobody whose job could not start in time.

Fair sharing alone keeps 42 of 100 waits inside their targets when half as much again is asked as
can be served; refusing what would come too late keeps all of them (docs/scheduling.md). Pure.
"""

import math
from dataclasses import dataclass

from libs.tiers.estimates import Estimate

PART_OF_TARGET = 0.8  # what a wait may take of its tier's target
OWN_CHOICE = 0.2  # what others may take of it, when one's own jobs are what takes so long


@dataclass(frozen=True)
class Refusal:
    """Why a job is not let in: the tier's target, the wait that is expected, and after how many
    seconds without new work it would be let in."""

    target_seconds: float
    expected_wait_seconds: float
    retry_after_seconds: int


def admit(told: Estimate, target_seconds: float) -> Refusal | None:
    """None: the job is let in. Judged by this user's own estimate at p90.

    A wait that the user's own jobs cause is the user's choice, up to the plan's waiting limit:
    refused is who waits too long for others. Nor is anybody refused where little waits, whatever
    earlier waits make of it: after an outage those say more of the outage than of the queue.
    """
    allowed, choice = PART_OF_TARGET * target_seconds, OWN_CHOICE * target_seconds
    if told.start_p90 <= allowed or told.others_seconds <= choice or told.reckoned <= choice:
        return None
    return refusal_of(target_seconds, told.start_p90)


def refusal_of(target_seconds: float, expected_wait_seconds: float) -> Refusal:
    """What is told to who is refused. While nobody is let in, a wait of a second falls by a second
    each second, whatever the number of slots."""
    excess = expected_wait_seconds - PART_OF_TARGET * target_seconds
    return Refusal(target_seconds, expected_wait_seconds, max(1, math.ceil(excess)))
