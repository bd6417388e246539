"""A rejection says of which placement it speaks, what keeps it from running and what would help."""

from __future__ import annotations

from typing import Any

import pytest

from mai_core.policy.feasibility import Limits, Situation, feasible
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import Capability, ModelProfile
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind, ResourceSnapshot
from mai_core.policy.selection import Rejection, RejectionReason

GIB = 2**30
SNAPSHOT = ResourceSnapshot((Host(pools=(MemoryPool("ram", PoolKind.RAM, 8 * GIB, 4 * GIB),), cpu=Cpu(2)),), 0.0, 1e9)


def profile(key: str = "two/m", **facts: Any) -> ModelProfile:
    facts = {"model": "m", "backend": "two", "location": key, "size_bytes": GIB, "max_context": 8192} | facts
    return ModelProfile(key=key, **facts)


def rejected(model: ModelProfile | None, **situation: Any) -> Rejection:
    models = () if model is None else (model,)
    found = feasible(Situation(**{"models": models, "snapshot": SNAPSHOT, "features": TaskFeatures()} | situation))
    [rejection] = found.rejections
    return rejection


@pytest.mark.parametrize(
    ("facts", "situation", "reason"),
    [
        ({"installed": False}, {}, RejectionReason.NOT_INSTALLED),
        ({"fault": "truncated"}, {}, RejectionReason.BROKEN),
        ({}, {"not_chat": frozenset({"two/m"})}, RejectionReason.NOT_CHAT),
        ({"remote": True}, {"limits": Limits(local_only=True)}, RejectionReason.PRIVACY),
        ({}, {"unavailable": {"two": "off"}}, RejectionReason.UNAVAILABLE),
        ({}, {"features": TaskFeatures(capabilities=frozenset({Capability.VISION}))}, RejectionReason.CAPABILITY),
        ({}, {"health": {"two/m": 0.0}}, RejectionReason.HEALTH),
        ({"max_context": 512}, {}, RejectionReason.CONTEXT),
        ({"size_bytes": 400 * GIB, "parameters": 640e9}, {}, RejectionReason.MEMORY),
        ({"host": "elsewhere"}, {"snapshot": ResourceSnapshot((), 0.0, 0.0)}, RejectionReason.UNKNOWN_HOST),
    ],
)
def test_every_rejection_names_its_placement(
    facts: dict[str, Any], situation: dict[str, Any], reason: RejectionReason
) -> None:
    # A second model keeps the last resort away: a model that fits nowhere then stays rejected.
    other = profile("other", model="other", backend="far", host="box", remote=True, size_bytes=0)
    capable = profile(**facts)
    made = {"models": (capable, other), "snapshot": SNAPSHOT, "features": TaskFeatures()} | situation
    found = {r.key: r for r in feasible(Situation(**made)).rejections}["two/m"]
    assert (found.reason, found.model, found.backend) == (reason, "m", "two")


@pytest.mark.parametrize(
    ("window", "said", "helps"),
    [
        (1000, "sees at most 1000 tokens, 1024 tokens are wanted", "mai config set context.minimum 1000"),
        (1, "is said to see 1 token, too few for any conversation", "set the context length of this model in two"),
        (0, "is said to see 0 tokens, too few for any conversation", "set the context length of this model in two"),
        (-4, "is said to see 0 tokens, too few for any conversation", "set the context length of this model in two"),
    ],
)
def test_nobody_is_advised_to_converse_in_a_token(window: int, said: str, helps: str) -> None:
    rejection = rejected(profile(max_context=window))
    assert (rejection.message, rejection.remedy) == (said, helps)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("nobody answers", "two: nobody answers"),
        ("Two does not answer at 127.0.0.1:1", "Two does not answer at 127.0.0.1:1"),
    ],
)
def test_a_backend_that_is_gone_is_named_with_what_brings_it_back(gone: str, said: str) -> None:
    told = rejected(profile(), unavailable={"two": gone}, remedies={"two": "start it"})
    assert (told.message, told.remedy) == (said, "start it")
    assert rejected(profile(), unavailable={"two": gone}).remedy == "it is tried again by itself"


@pytest.mark.parametrize(
    ("situation", "backend", "said", "helps"),
    [
        ({"pinned": "m", "pinned_on": ("two",), "unavailable": {"two": "off", "x": "off"}}, "two", "two: off", "start"),
        ({"pinned": "two/m", "unavailable": {"two": "off"}}, "two", "two: off", "start"),
        ({"pinned": "m", "pinned_on": ("two",)}, "two", "two no longer offers it", "mai models lists what there is"),
        ({"pinned": "m", "pinned_on": ("a", "b")}, "a", "a and b no longer offer it", "mai models lists what there is"),
        ({"pinned": "m"}, "", "no engine that answers has it", "mai models lists what there is"),
    ],
)
def test_what_became_of_a_pinned_model_nobody_lists(
    situation: dict[str, Any], backend: str, said: str, helps: str
) -> None:
    told = rejected(None, **situation, remedies={"two": "start"})
    assert (told.key, told.backend, told.reason) == (situation["pinned"], backend, RejectionReason.UNAVAILABLE)
    assert (told.message, told.remedy) == (said, helps)


@pytest.mark.parametrize("pinned", ["m", "two/m", "two/two/m"])
def test_a_pinned_model_that_is_listed_is_not_lost(pinned: str) -> None:
    found = feasible(Situation(models=(profile(),), snapshot=SNAPSHOT, features=TaskFeatures(), pinned=pinned))
    assert (len(found.candidates), found.rejections) == (1, ())
