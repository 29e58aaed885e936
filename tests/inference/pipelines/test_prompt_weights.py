import time
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.pipelines.prompt_weights import MAX_WEIGHT, Span, parse_prompt


def spans(text: str) -> list[tuple[str, float]]:
    """Those of a prompt without BREAK."""
    (paragraph,) = parse_prompt(text)
    return [(span.text, round(span.weight, 6)) for span in paragraph]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red apple", [("a red apple", 1.0)]),
        ("", [("", 1.0)]),
        ("(red)", [("red", 1.1)]),
        ("((red))", [("red", 1.21)]),
        ("[red]", [("red", 0.909091)]),
        ("(red:1.3)", [("red", 1.3)]),
        ("(red: 1.3 )", [("red", 1.3)]),
        ("(red:.5)", [("red", 0.5)]),
        ("(red:-2)", [("red", -2.0)]),
        ("(red:0)", [("red", 0.0)]),
        ("a (red:1.3) apple", [("a ", 1.0), ("red", 1.3), (" apple", 1.0)]),
        ("(a (red:2) b:1.5)", [("a ", 1.5), ("red", 3.0), (" b", 1.5)]),
        ("([red])", [("red", 1.0)]),
        ("a ([red]) b", [("a red b", 1.0)]),
        (r"\(red\) \[b\] \\", [(r"(red) [b] \ ".rstrip(), 1.0)]),
        (r"(a \) b:1.2)", [("a ) b", 1.2)]),
        ("C:\\photo 16:9", [("C:\\photo 16:9", 1.0)]),
        ("ratio (16:9)", [("ratio ", 1.0), ("16", 9.0)]),
        ("(red:99)", [("red", MAX_WEIGHT)]),
        ("(red:-1" + "0" * 400 + ")", [("red", -MAX_WEIGHT)]),
    ],
)
def test_weights_are_read_as_users_write_them(text: str, expected: list[tuple[str, float]]) -> None:
    assert spans(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "smile :)",
        ":(",
        "((",
        "))",
        "][",
        "a (b",
        "a b)",
        "a b:1.3)",
        "[a:1.3",
        ":1.3)",
        "(:",
        ")(",
    ],
)
def test_brackets_without_a_partner_are_text(text: str) -> None:
    assert spans(text) == [(text, 1.0)]


def test_a_bracket_that_crosses_a_pair_is_text() -> None:
    assert spans("[a (b] c)") == [("a (b", 0.909091), (" c)", 1.0)]


def test_break_begins_another_paragraph() -> None:
    parsed = parse_prompt("a BREAK b\nBREAK\n(c BREAK d:1.5) BREAKFAST")
    assert parsed == [
        [Span("a ", 1.0)],
        [Span(" b\n", 1.0)],
        [Span("\n", 1.0), Span("c ", 1.5)],
        [Span(" d", 1.5), Span(" BREAKFAST", 1.0)],
    ]


@given(st.text(alphabet="()[]:\\ab1.-, BREAK", max_size=60) | st.text(max_size=60))
def test_nothing_is_nonsense(text: str) -> None:
    parsed = parse_prompt(text)
    assert parsed and all(parsed)
    for span in (span for paragraph in parsed for span in paragraph):
        assert isfinite(span.weight) and abs(span.weight) <= MAX_WEIGHT


@given(st.text(max_size=60).filter(lambda text: not set(text) & set("()[]\\")))
def test_text_without_brackets_is_one_span_as_it_stands(text: str) -> None:
    if "BREAK" not in text:
        assert parse_prompt(text) == [[Span(text, 1.0)]]


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "a" + ")" * 5000,
        "([" * 5000,
        "[(" * 2500 + "]" * 2500 + ")" * 2500,
        "(a" * 2500 + ":2)" * 2500,
        "(a:" + "1" * 9990,
        "(a:" + " " * 9990,
        "(:" + ": " * 4990,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    begun = time.process_time()
    assert parse_prompt(text)
    assert time.process_time() - begun < 0.5
