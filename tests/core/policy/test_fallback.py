"""A chain of attempts ends, never repeats one unchanged, and takes the step each failure calls for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.fallback import MOST_HANDOVERS, MOST_MODELS, Attempt, Cause, Chain, Failure
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import LoadPlan, ModelProfile
from mai_core.policy.selection import Candidate, Decision, Move, Ranked
from mai_core.policy.struggle import Struggle

MINIMUM = 1024
CAUSES: list[Cause] = [*Failure, *Struggle]


def model(key: str, **values: Any) -> ModelProfile:
    return ModelProfile(key=key, location=key, **{"backend": "one", "model": key, **values})


def chain(*models: ModelProfile, contexts: dict[str, int] | None = None, pinned: bool = False) -> Chain:
    """The models in this order, the first ranked, the others candidates nobody voted for."""
    contexts = contexts or {}
    candidates = tuple(
        Candidate(key=m.key, plan=LoadPlan(context=contexts.get(m.key, 4096)), quality=0.9 - place / 100)
        for place, m in enumerate(models)
    )
    decision = Decision(
        move=Move.PIN if pinned else Move.START,
        choice=models[0].key,
        reason="",
        ranking=(Ranked(models[0].key, 0.9, ""),),
        features=TaskFeatures(),
        candidates=candidates,
    )
    return Chain.of(decision, {m.key: m for m in models}, MINIMUM)


def keys(left: Chain) -> list[str]:
    return [attempt.key for attempt in left.queue]


def head(left: Chain) -> Attempt:
    assert left.next is not None
    return left.next


MODELS = st.lists(
    st.builds(
        model,
        st.sampled_from("abcdefghij"),
        backend=st.sampled_from(["one", "two"]),
        model=st.sampled_from(["", "x", "y"]),
        remote=st.booleans(),
        fallbacks=st.lists(st.sampled_from("abcxyz"), max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=9,
    unique_by=lambda m: m.key,
)


@given(MODELS, st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from([1024, 4096, 32768])), st.data())
def test_a_chain_ends_and_never_repeats_an_attempt(
    models: list[ModelProfile], contexts: dict[str, int], data: st.DataObject
) -> None:
    left, seen, loaded = chain(*models, contexts=contexts), set(), set()
    handed_over = 0
    while (attempt := left.next) is not None:
        assert attempt not in seen, "repeated unchanged"
        assert attempt.plan.context >= MINIMUM
        seen.add(attempt)
        cause = data.draw(st.sampled_from(CAUSES))
        if isinstance(cause, Struggle) and not left.heirs(attempt, cause):
            cause = Failure.OTHER  # the answer is left to it, as nobody would do better
        if attempt.regardless and cause is Failure.NO_ROOM:
            cause = Failure.OUT_OF_MEMORY  # it was tried all the same
        if cause is not Failure.NO_ROOM:
            assert not attempt.regardless or all(waiting.regardless for waiting in left.queue), "others come before it"
            loaded.add(attempt.key)
        handed_over += cause in (Struggle.LOOPED, Struggle.SLOW, Struggle.UNSURE, Struggle.DOUBTED)
        left = left.after(attempt, cause, borrowed=data.draw(st.booleans()))
    assert handed_over <= MOST_HANDOVERS
    assert len(loaded) <= MOST_MODELS
    assert len(seen) <= MOST_MODELS * 9 + len(models)


@given(MODELS, st.sampled_from(CAUSES))
def test_nobody_is_lost_but_who_cannot_help(models: list[ModelProfile], cause: Cause) -> None:
    left = chain(*models)
    first = head(left)
    after = left.after(first, cause)
    gone = set(keys(left)) - set(keys(after)) - {first.key}
    if cause is Failure.BACKEND_GONE:
        assert gone == {m.key for m in models if m.backend == models[0].backend} - {first.key}
    elif cause is Struggle.LOOPED:
        assert all((left.models[key].model or key) == (models[0].model or first.key) for key in gone)
    elif cause is Struggle.WINDOW_FULL:
        assert gone == {m.key for m in models} - {first.key}, "no window is larger"
    else:
        assert not gone


A, B, C = model("a"), model("b"), model("c")


def test_a_crashed_model_is_reloaded_once() -> None:
    left = chain(A, B).after(head(chain(A, B)), Failure.CRASHED)
    assert (head(left).key, head(left).again) == ("a", True)
    assert keys(left.after(head(left), Failure.CRASHED)) == ["b"]


def test_too_little_memory_halves_the_context_of_what_is_ours_to_load() -> None:
    left = chain(A, B)
    assert head(left.after(head(left), Failure.OUT_OF_MEMORY)).plan.context == 2048
    assert keys(left.after(head(left), Failure.OUT_OF_MEMORY, borrowed=True)) == ["b"]
    contexts = []
    while head(left).key == "a":
        contexts.append(head(left).plan.context)
        left = left.after(head(left), Failure.OUT_OF_MEMORY)
    assert contexts == [4096, 2048, 1024]


def test_what_there_is_no_room_for_waits_for_the_others_and_the_smallest_is_loaded_all_the_same() -> None:
    sizes = {"large": 4, "small": 1, "middling": 2}
    left = chain(*(model(key, size_bytes=size * 2**30) for key, size in sizes.items()))
    left = left.after(head(left), Failure.NO_ROOM)
    assert keys(left) == ["small", "middling", "large"]
    assert not left.tried
    left = left.after(head(left), Failure.CRASHED)
    left = left.after(head(left), Failure.CRASHED)
    left = left.after(head(left), Failure.NO_ROOM)
    assert [(a.key, a.regardless) for a in left.queue] == [("middling", True), ("large", True)]


def test_nobody_without_room_is_forced_in_where_the_first_can_answer_to_the_end() -> None:
    left = chain(A, B)
    left = left.after(head(left), Struggle.DOUBTED, heirs=("b",))
    left = left.after(head(left), Failure.NO_ROOM)
    assert [(a.key, a.to_the_end) for a in left.queue] == [("a", True)]
    left = left.after(head(left), Failure.NO_ROOM)
    assert [(a.key, a.to_the_end, a.regardless) for a in left.queue] == [("a", True, True)]


def test_nobody_without_room_takes_over_from_who_can_answer_to_the_end() -> None:
    left = chain(A, B)
    left = left.after(head(left), Failure.NO_ROOM)
    assert [(a.key, a.regardless) for a in left.queue] == [("b", False), ("a", True)]
    assert [left.heirs(head(left), s) for s in (Struggle.SLOW, Struggle.UNSURE, Struggle.DOUBTED)] == [()] * 3
    assert left.heirs(head(left), Struggle.LOOPED) == ("a",), "what has lost itself answers nothing"

    left = chain(A, B, C)
    left = left.after(head(left), Failure.NO_ROOM)
    left = left.after(head(left), Struggle.SLOW, heirs=("c",))
    assert [(a.key, a.to_the_end, a.regardless) for a in left.queue] == [
        ("c", False, False),
        ("b", True, False),
        ("a", False, True),
    ]


def test_a_prompt_that_is_too_long_is_cut_once() -> None:
    left = chain(A, B)
    left = left.after(head(left), Failure.TOO_LONG)
    assert (head(left).key, head(left).shrink) == ("a", 0.8)
    assert keys(left.after(head(left), Failure.TOO_LONG)) == ["b"]


def test_a_full_window_is_emptied_once_then_only_larger_ones_help() -> None:
    left = chain(A, B, C, contexts={"c": 8192})
    left = left.after(head(left), Struggle.WINDOW_FULL)
    assert [(a.key, a.shrink) for a in left.queue] == [("a", 0.8), ("c", 1.0)]
    assert keys(left.after(head(left), Struggle.WINDOW_FULL)) == ["c"]


def test_a_slow_model_is_the_last_resort_and_then_left_in_peace() -> None:
    left = chain(A, B, C)
    left = left.after(head(left), Struggle.SLOW, heirs=("c",))
    assert [(a.key, a.to_the_end) for a in left.queue] == [("c", False), ("b", False), ("a", True)]


def test_what_has_lost_itself_in_one_place_is_not_asked_in_another() -> None:
    elsewhere = model("a2", model="a", backend="two")
    left = chain(A, elsewhere, B)
    assert left.heirs(head(left), Struggle.LOOPED) == ("b",)
    assert keys(left.after(head(left), Struggle.LOOPED)) == ["b"]
    assert left.heirs(head(left), Struggle.SLOW) == ("a2", "b"), "another engine may be faster"
    assert keys(left.after(head(left), Failure.OTHER)) == ["a2", "b"]


def test_a_pinned_model_may_be_slow_and_unsure_but_not_lost() -> None:
    left = chain(A, B, pinned=True)
    assert [left.heirs(head(left), s) for s in (Struggle.SLOW, Struggle.UNSURE, Struggle.LOOPED)] == [(), (), ("b",)]


def test_handovers_are_few() -> None:
    models = [model(key) for key in "abcdefg"]
    left = chain(*models)
    for _ in range(MOST_HANDOVERS):
        assert left.heirs(head(left), Struggle.LOOPED)
        left = left.after(head(left), Struggle.LOOPED)
    assert left.heirs(head(left), Struggle.LOOPED) == ()


@pytest.mark.parametrize("name", ["big-7b", "big-7b-q4_k_m", "big-*", "two/big-7b-q4_k_m"])
def test_the_fallbacks_of_the_catalogue_come_first(name: str) -> None:
    big = model("big-7b-q4_k_m", backend="two")
    failing = model("a", fallbacks=("nobody", name, "c"))
    left = chain(failing, B, C, model("other-7b"), big)
    assert keys(left.after(head(left), Failure.OTHER)) == ["big-7b-q4_k_m", "c", "b", "other-7b"]


def test_another_place_of_the_model_comes_before_its_fallbacks_unless_it_leaves_the_machine() -> None:
    failing = model("a", fallbacks=("b",))
    near, far = model("a2", model="a"), model("a3", model="a", remote=True)
    left = chain(failing, far, C, B, near)
    assert keys(left.after(head(left), Failure.OTHER)) == ["a2", "b", "a3", "c"]


def test_memory_that_did_not_suffice_twice_is_not_asked_for_again_on_that_host() -> None:
    """So nobody crashes through every candidate: what is larger than what failed is left alone on that host."""
    sizes = {"a": 4, "larger": 8, "same": 4, "small": 1}
    here = [model(key, size_bytes=size * 2**30) for key, size in sizes.items()]
    left = chain(*here, model("far", size_bytes=8 * 2**30, host="box", backend="two"), model("unknown", backend="two"))
    first = left.after(head(left), Failure.OUT_OF_MEMORY)
    assert keys(first) == ["a", "small", "far", "unknown", "larger", "same"]
    second = first.after(head(first), Failure.OUT_OF_MEMORY)
    assert keys(second) == ["a", "small", "far", "unknown", "same"]
    assert head(second).plan.context == 1024, "the model itself comes down the ladder"
    far = chain(model("far", size_bytes=2**33, host="box"), *here[1:])
    once = far.after(head(far), Failure.OUT_OF_MEMORY, borrowed=True)
    assert keys(once.after(head(once), Failure.OUT_OF_MEMORY, borrowed=True)) == ["same", "small"], (
        "each host on its own"
    )
