r"""Prompts with weights as users of the AUTOMATIC1111 web UI write them.

    (word)       1.1 times        ((word))   1.1 x 1.1 times       (word:1.3)   1.3 times
    [word]       1 / 1.1 times    \( \) \[ \] \\   the character itself
    BREAK        what follows begins a new chunk of 75 tokens

Brackets that have no partner are text, like everything else.
Source: "Attention/emphasis" in the wiki "Features" of AUTOMATIC1111/stable-diffusion-webui.
"""

import re
from dataclasses import dataclass
from itertools import groupby

ROUND, SQUARE = 1.1, 1 / 1.1
MAX_WEIGHT = 10.0
# Possessive quantifiers: no text takes longer than its length says.
TOKEN = re.compile(
    r"\\[\\()\[\]]"
    r"|:\s*+([+-]?(?:\d++\.?+\d*+|\.\d++))\s*+\)"
    r"|[()\[\]]"
    r"|[^\\()\[\]:]+"
    r"|.",
    re.DOTALL,
)
BREAK = re.compile(r"\bBREAK\b")


@dataclass(frozen=True)
class Span:
    """A piece of text, all of one weight."""

    text: str
    weight: float


def parse_prompt(text: str) -> list[list[Span]]:
    """The spans of a prompt between its BREAKs; never empty. Weights lie within +-MAX_WEIGHT."""
    paragraphs: list[list[Span]] = [[]]
    for span in _merge(_weigh(text)) or [Span("", 1.0)]:
        first, *others = BREAK.split(span.text)
        paragraphs[-1].append(Span(first, span.weight))
        paragraphs += [[Span(other, span.weight)] for other in others]
    return paragraphs


def _weigh(text: str) -> list[Span]:
    tokens = list(TOKEN.finditer(text))
    partners = _pair(tokens)
    spans, weights = [], [1.0]
    for number, token in enumerate(tokens):
        partner = partners.get(number)
        if partner is None:
            spans.append(Span(_literal(token.group()), weights[-1]))
        elif partner > number:
            weights.append(_bound(weights[-1] * _factor(tokens[partner])))
        else:
            weights.pop()
    return spans


def _pair(tokens: list[re.Match[str]]) -> dict[int, int]:
    """Which brackets belong together, both ways. One that crosses a pair has no partner."""
    partners: dict[int, int] = {}
    open_brackets: dict[str, list[int]] = {"(": [], "[": []}
    for number, token in enumerate(tokens):
        text = token.group()
        if text in open_brackets:
            open_brackets[text].append(number)
        elif text == "]" or (text.endswith(")") and not text.startswith("\\")):
            opener, other = "[(" if text == "]" else "(["
            if open_brackets[opener]:
                partner = open_brackets[opener].pop()
                partners[partner], partners[number] = number, partner
                while open_brackets[other] and open_brackets[other][-1] > partner:
                    open_brackets[other].pop()
    return partners


def _factor(closing: re.Match[str]) -> float:
    """What a closing bracket multiplies the weights of its content by."""
    if closing.group(1) is not None:
        return _bound(float(closing.group(1)))
    return SQUARE if closing.group() == "]" else ROUND


def _bound(weight: float) -> float:
    return max(-MAX_WEIGHT, min(MAX_WEIGHT, weight))


def _literal(token: str) -> str:
    is_escaped = len(token) == 2 and token[0] == "\\"
    return token[1] if is_escaped else token


def _merge(spans: list[Span]) -> list[Span]:
    """Neighbours of one weight belong to one text, as if no brackets had been there."""
    runs = groupby(spans, key=lambda span: span.weight)
    return [Span("".join(span.text for span in run), weight) for weight, run in runs]
