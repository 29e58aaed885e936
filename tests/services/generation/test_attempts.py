"""What the earlier attempts of a job say about the next one."""

import pytest

from services.generation.attempts import engine_deaths, may_resume
from services.generation.models import Job

DIED, FAILED, STOPPED, REQUEUED = "engine-died", "engine-failed", "worker-stops", "requeued"


def job_after(*reasons: str) -> Job:
    """A job whose attempts ended so."""
    marks = [[{"name": "claimed"}, {"name": "queued", "reason": reason}] for reason in reasons]
    return Job(marks=sum(marks, []))


@pytest.mark.parametrize(
    ("reasons", "deaths", "may_go_on"),
    [
        ([], 0, True),
        ([STOPPED, "worker-lost", "part-away"], 0, True),
        ([DIED], 1, True),
        ([DIED, STOPPED, DIED], 2, False),
        ([FAILED], 0, False),
        ([FAILED, STOPPED], 0, False),
        ([DIED, DIED, FAILED, REQUEUED], 0, True),
        ([DIED, DIED, REQUEUED, DIED], 1, True),
    ],
)
def test_what_engines_did_counts_since_the_job_was_given_another_chance(
    reasons: list[str], deaths: int, may_go_on: bool
) -> None:
    job = job_after(*reasons)
    assert (engine_deaths(job), may_resume(job)) == (deaths, may_go_on)
