"""Settings come from the environment (prefix `EASEL_`) or from mounted secret files.

A composition root builds its settings class once with `load` and passes it down.
"""

import sys
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What every process of the platform has."""

    model_config = SettingsConfigDict(env_prefix="EASEL_", extra="ignore", frozen=True)

    log_level: str = "INFO"
    host: str = "127.0.0.1"


S = TypeVar("S", bound=Settings)


def load(settings_class: type[S]) -> S:
    """Read the settings, or stop the process and name each variable that is missing or wrong."""
    try:
        return settings_class()
    except ValidationError as error:
        for problem in error.errors():
            name = "EASEL_" + "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"{name}: {problem['msg']}\n")
        raise SystemExit(78) from None  # EX_CONFIG of sysexits.h
