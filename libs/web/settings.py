"""Settings of everything that answers HTTP."""

from typing import Annotated

from pydantic import field_validator
from pydantic_settings import NoDecode

from libs.kernel.settings import Settings
from libs.web.cross_origin import require_origin

Words = Annotated[tuple[str, ...], NoDecode]  # `a, b` in the environment


class WebSettings(Settings):
    """Where to listen, and whom to believe.

    `trusted_proxies` are addresses and networks whose `X-Forwarded-For` names the client; what
    others send in it is ignored. `public_url` is the origin that browsers see; where it is https,
    they are told to stay there. Pages of `cors_origins` may call the API from a browser.
    """

    port: int
    trusted_proxies: Words = ("127.0.0.1", "::1")
    public_url: str = ""
    cors_origins: Words = ()

    @field_validator("trusted_proxies", "cors_origins", mode="before")
    @classmethod
    def split_words(cls, value: object) -> object:
        """Commas part the words of the environment."""
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value

    @field_validator("cors_origins")
    @classmethod
    def are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        """Raises ValueError for what no browser would send as `Origin`."""
        return tuple(require_origin(origin) for origin in origins)
