"""The account worker is killed with SIGKILL before every step of an erasure.

It goes on where it was, and the end is that of an erasure that nobody disturbed.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from libs.storage.objects import StorageSettings
from services.user.erasing import LEASE, PLAN, SECOND_LOOK_AFTER
from services.user.service.erasure import BEGINS_AFTER
from tests.erasure.account_worker import AccountWorker
from tests.erasure.life import Life
from tests.erasure.search import objects_with, redis_with, tables_with
from tests.erasure.step_runner import APPLICATION
from tests.erasure.test_search import PSEUDONYM_STAYS, assert_balanced
from tests.stack.running import Stack

ROOT = Path(__file__).parents[2]
MANY = 600
STILL_THERE = "SELECT count(*) FROM pg_stat_activity WHERE application_name = :name"


@dataclass
class Stepper:
    """The process that is forked and killed, and how late it thinks it is."""

    process: subprocess.Popen[str]
    settings: dict[str, Any]
    stack: Stack
    later_seconds: float = BEGINS_AFTER.total_seconds()
    deaths: list[str] = field(default_factory=list)

    def die_before(self, step: int) -> bool:
        """Kill the worker before its n-th step; False: nothing was due, and it got through."""
        order = {"step": step, "settings": self.settings, "later_seconds": self.later_seconds}
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        died_before: str | None = json.loads(self.process.stdout.readline())
        self.notice()
        if died_before is not None:
            self.deaths.append(died_before)
            self.later_seconds += LEASE.total_seconds()
        return died_before is not None

    def notice(self) -> None:
        """Wait until the server has rolled back what the dead process left."""
        for _ in range(400):
            if self.stack.sql(STILL_THERE, name=APPLICATION) == [(0,)]:
                return
            time.sleep(0.005)
        pytest.fail("the server does not notice the death")


@pytest.fixture
def stepper(stack: Stack, storage_settings: StorageSettings) -> Iterator[Stepper]:
    argv, pipe = [sys.executable, "-m", "tests.erasure.step_runner"], subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    names = ("payment", "generation", "gallery", "model")
    settings = {
        "database_url": stack.database.url("account"),
        "metrics_port": 0,
        "signing_keys": str(stack.signing_keys),
        "s3_bucket_images": storage_settings.bucket,
        "s3_region": storage_settings.region,
        "s3_endpoint_url": storage_settings.endpoint_url,
        "s3_access_key_id": storage_settings.access_key_id,
        "s3_secret_access_key": storage_settings.secret_access_key,
        **{f"{name}_service_url": stack.urls[name] for name in names},
    }
    with subprocess.Popen(argv, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        yield Stepper(process, settings, stack)
        process.communicate()
    assert process.returncode == 0


def test_an_erasure_ends_wherever_its_worker_dies(
    stack: Stack, worker: AccountWorker, stepper: Stepper, storage_settings: StorageSettings
) -> None:
    ada = Life(stack)
    ada.fill()
    ada.delete()
    step, done = 1, 0
    for _ in range(MANY):
        worker.relay()
        worker.send_letters()
        worker.apply_webhooks()
        progress = worker.progress(ada.id)
        if progress.state == "finished":
            break
        # each step of the plan is died over from its beginning
        step, done = (step, done) if len(progress.steps) == done else (1, len(progress.steps))
        if stepper.die_before(step):
            step += 1
        elif progress.state == "erased":
            stepper.later_seconds += SECOND_LOOK_AFTER.total_seconds()
        else:
            stepper.later_seconds += 60
    assert worker.progress(ada.id).state == "finished"
    assert set(worker.progress(ada.id).steps) == set(PLAN)
    said = {death.split()[0] for death in stepper.deaths}
    assert said >= {"UPDATE", "COMMIT", "ask", "hear", "DELETE", "SELECT"}
    assert len(stepper.deaths) > 5 * len(PLAN)
    assert tables_with(stack, ada.mark) == {}
    assert set(tables_with(stack, str(ada.id))) == PSEUDONYM_STAYS
    assert redis_with(stack, ada.mark, str(ada.id)) == {}
    assert objects_with(storage_settings, ada.mark, str(ada.id)) == []
    assert_balanced(stack)
    lines = "SELECT action FROM ops.audit_log WHERE user_id = :user AND action LIKE 'account.%'"
    told = [action for (action,) in stack.sql(lines, user=ada.id)]
    assert told.count("account.erasure_requested") == told.count("account.finished") == 1
