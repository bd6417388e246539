"""Sums in lanes are the sums of the lanes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.lanes import LIMIT, Lanes

SMALL = st.integers(-(1 << 20), 1 << 20)


@given(st.integers(1, 20).flatmap(lambda n: st.lists(st.lists(SMALL, min_size=n, max_size=n), min_size=1, max_size=40)))
def test_adding_packed_rows_adds_every_lane(rows: list[list[int]]) -> None:
    lanes = Lanes(len(rows[0]))
    assert lanes.total(map(lanes.pack, rows)) == [sum(column) for column in zip(*rows, strict=True)]


@given(st.lists(st.integers(1 - LIMIT, LIMIT - 1), min_size=1, max_size=20))
def test_what_is_packed_is_unpacked(values: list[int]) -> None:
    lanes = Lanes(len(values))
    assert lanes.unpack(lanes.pack(values)) == values


def test_nothing_adds_up_to_nothing() -> None:
    assert Lanes(3).total([]) == [0, 0, 0]
