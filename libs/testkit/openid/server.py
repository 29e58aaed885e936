"""Run the OpenID provider: `python -m libs.testkit.openid.server` (docs/sign-in-providers.md)."""

import os
import time
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from libs.testkit.oauth.chooser import authorize
from libs.testkit.oauth.double import Double, build_double, double_of, redeem, serve
from libs.testkit.oauth.grants import Client
from libs.testkit.openid.id_tokens import FAULTS, id_token, profile_of
from libs.testkit.openid.keys import Algorithm, Key, make_key

router = APIRouter()
METHODS = ("plain", "S256")
AUTHORIZE, TOKEN = "/o/oauth2/v2/auth", "/token"
KEYS, USERINFO = "/oauth2/v3/certs", "/v1/userinfo"
ACCESS_TOKEN_SECONDS = 3599
NO_STORE = {"Cache-Control": "no-cache, no-store, max-age=0, must-revalidate"}


@dataclass(frozen=True)
class Settings:
    """How the double runs; `client` is the application that may use it."""

    port: int
    client: Client
    algorithm: Algorithm = "RS256"

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def settings_of(request: Request) -> Settings:
    settings: Settings = double_of(request).extra["settings"]
    return settings


def keys_of(double: Double) -> list[Key]:
    """Published keys; the last one signs."""
    keys: list[Key] = double.extra["keys"]
    return keys


@router.get("/.well-known/openid-configuration")
async def discover(request: Request) -> JSONResponse:
    """OpenID Connect Discovery 1.0, 3, with the members of Google's document."""
    settings = settings_of(request)
    document = {
        "issuer": settings.issuer,
        "authorization_endpoint": settings.issuer + AUTHORIZE,
        "token_endpoint": settings.issuer + TOKEN,
        "userinfo_endpoint": settings.issuer + USERINFO,
        "jwks_uri": settings.issuer + KEYS,
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [settings.algorithm],
        "scopes_supported": ["openid", "email", "profile"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "claims_supported": (
            "aud email email_verified exp family_name given_name iat iss name sub".split()
        ),
        "code_challenge_methods_supported": list(METHODS),
        "grant_types_supported": ["authorization_code"],
    }
    return JSONResponse(document, headers={"Cache-Control": "public, max-age=3600"})


@router.get(KEYS)
async def list_keys(request: Request) -> JSONResponse:
    """The public keys (RFC 7517)."""
    keys = [key.public_jwk() for key in keys_of(double_of(request))]
    return JSONResponse({"keys": keys}, headers={"Cache-Control": "public, max-age=3600"})


@router.api_route(AUTHORIZE, methods=["GET", "POST"], response_model=None)
async def show_or_choose(request: Request) -> Response:
    """The authorization endpoint."""
    return await authorize("Google", request, double_of(request).grants, METHODS)


@router.post(TOKEN, response_model=None)
async def exchange(request: Request) -> Response:
    """The token endpoint (OpenID Connect Core 1.0, 3.1.3)."""
    grant = await redeem(request)
    if isinstance(grant, JSONResponse):
        return grant
    double, settings = double_of(request), settings_of(request)
    body: dict[str, Any] = {
        "access_token": grant.access_token,
        "expires_in": ACCESS_TOKEN_SECONDS,
        "scope": " ".join(grant.asked.scopes),
        "token_type": "Bearer",
    }
    if "openid" in grant.asked.scopes and double.fault != "no_id_token":
        key, now = keys_of(double)[-1], int(time.time())
        body["id_token"] = id_token(grant, key, settings.issuer, now, double.fault)
    return JSONResponse(body, headers=NO_STORE)


@router.get(USERINFO)
async def show_user(request: Request) -> JSONResponse:
    """Claims about the holder of an access token (OpenID Connect Core 1.0, 5.3)."""
    grant = double_of(request).grants.holder(request.headers.get("Authorization", ""))
    if grant is None:
        refusal = {"error": "invalid_request", "error_description": "Invalid Credentials"}
        return JSONResponse(refusal, 401, headers={"WWW-Authenticate": "Bearer"})
    return JSONResponse(profile_of(grant.person, grant.asked.scopes), headers=NO_STORE)


@router.post("/_double/rotate", status_code=204)
async def rotate(request: Request, *, keep: bool = True) -> None:
    """Sign with a fresh key from now on; the one before stays published if `keep`."""
    double = double_of(request)
    double.extra["keys"] = [
        *(keys_of(double)[-1:] if keep else []),
        make_key(settings_of(request).algorithm),
    ]


def create_app(settings: Settings) -> FastAPI:
    """The provider."""
    app = build_double("OpenID provider double", settings.client, FAULTS, router)
    app.state.double.extra |= {"settings": settings, "keys": [make_key(settings.algorithm)]}
    return app


def main() -> None:
    """Serve until SIGTERM. Raises KeyError without a setting."""
    environment = os.environ
    client = Client(
        environment["EASEL_GOOGLE_CLIENT_ID"],
        environment["EASEL_GOOGLE_CLIENT_SECRET"],
        environment["EASEL_GOOGLE_REDIRECT_URI"],
    )
    settings = Settings(int(environment["EASEL_OPENID_PORT"]), client)
    serve(create_app(settings), settings.port)


if __name__ == "__main__":
    main()
