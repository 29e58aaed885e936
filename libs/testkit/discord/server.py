"""Run the Discord double: `python -m libs.testkit.discord.server` (docs/sign-in-providers.md)."""

import os
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from libs.testkit.oauth.chooser import authorize
from libs.testkit.oauth.double import build_double, double_of, redeem, serve
from libs.testkit.oauth.grants import Client, Grant

router = APIRouter()
METHODS = ("S256",)
ACCESS_TOKEN_SECONDS = 604_800
FAULTS = ("email_not_verified", "no_email", "verification_unsaid", "not_json")


@router.api_route("/oauth2/authorize", methods=["GET", "POST"], response_model=None)
async def show_or_choose(request: Request) -> Response:
    """The authorization page."""
    return await authorize("Discord", request, double_of(request).grants, METHODS)


@router.post("/api/oauth2/token", response_model=None)
@router.post("/api/v10/oauth2/token", response_model=None)
async def exchange(request: Request) -> Response:
    """A code for an access token."""
    grant = await redeem(request)
    if isinstance(grant, JSONResponse):
        return grant
    return JSONResponse(
        {
            "token_type": "Bearer",
            "access_token": grant.access_token,
            "expires_in": ACCESS_TOKEN_SECONDS,
            "refresh_token": f"{grant.access_token}-refresh",
            "scope": " ".join(grant.asked.scopes),
        }
    )


@router.get("/api/users/@me", response_model=None)
@router.get("/api/v10/users/@me", response_model=None)
async def show_user(request: Request) -> Response:
    """The user whose token it is; the scope `email` shows the address."""
    double = double_of(request)
    grant = double.grants.holder(request.headers.get("Authorization", ""))
    if grant is None or not {"identify", "email"} & set(grant.asked.scopes):
        return JSONResponse({"message": "401: Unauthorized", "code": 0}, 401)
    if double.fault == "not_json":
        return Response("<html>please wait</html>", media_type="text/html")
    return JSONResponse(user_of(grant, double.fault))


def user_of(grant: Grant, fault: str) -> dict[str, Any]:
    """The user object. `global_name` is what people read, `username` is unique."""
    person = grant.person
    user: dict[str, Any] = {
        "id": str(person.number),
        "username": person.email.partition("@")[0].lower(),
        "discriminator": "0",
        "global_name": person.name,
        "avatar": None,
        "banner": None,
        "accent_color": None,
        "mfa_enabled": False,
        "locale": "en-US",
        "premium_type": 0,
        "flags": 0,
        "public_flags": 0,
    }
    if "email" in grant.asked.scopes:
        user |= {"email": person.email, "verified": person.verified}
    if fault == "email_not_verified":
        user["verified"] = False
    if fault == "no_email":
        user["email"] = None
    if fault == "verification_unsaid":
        user.pop("verified", None)
    return user


def create_app(client: Client) -> FastAPI:
    """The double."""
    return build_double("Discord double", client, FAULTS, router)


def main() -> None:
    """Serve until SIGTERM. Raises KeyError without a setting."""
    environment = os.environ
    client = Client(
        environment["EASEL_DISCORD_CLIENT_ID"],
        environment["EASEL_DISCORD_CLIENT_SECRET"],
        environment["EASEL_DISCORD_REDIRECT_URI"],
    )
    serve(create_app(client), int(environment["EASEL_DISCORD_PORT"]))


if __name__ == "__main__":
    main()
