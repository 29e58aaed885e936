"""Who may enter a route: one declaration on each, which is enforced and shown in the OpenAPI.

    @router.get("", dependencies=[users("images:read")])

A route without a declaration stops the service at start (`declare_access`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute

from libs.auth.api_keys import KEY_PREFIX, ApiKeys
from libs.auth.ended_logins import EndedLogins
from libs.auth.keys import TokenVerifier
from libs.auth.principals import Principal, Role, Scope
from libs.auth.request_limits import count_request, count_unknown
from libs.auth.tokens import InvalidToken
from libs.kernel.problems import Forbidden, Problem, RateLimited, Unauthorized
from libs.telemetry.logs import get_logger
from libs.tiers.gates import TierRequired
from libs.web.openapi import add_problem_answers

log = get_logger(__name__)
Who = Literal["anyone", "user", "support", "admin", "service", "provider"]
ROLES: dict[Who, tuple[Role, ...]] = {
    "user": ("user", "support", "admin"),
    "support": ("support", "admin"),
    "admin": ("admin",),
}


SECURITY_SCHEMES = {
    "access token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "API key": {"type": "http", "scheme": "bearer", "bearerFormat": "ek_..."},
    "service token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
}


class LoginRequired(Forbidden):
    slug, title = "login-required", "An API key cannot do this: log in"


class ScopeMissing(Forbidden):
    slug, title = "scope-missing", "The API key does not have the scope for this"


@dataclass(frozen=True)
class Access:
    """Who may enter. `scope` lets API keys in that have it; None keeps every key out.

    Not `is_counted`: what our own services ask without credentials. They share an address, and
    nobody may use up what they need.
    """

    who: Who
    scope: Scope | None = None
    callers: tuple[str, ...] = ()
    is_counted: bool = True

    async def __call__(self, request: Request) -> None:
        """Put the verified caller into `request.state.principal`.

        Raises Unauthorized (401), Forbidden, LoginRequired and ScopeMissing (403), RateLimited
        (429).
        """
        if self.who == "anyone":
            if self.is_counted:
                await count_unknown(request)
        elif self.who in ROLES:
            try:
                principal = await verified_caller(request)
            except (Unauthorized, TierRequired):
                await count_unknown(request)
                raise
            await count_request(request, principal)
            self.require_entry(principal)
            request.state.principal = principal
        elif self.who == "service":
            request.state.principal = await self.verified_service(request)

    def require_entry(self, principal: Principal) -> None:
        """Raises a 403 that says what is missing."""
        if principal.scopes is not None and self.scope is None:
            raise LoginRequired("API keys may not do this; use the access token of a login")
        if principal.scopes is not None and self.scope not in principal.scopes:
            raise ScopeMissing(f"This needs the scope {self.scope}", required_scope=self.scope)
        if principal.role not in ROLES[self.who]:
            needed = "administrators" if self.who == "admin" else "the support team"
            raise Forbidden(f"This is for {needed}")

    async def verified_service(self, request: Request) -> Principal:
        """The user for whom a service asks. Raises Unauthorized."""
        verifier: TokenVerifier = request.app.state.token_verifier
        try:
            return await verifier.verify_service(
                bearer_of(request), audience=request.app.state.service, callers=self.callers
            )
        except InvalidToken as error:
            raise refused(error) from None

    @property
    def problems(self) -> tuple[type[Problem], ...]:
        """What a caller who may not enter is answered."""
        if self.who == "provider":
            return ()
        if self.who == "anyone":
            return (RateLimited,) if self.is_counted else ()
        if self.who == "service":
            return (Unauthorized,)
        refusal = (ScopeMissing, TierRequired) if self.scope else (LoginRequired,)
        roles = (Forbidden,) if self.who != "user" else ()
        return (Unauthorized, *refusal, *roles, RateLimited)

    def describe(self) -> dict[str, Any]:
        """What the route's OpenAPI operation says of it."""
        access: dict[str, Any] = {"who": self.who}
        if self.scope:
            access["scope"] = self.scope
        if self.callers:
            access["services"] = list(self.callers)
        if self.who in ("anyone", "provider"):
            return {"x-access": access, "security": []}
        schemes = ["service token"] if self.who == "service" else ["access token"]
        schemes += ["API key"] if self.scope else []
        return {"x-access": access, "security": [{scheme: []} for scheme in schemes]}


def anyone(*, is_counted: bool = True) -> Any:
    """No credentials are asked for, and none are looked at; requests of an address are counted."""
    return Depends(Access("anyone", is_counted=is_counted))


def users(scope: Scope | None = None) -> Any:
    """A login; with a scope also an API key that has it."""
    return Depends(Access("user", scope))


def supporters() -> Any:
    """A login with the role support or admin."""
    return Depends(Access("support"))


def admins() -> Any:
    """A login with the role admin."""
    return Depends(Access("admin"))


def services(*callers: str) -> Any:
    """A token of one of these services, made for this one; the gateway does not route here."""
    return Depends(Access("service", callers=callers))


def provider() -> Any:
    """An outside party whose signature the route itself checks."""
    return Depends(Access("provider"))


def bearer_of(request: Request) -> str:
    """The credentials of the `Authorization` header. Raises Unauthorized."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credentials:
        raise Unauthorized()
    return credentials.strip()


async def verified_caller(request: Request) -> Principal:
    """The caller that an access token or an API key proves. Raises Unauthorized (401)."""
    credentials, state = bearer_of(request), request.app.state
    try:
        if credentials.startswith(KEY_PREFIX):
            api_keys: ApiKeys = state.api_keys
            return await api_keys.verify(credentials)
        verifier: TokenVerifier = state.token_verifier
        ended_logins: EndedLogins = state.ended_logins
        principal = await verifier.verify(credentials)
        await ended_logins.require_alive(principal)
    except InvalidToken as error:
        raise refused(error) from None
    return principal


def refused(error: InvalidToken) -> Unauthorized:
    """The reason stays in the log."""
    log.info("token_refused", reason=str(error))
    return Unauthorized("The access token or API key is not valid, has ended or has expired")


def access_of(route: APIRoute) -> Access:
    """The declaration of a route. Raises RuntimeError unless there is exactly one."""
    calls = [dependency.dependency for dependency in route.dependencies]
    declared = [call for call in calls if isinstance(call, Access)]
    if len(declared) != 1:
        raise RuntimeError(f"{route.methods} {route.path} must declare who may enter, once")
    return declared[0]


def declare_access(routers: Iterable[APIRouter]) -> None:
    """Write each route's declaration into its OpenAPI operation."""
    for route in (route for router in routers for route in router.routes):
        if isinstance(route, APIRoute):
            access = access_of(route)
            add_problem_answers(route.responses, access.problems)
            route.openapi_extra = {**(route.openapi_extra or {}), **access.describe()}
