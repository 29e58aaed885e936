"""The table that `./easel demo queue` prints."""

from typing import Any

from dev.client import Client
from dev.queue_demo import Customer, rows_of

ACCEPTED = "2026-11-23T09:00:00Z"


def job(tier: str, started: str | None) -> dict[str, Any]:
    return {"tier": tier, "created_at": ACCEPTED, "started_at": started}


def test_waits_are_told_by_plan_and_the_flooder_apart() -> None:
    somebody, flooder = (
        Customer(Client(""), "x@easel.example", "free", floods) for floods in (False, True)
    )
    flooder.refused = 4
    jobs = {
        "free": [
            job("free", "2026-11-23T09:00:01Z"),
            job("free", "2026-11-23T09:00:02.5Z"),
            job("free", "2026-11-23T09:00:40Z"),
        ],
        "flooder": [job("free", "2026-11-23T09:00:09Z"), job("free", None)],
    }
    assert list(rows_of([somebody, flooder], jobs, {"free": 30})) == [
        ("free", "3", "0", "2.5", "40.0", "30", "67%"),
        ("flooder", "2", "4", "9.0", "9.0", "30", "100%"),
    ]
