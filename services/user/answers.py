"""How tokens are answered: the one place where they leave the service."""

from fastapi.responses import JSONResponse

from services.user.schemas import TokensAnswer

NO_STORE = "no-store"  # RFC 6749, 5.1: tokens are kept by nobody on the way


def answer_tokens(tokens: TokensAnswer, *, status_code: int = 200) -> JSONResponse:
    """The tokens of a login, alone or with an account, for the caller alone."""
    return JSONResponse(
        tokens.model_dump(mode="json"),
        status_code=status_code,
        headers={"Cache-Control": NO_STORE},
    )
