"""Prompts that are not drawn are refused before anything is held."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.kernel.problems import ServiceUnavailable
from libs.moderation.findings import Finding, Moderation, ModerationUnavailable
from services.generation.problems import PromptRefused
from services.generation.schemas import GenerationRequest
from services.generation.service.admission import require_prompt
from tests.services.callers import Caller, problem_of

SessionsOf = Callable[[str], Sessions]
PATH = "/api/v1/generations"
REFUSED = {"model": "demo", "prompt": "ch1ld p0rn"}
SPENT = "SELECT (SELECT count(*) FROM generation.jobs), (SELECT count(*) FROM credits.holds)"


async def test_a_refused_prompt_costs_nothing(ada: Caller, sessions: SessionsOf) -> None:
    answer = await ada.post(PATH, REFUSED)
    assert problem_of(answer) == (422, "prompt-refused")
    assert [error["field"] for error in answer.json()["errors"]] == ["body.prompt"]
    assert answer.json()["category"] == "sexual/minors"
    async with sessions("admin")() as session:
        assert tuple((await session.execute(text(SPENT))).one()) == (0, 0)


async def test_a_negative_prompt_may_name_it(ada: Caller) -> None:
    wanted = {"model": "demo", "prompt": "a child", "negative_prompt": "nude"}
    assert (await ada.post(PATH, wanted)).status_code == 202


async def never_answer(_prompt: str) -> Finding | None:
    raise ModerationUnavailable("away")


async def test_without_an_answer_nothing_is_accepted_unless_that_is_allowed() -> None:
    request = GenerationRequest(model="demo", prompt="a red apple")
    with pytest.raises(ServiceUnavailable):
        await require_prompt(Moderation("block", [never_answer]), request)
    await require_prompt(Moderation("block", [never_answer], allow_unchecked=True), request)


async def test_logging_refuses_nothing() -> None:
    async def object_always(_prompt: str) -> Finding | None:
        return Finding("brand")

    request = GenerationRequest(model="demo", prompt="a red apple")
    await require_prompt(Moderation("log", [object_always]), request)
    with pytest.raises(PromptRefused):
        await require_prompt(Moderation("block", [object_always]), request)
