import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.pipelines.request import InvalidRequest, parse_request
from tests.inference.sample_requests import SMALL, request, request_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_a_request_is_read_field_by_field() -> None:
    assert parse_request(request_text(guidance=3)) == request(guidance=3.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "../secrets"),
        ("model", ""),
        ("model", 3),
        ("task", "sculpture"),
        ("prompt", None),
        ("prompt", "a" * 10_001),
        ("negative_prompt", ["a"]),
        ("width", 64.0),
        ("width", True),
        ("height", 0),
        ("height", 5000),
        ("steps", 0),
        ("steps", 151),
        ("guidance", -0.1),
        ("guidance", float("nan")),
        ("guidance", "5"),
        ("guidance", 10**400),
        ("scheduler", "ancestral"),
        ("scheduler", ["euler"]),
        ("seed", -1),
        ("seed", 2**32),
        ("progress_every", -1),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=field):
        parse_request(request_text(**{field: value}))


@pytest.mark.parametrize("field", SMALL)
def test_a_missing_field_is_named(field: str) -> None:
    document = {name: value for name, value in SMALL.items() if name != field}
    with pytest.raises(InvalidRequest, match=f"{field} is missing"):
        parse_request(json.dumps(document))


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(InvalidRequest, match="unknown field 'power'"):
        parse_request(request_text(power=1))


@given(JSON)
def test_any_other_document_is_refused(document: Any) -> None:
    with pytest.raises(InvalidRequest):
        parse_request(json.dumps(document))


@given(st.binary())
def test_any_bytes_are_refused_as_a_bad_request(text: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_request(text)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        parse_request("[" * 100_000)


@given(st.sampled_from(sorted(SMALL)), JSON)
def test_a_field_is_taken_or_refused_but_never_breaks(field: str, value: Any) -> None:
    try:
        parsed = parse_request(json.dumps({**SMALL, field: value}))
    except InvalidRequest as error:
        assert field in str(error)
    else:
        assert getattr(parsed, field) == value
