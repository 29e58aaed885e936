"""What the database's failures become, on real PostgreSQL."""

from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.web.problem_answers import install_problem_answers

SessionsOf = Callable[[str], Sessions]
TOO_LONG = "SET LOCAL statement_timeout = '20ms'", "SELECT pg_sleep(5)"
CUT_OFF = ("SELECT pg_terminate_backend(pg_backend_pid())",)
SERIALIZATION = ("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$",)
OUR_MISTAKE = ("SELECT 1 / 0",)


async def answer_of(sessions: Sessions, statements: tuple[str, ...]) -> httpx.Response:
    app = FastAPI()
    install_problem_answers(app)

    @app.get("/")
    async def run() -> None:
        async with sessions.begin() as session:
            for statement in statements:
                await session.execute(text(statement))

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        return await http.get("/")


@pytest.mark.parametrize(
    ("statements", "status"),
    [(TOO_LONG, 503), (CUT_OFF, 503), (SERIALIZATION, 503), (OUR_MISTAKE, 500)],
)
async def test_a_database_that_does_not_answer_is_no_fault_of_ours(
    sessions: SessionsOf, statements: tuple[str, ...], status: int
) -> None:
    answer = await answer_of(sessions("generation"), statements)
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == ("5" if status == 503 else None)
