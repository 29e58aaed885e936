import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.ids import derive_id, new_id


def test_ids_are_version_7_and_carry_their_time() -> None:
    identifier = new_id()
    assert (identifier.version, identifier.variant) == (7, "specified in RFC 4122")
    assert abs(time.time() - (identifier.int >> 80) / 1000) < 5


def test_ids_sort_by_the_order_in_which_they_are_made() -> None:
    made = [new_id() for _ in range(10_000)]
    assert made == sorted(made, key=lambda identifier: identifier.int >> 64)
    pairs = sum(a > b for a, b in pairwise(made))
    assert pairs <= 100  # only within the 244 ns that one fraction lasts


def test_ids_do_not_repeat() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000


@given(st.integers(0, 2**32 - 1))
def test_a_derived_id_is_stable_and_keeps_the_parents_time(index: int) -> None:
    parent = new_id()
    derived = derive_id(parent, index)
    assert derived == derive_id(parent, index) != derive_id(parent, index ^ 1)
    assert derived.version == 7
    assert derived.int >> 64 == parent.int >> 64
