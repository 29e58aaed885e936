"""Captions: many ways to ask for the same picture, so that free prompts work."""

from __future__ import annotations

import random

from inference.training.data import Item

BACKGROUNDS = {
    "white": (1.0, 1.0, 1.0),
    "black": (0.08, 0.08, 0.1),
    "grey": (0.6, 0.6, 0.62),
    "red": (0.85, 0.25, 0.25),
    "pink": (0.98, 0.7, 0.8),
    "yellow": (0.98, 0.88, 0.4),
    "green": (0.45, 0.75, 0.4),
    "blue": (0.4, 0.6, 0.95),
    "purple": (0.6, 0.4, 0.8),
}
_TEMPLATES = (
    "{}",
    "{}",
    "{}",
    "an emoji of {}",
    "a picture of {}",
    "a drawing of {}",
    "a photo of {}",
    "an icon of {}",
    "{} emoji",
)
_ADJECTIVES = ("cute", "small", "big", "beautiful", "shiny", "simple", "nice", "colourful")
_ENDINGS = (", highly detailed", ", simple", ", colourful", ", flat design", ", 4k", ", cartoon")
_SINGULAR_ENDINGS = ("ss", "us", "is")


def with_article(noun: str) -> str:
    """Put "a" or "an" before a singular noun: "an egg", "a bus", but "grapes"."""
    if noun.endswith("s") and not noun.endswith(_SINGULAR_ENDINGS):
        return noun
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


def compose(item: Item, background: str, dice: random.Random) -> str:
    """Compose one caption for a picture of `item` on the named background colour.

    White is the picture's usual background and is seldom mentioned; other colours always are.
    """
    noun = dice.choice(item.synonyms) if dice.random() < 0.4 else item.name
    if dice.random() < 0.15:
        noun = f"{dice.choice(_ADJECTIVES)} {noun}"
    if dice.random() < 0.65:
        noun = with_article(noun)
    caption = dice.choice(_TEMPLATES).format(noun)
    if background != "white" or dice.random() < 0.04:
        caption += f" on a {background} background"
    if dice.random() < 0.15:
        caption += dice.choice(_ENDINGS)
    return caption


def corpus(items: list[Item]) -> list[str]:
    """All words that captions may hold, each often enough to become one token."""
    dice = random.Random(0)
    nouns = [noun for item in items for noun in (item.name, *item.synonyms)]
    captions = [compose(item, dice.choice(list(BACKGROUNDS)), dice) for item in items * 8]
    return nouns * 8 + captions
