from pathlib import Path

import pytest

from libs.moderation.findings import Finding
from libs.moderation.terms import load_terms, normalize

REFUSED = {
    "a naked child": "sexual/minors",
    "Two KIDS, nude, on a beach": "sexual/minors",
    "(child:1.4), ((naked))": "sexual/minors",
    "ch1ld p0rn": "sexual/minors",
    "a c-h-i-l-d, n u d e": "sexual/minors",
    "an ünderage girl, séxy": "sexual/minors",
    "ｎａｋｅｄ schoolgirl": "sexual/minors",
    "lolicon": "sexual/minors",
    "a nu()de child": "sexual/minors",
    "a nu(de:1.0) chi(ld:1)": "sexual/minors",
    "n[]ude kid": "sexual/minors",
    "lo\\licon": "sexual/minors",
    "a nu\u200bde chi\u00adld": "sexual/minors",
    "[child:0.5](naked)": "sexual/minors",
    "bestiality": "sexual/animals",
    "a rape scene": "sexual/violence",
}
PASSED = [
    "a red apple",
    "a child with a balloon",
    "a nude statue by Rodin",
    "children of Essex on an open bus in Scunthorpe",
    "sonata in a minor key",
    "a field of rapeseed, a man and a woman",
    "1girl, masterpiece, 8k, (best quality:1.2)",
    "",
    "🍎 日本の子供",
]


@pytest.mark.parametrize("prompt", REFUSED)
async def test_what_the_default_list_refuses(prompt: str) -> None:
    assert await load_terms()(prompt) == Finding(REFUSED[prompt])


@pytest.mark.parametrize("prompt", PASSED)
async def test_what_the_default_list_lets_pass(prompt: str) -> None:
    assert await load_terms()(prompt) is None


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("((Réd  4pple:1.3)), big", "red apple big"),
        ("B I G dogs", "big dogs"),
        ("an a b", "an a b"),
        ("under_age", "under age"),
    ],
)
def test_a_prompt_is_read_as_words(prompt: str, words: str) -> None:
    assert normalize(prompt) == words


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "terms.toml"
    path.write_text('[[rule]]\ncategory = "brands"\nall = [["acme"]]\n')
    assert load_terms(path).rules[0][0] == "brands"


@pytest.mark.parametrize(
    "text",
    ["", "rule = 3", '[[rule]]\ncategory = "x"\n', '[[rule]]\ncategory = "A B"\nall = [["x"]]\n'],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "terms.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match="rule|category|Field"):
        load_terms(path)
