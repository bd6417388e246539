"""The codec's law: what was encoded comes back equal, whatever it holds."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mai_core.policy.context import ContextState, Receipt
from mai_core.policy.features import TaskFeatures, TaskKind
from mai_core.policy.models import Capability, Footprint, LoadedModel, LoadPlan
from mai_core.policy.selection import Ballot, Candidate, Decision, Move, Proposal, Ranked
from mai_core.runtime.presence import ProcessNote
from mai_core.runtime.store.codec import decode, encode

ANY_TEXT = st.text(st.characters() | st.sampled_from("\0\udc80\ud83d"), max_size=8)  # halves of surrogate pairs too


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Every value of a type as the contracts use types; with every field, also those that have a default."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(values, arguments))
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*map(values, arguments))
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is frozenset:
        return st.frozensets(values(arguments[0]))
    if origin is Mapping:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    if hint is type(None):
        return st.none()
    if hint is str:
        return ANY_TEXT
    if hint is float:
        return st.floats(allow_nan=False)
    if hint in (int, bool):
        return st.from_type(hint)
    if issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    return st.builds(hint, **{name: values(kind) for name, kind in typing.get_type_hints(hint).items()})


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from([Decision, Receipt, ContextState, Footprint, ProcessNote]))
def test_what_was_encoded_comes_back(data: st.DataObject, kind: type[Any]) -> None:
    value = data.draw(values(kind))
    text = encode(value)
    assert text.isascii()
    assert decode(kind, text) == value
    assert decode(kind, text.encode()) == value


def test_half_a_character_survives_as_the_name_of_a_device() -> None:
    footprint = Footprint(devices={"\ud800": 1})
    assert decode(Footprint, encode(footprint)) == footprint


def full_decision() -> Decision:
    return Decision(
        move=Move.SWITCH,
        choice="a",
        reason="better",
        ranking=(Ranked("a", float("inf"), "r"),),
        features=TaskFeatures(kind=TaskKind.CODE, capabilities=frozenset({Capability.JSON})),
        ballots=(Ballot(strategy="s", proposals=(Proposal("a", 0.5),)),),
        candidates=(Candidate(key="a", plan=LoadPlan(context=8), wait_seconds=float("inf")),),
    )


def test_types_come_back_and_not_only_values() -> None:
    """Equality alone would not tell: a string equals its enumeration, a tuple its named tuple."""
    back = decode(Decision, encode(full_decision()))
    assert type(back.move) is Move
    assert type(back.ranking[0]) is Ranked
    assert type(back.ballots[0].proposals[0]) is Proposal
    assert type(back.features.kind) is TaskKind
    assert type(back.features.capabilities) is frozenset
    assert {type(c) for c in back.features.capabilities} == {Capability}
    assert back.candidates[0].wait_seconds == float("inf")


def test_read_only_mappings_become_plain_ones() -> None:
    loaded = LoadedModel(
        instance="i",
        key="k",
        backend="b",
        plan=LoadPlan(context=8),
        footprint=Footprint(1, 2, MappingProxyType({"gpu0": 3})),
    )
    assert decode(LoadedModel, encode(loaded)) == loaded


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"move": "leap"}', b"\xff\xfe\x00", '{"move": "stay"}'])
def test_what_is_no_decision_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(Decision, text)


def test_every_field_is_drawn() -> None:
    """Guards the law above: a field left at its default would be one that is not tested."""
    names = {field.name for field in dataclasses.fields(Decision)}
    assert set(typing.get_type_hints(Decision)) == names
