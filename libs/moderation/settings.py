"""Which checks a process asks, from its settings."""

from pathlib import Path
from typing import Literal

from libs.kernel.settings import Settings
from libs.moderation.findings import Mode, Moderation, PictureCheck, PromptCheck
from libs.moderation.pictures import load_pictures
from libs.moderation.remote import RemoteCheck
from libs.moderation.terms import DEFAULT_TERMS, load_terms


class ModerationSettings(Settings):
    """The same for the API, which judges prompts, and the worker, which judges pictures."""

    moderation: Mode = "block"
    moderation_terms: Path = DEFAULT_TERMS
    moderation_pictures: Path | None = None  # hashes of pictures that nobody may get
    moderation_url: str = ""  # a check of the operator's own, asked after the others
    moderation_token: str = ""
    moderation_unavailable: Literal["allow", "refuse"] = "refuse"


def build_moderation(settings: ModerationSettings) -> Moderation:
    """The checks. Raises ValueError or OSError for a list that cannot be read."""
    prompts: list[PromptCheck] = [load_terms(settings.moderation_terms)]
    pictures: list[PictureCheck] = []
    if settings.moderation_pictures is not None:
        pictures.append(load_pictures(settings.moderation_pictures))
    if settings.moderation_url:
        remote = RemoteCheck(settings.moderation_url, settings.moderation_token)
        prompts.append(remote.check_prompt)
        pictures.append(remote.check_picture)
    return Moderation(
        mode=settings.moderation,
        prompts=prompts,
        pictures=pictures,
        allow_unchecked=settings.moderation_unavailable == "allow",
    )
