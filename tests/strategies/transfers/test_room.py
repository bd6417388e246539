"""Where the trigger and the target are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.context import ContextBudget
from mai_strategies.transfers.room import Room

shares = st.floats(0.0, 1.0)
rooms = st.builds(
    lambda window, trigger, target: Room.of(ContextBudget(window=window, reserve=0, trigger=trigger, target=target)),
    st.integers(0, 10_000),
    shares,
    shares,
)


def test_shares_of_what_is_usable() -> None:
    assert Room.of(ContextBudget(window=1528)) == Room(usable=1000, trigger=700, target=450)


@given(rooms, st.integers(0, 20_000))
def test_thresholds_are_ordered_whatever_a_compression_reached(room: Room, base: int) -> None:
    assert 0 <= room.target <= room.trigger <= room.trigger_above(base) <= room.usable


@given(rooms, st.integers(0, 20_000), st.integers(0, 20_000))
def test_trigger_rises_with_what_cannot_be_compressed(room: Room, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert room.trigger_above(low) <= room.trigger_above(high)
