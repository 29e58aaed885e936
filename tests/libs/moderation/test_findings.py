from pathlib import Path

import numpy as np
import pytest
from prometheus_client import REGISTRY

from libs.moderation.findings import Finding, Mode, Moderation, ModerationUnavailable
from libs.moderation.settings import ModerationSettings, build_moderation

BAD = Finding("bad")


async def object_always(_subject: object) -> Finding | None:
    return BAD


async def never_answer(_subject: object) -> Finding | None:
    raise ModerationUnavailable("away")


def counted(mode: Mode) -> float:
    labels = {"stage": "prompt", "category": "bad", "mode": mode}
    return REGISTRY.get_sample_value("easel_moderation_findings_total", labels) or 0


@pytest.mark.parametrize(("mode", "answer", "count"), [("off", None, 0), ("log", None, 1)])
async def test_only_block_blocks(mode: Mode, answer: Finding | None, count: int) -> None:
    before = counted(mode)
    assert await Moderation(mode, [object_always]).judge_prompt("x") is answer
    assert counted(mode) == before + count


async def test_block_tells_why() -> None:
    moderation = Moderation("block", [object_always], [object_always])
    assert await moderation.judge_prompt("x") == BAD
    assert await moderation.judge_picture(np.zeros((8, 8, 3), dtype=np.uint8)) == BAD


async def test_a_check_without_an_answer_lets_nothing_pass() -> None:
    with pytest.raises(ModerationUnavailable):
        await Moderation("block", [never_answer]).judge_prompt("x")


@pytest.mark.parametrize("mode", ["log", "block"])
async def test_unless_that_is_allowed_and_the_next_check_is_asked(mode: Mode) -> None:
    moderation = Moderation(mode, [never_answer, object_always], allow_unchecked=True)
    assert await moderation.judge_prompt("x") == (BAD if mode == "block" else None)


async def test_the_default_blocks_by_its_list() -> None:
    moderation = build_moderation(ModerationSettings())
    assert await moderation.judge_prompt("child porn") == Finding("sexual/minors")
    assert await moderation.judge_prompt("a red apple") is None


def test_a_list_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        build_moderation(ModerationSettings(moderation_terms=tmp_path / "none.toml"))
