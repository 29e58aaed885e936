"""Alerts ask for metrics that the code really has, are tried out, and say what to do."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.generation import relay
from services.generation import worker as gpu_worker
from services.payment import app, worker
from services.user import app as user_app
from services.user import worker as account_worker

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml"))
TRIALS = ROOT / "deploy" / "prometheus" / "tests"
# The programs that these rules watch: what they import is what they export.
WATCHED = (app, worker, user_app, account_worker, relay, gpu_worker)
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
SELECTOR = re.compile(r'\b(easel_\w+)(?:\{(\w+)="(\w+)"\})?')


def expressions() -> Iterator[str]:
    for file in RULES:
        yield from re.findall(r"^ +expr: (.+)$", file.read_text(), re.MULTILINE)


def alerts() -> list[tuple[Path, str]]:
    return [(f, name) for f in RULES for name in re.findall(r"- alert: (\w+)", f.read_text())]


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """The names of all series that the watched processes may export."""
    return {
        family.name + suffix
        for family in REGISTRY.collect()
        for suffix in SUFFIXES.get(family.type, ())
    }


def test_the_reading_finds_the_rules() -> None:
    assert ("easel_emails_total", "outcome", "failed") in SELECTOR.findall(" ".join(expressions()))
    assert len(alerts()) == len(list(expressions())) > 5


def test_every_metric_of_a_rule_is_registered_by_the_code(exported: set[str]) -> None:
    asked = {name for text in expressions() for name, *_ in SELECTOR.findall(text)}
    assert asked - exported == set()


def test_every_label_of_a_rule_is_set_by_the_code(exported: set[str]) -> None:
    """Counters that alerts watch exist from the start, or their first increase is not seen."""
    told = {
        (sample.name, label, value)
        for family in REGISTRY.collect()
        for sample in family.samples
        for label, value in sample.labels.items()
    }
    asked = {found for text in expressions() for found in SELECTOR.findall(text) if found[1]}
    assert asked - told == set()


@pytest.mark.parametrize(
    ("file", "alert"), alerts(), ids=lambda value: getattr(value, "name", value)
)
def test_every_alert_fires_and_is_silent_in_a_trial(file: Path, alert: str) -> None:
    trials = (TRIALS / file.name).read_text()
    assert re.search(rf"alertname: {alert}\n +exp_alerts:", trials), "no trial in which it fires"
    assert re.search(rf"alertname: {alert}}}", trials), "no trial in which it is silent"


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_every_alert_says_what_to_do(file: Path) -> None:
    runbooks = re.findall(r"runbook: (\S+)#(\S+)", file.read_text())
    assert [anchor for _, anchor in runbooks] == [
        name.lower() for known, name in alerts() if known == file
    ]
    for page, anchor in runbooks:
        headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")
@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_promtool_agrees(file: Path) -> None:
    for command in (("check", "rules", str(file)), ("test", "rules", str(TRIALS / file.name))):
        answer = subprocess.run(["promtool", *command], capture_output=True, text=True)
        assert answer.returncode == 0, answer.stdout + answer.stderr
