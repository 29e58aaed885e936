"""`Idempotency-Key`: a repeated POST answers what the first one answered and does nothing.

The key's row commits with the work itself, so there is no moment in which one exists without the
other. After draft-ietf-httpapi-idempotency-key-header: same key + same body -> the stored answer;
same key + other body -> 422; the first still running -> 409.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.kernel.problems import Problem


def key_header() -> Any:
    """The header's declaration; each use needs its own, since the framework writes into it."""
    return Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Any unique text, for example a UUID; keeps a retry from acting twice",
    )


REPLAYED = {"Idempotency-Replayed": "true"}
IdempotencyKey = Annotated[str | None, key_header()]
RequiredIdempotencyKey = Annotated[str, key_header()]
LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:lock, 0))")
FIND = text(
    "SELECT request_hash, status, headers, body FROM ops.idempotency_keys"
    " WHERE user_id = :user_id AND operation = :operation AND key = :key"
)
STORE = text(
    "INSERT INTO ops.idempotency_keys"
    " (user_id, operation, key, request_hash, status, headers, body) VALUES (:user_id,"
    " :operation, :key, :request_hash, :status, CAST(:headers AS jsonb), CAST(:body AS jsonb))"
)


class IdempotencyKeyReused(Problem):
    slug, status = "idempotency-key-reused", 422
    title = "This Idempotency-Key was used with another request"


class IdempotentRequestRunning(Problem):
    slug, status = "idempotent-request-running", 409
    title = "The first request with this Idempotency-Key is still running"


@dataclass(frozen=True)
class Answer:
    """What a handler answers: a status, a JSON body and headers, all of them storable."""

    status: int
    body: BaseModel | dict[str, Any]
    headers: dict[str, str]

    def to_response(self, *, replayed: bool = False) -> JSONResponse:
        """The HTTP answer, marked if it is a replay."""
        marks = REPLAYED if replayed else {}
        return JSONResponse(jsonable_encoder(self.body), self.status, {**self.headers, **marks})


def hash_request(request: BaseModel) -> str:
    """SHA-256 over the validated request, so that white space and defaults do not matter."""
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()


async def find_answer(
    session: AsyncSession, *, user_id: UUID, operation: str, key: str | None, request: BaseModel
) -> JSONResponse | None:
    """The answer that this key got before, if it did.

    For work that calls another system: look for an answer, call with no transaction open, then
    store with `answer_once`. Raises IdempotencyKeyReused (422).
    """
    if key is None:
        return None
    name = {"user_id": user_id, "operation": operation, "key": key}
    stored = (await session.execute(FIND, name)).one_or_none()
    if stored is None:
        return None
    if stored.request_hash != hash_request(request):
        raise IdempotencyKeyReused()
    return Answer(stored.status, stored.body, stored.headers).to_response(replayed=True)


async def answer_once(
    session: AsyncSession,
    *,
    user_id: UUID,
    operation: str,
    key: str | None,
    request: BaseModel,
    run: Callable[[], Awaitable[Answer]],
) -> JSONResponse:
    """Run a handler at most once for a key, in the transaction of `session`.

    Raises IdempotentRequestRunning (409) and IdempotencyKeyReused (422). A handler that raises
    stores nothing: the transaction rolls back and the key stays free.
    """
    if key is None:
        return (await run()).to_response()
    if not await session.scalar(LOCK, {"lock": f"{user_id}/{operation}/{key}"}):
        raise IdempotentRequestRunning(headers={"Retry-After": "1"})
    stored = await find_answer(
        session, user_id=user_id, operation=operation, key=key, request=request
    )
    if stored is not None:
        return stored
    answer = await run()
    stored_answer = {
        "status": answer.status,
        "headers": json.dumps(answer.headers),
        "body": json.dumps(jsonable_encoder(answer.body)),
    }
    name = {"user_id": user_id, "operation": operation, "key": key}
    await session.execute(STORE, {**name, "request_hash": hash_request(request), **stored_answer})
    return answer.to_response()
