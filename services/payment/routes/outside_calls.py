"""POSTs that call another system: read, close, call, write. No transaction is open meanwhile."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.web.idempotency import Answer, answer_once, find_answer

Prepared = TypeVar("Prepared")


async def answer_after_call(
    sessions: Sessions,
    principal: Principal,
    *,
    operation: str,
    key: str | None,
    request: BaseModel,
    prepare: Callable[[AsyncSession], Awaitable[Prepared]],
    call: Callable[[Prepared], Awaitable[BaseModel]],
    status: int = 200,
) -> JSONResponse:
    """Prepare in one transaction, call outside, store the answer under the key in another.

    Of two requests with one key at once both may call, and both get the answer that is stored
    first: so a call is one that may be made twice.
    """
    named: dict[str, Any] = {
        "user_id": principal.user_id,
        "operation": operation,
        "key": key,
        "request": request,
    }
    async with transaction(sessions, principal.user_id) as session:
        if (stored := await find_answer(session, **named)) is not None:
            return stored
        prepared = await prepare(session)
    body = await call(prepared)

    async def answer() -> Answer:
        return Answer(status, body, {})

    async with transaction(sessions, principal.user_id) as session:
        return await answer_once(session, **named, run=answer)
