"""The default check of prompts: lists of words, matched whole and through the usual disguises."""

import re
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from libs.moderation.findings import Finding

DEFAULT_TERMS = Path(__file__).with_name("terms.toml")
DISGUISES = str.maketrans("013457@$", "oieastas")
UNSEEN = frozenset({"Mn", "Mc", "Me", "Cf"})  # accents, and signs without width
WORD = re.compile(r"(?:[^\W_]|[@$])+")
# What an engine takes out of a prompt without leaving a gap: "nu(de:1.0)", "n[]ude", "n\\u(de)".
EMPHASIS = re.compile(r":\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*(?=\))|[\\()\[\]{}]")
LETTER = re.compile(r"[^\W\d_]")
SPELLED_OUT = re.compile(r"\b\w([-._* ])\w(?:\1\w)+\b")  # "n u d e", "n-u-d-e"


class Rule(BaseModel):
    """A category is found when a prompt has a term of every one of these lists."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    category: str = Field(pattern=r"^[a-z0-9/-]{1,64}$")
    all: tuple[tuple[str, ...], ...] = Field(min_length=1)


class Terms(BaseModel):
    """A file of rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: tuple[Rule, ...]


@dataclass(frozen=True)
class TermCheck:
    """Asks every rule; one pattern a list of terms."""

    rules: tuple[tuple[str, tuple[re.Pattern[str], ...]], ...]

    async def __call__(self, prompt: str) -> Finding | None:
        readings = (normalize(prompt), normalize(EMPHASIS.sub("", prompt)))
        for category, lists in self.rules:
            for words in readings:
                if all(pattern.search(words) for pattern in lists):
                    return Finding(category)
        return None


def load_terms(path: Path = DEFAULT_TERMS) -> TermCheck:
    """The check of a TOML file of rules. Raises ValueError for one that is none, OSError."""
    terms = Terms.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    return TermCheck(
        tuple((rule.category, tuple(_pattern(one) for one in rule.all)) for rule in terms.rule)
    )


def normalize(text: str) -> str:
    """Lower-case words with single spaces: no accents, brackets, weights or other signs; digits
    in words are read as the letters that they stand for, and spelled-out words are put together."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(sign for sign in decomposed if unicodedata.category(sign) not in UNSEEN)
    whole = SPELLED_OUT.sub(lambda found: found[0].replace(found[1], ""), plain)
    words = (word.translate(DISGUISES) for word in WORD.findall(whole) if LETTER.search(word))
    return " ".join(words)


def _pattern(terms: Sequence[str]) -> re.Pattern[str]:
    """Any of the terms as whole words, with a plural's ending or without."""
    choices = "|".join(re.escape(normalize(term)) for term in terms)
    return re.compile(rf"\b(?:{choices})(?:s|es)?\b")
