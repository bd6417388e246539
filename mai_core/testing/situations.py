"""Hypothesis strategies for what the core decides about: inventories of models, machines, and whole situations.

Made to be read: sizes in half gibibytes, speeds that follow from them, faults one at a time.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from mai_core.policy.features import TaskFeatures
from mai_core.policy.kinds import TaskKind
from mai_core.policy.models import Capability, ModelProfile, Tier
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind, ResourceSnapshot
from mai_core.policy.situation import Situation
from mai_core.testing.worlds import architectures

__all__ = ["REMOTE", "inventories", "machines", "models", "situations", "turn_features"]

GIB = 2**30
HALF = GIB // 2
REMOTE = "box"
"""A host no probe knows: its models say themselves whether they fit."""

FAULTS = ("", "", "", "", "broken", "absent", "failing", "remote", "blind")


@st.composite
def models(draw: DrawFn, key: str, largest: int = 24 * GIB) -> ModelProfile:
    """A model that takes about ``largest`` bytes at most, half of the time with a header to predict from."""
    size = HALF * draw(st.integers(1, max(1, largest // HALF)))
    parameters = 1.6 * size
    return ModelProfile(
        key=key,
        backend="engine",
        location=key,
        size_bytes=size,
        parameters=parameters,
        max_context=draw(st.sampled_from([8192, 2048, 131072])),
        architecture=draw(st.none() | architectures()),
        capabilities=frozenset({Capability.VISION}),
        tier=Tier.of_parameters(parameters),
        quality={"default": draw(st.integers(5, 95)) / 100},
    )


@st.composite
def inventories(draw: DrawFn, *, least: int = 0, most: int = 3, largest: int = 24 * GIB) -> tuple[ModelProfile, ...]:
    """Models ``a``, ``b``, ... of all sizes."""
    return tuple(draw(models("abcdefgh"[i], largest)) for i in range(draw(st.integers(least, most))))


@st.composite
def machines(draw: DrawFn, *, roomy: bool = False) -> Host:
    """A machine of 2 to 128 GiB, without a GPU, with one or two, or with memory shared with one.

    Most of a ``roomy`` one is free.
    """

    def pool(name: str, kind: PoolKind, least: int, most: int) -> MemoryPool:
        total = HALF * draw(st.integers(2 * least, 2 * most))
        free = total * draw(st.integers(50 if roomy else 0, 100)) // 100
        return MemoryPool(name, kind, total, free)

    found = [pool("ram", PoolKind.RAM, 4 if roomy else 2, 128)]
    gpus = draw(st.sampled_from(["none", "one", "two", "shared"]))
    if gpus in ("one", "two"):
        found.append(pool("gpu0", PoolKind.DEVICE, 4, 24))
    if gpus == "two":
        found.append(pool("gpu1", PoolKind.DEVICE, 4, 24))
    if gpus == "shared":
        total, free = found[0].total, found[0].available
        found.append(MemoryPool("gpu0", PoolKind.UNIFIED, total * 3 // 4, free * 3 // 4))
    return Host(pools=tuple(found), cpu=Cpu(draw(st.sampled_from([4, 1, 16])), draw(st.sampled_from([0.0, 0.5, 1.0]))))


@st.composite
def turn_features(draw: DrawFn) -> TaskFeatures:
    """A turn of any kind and difficulty; the conversation before it has been read by nobody."""
    prompt = draw(st.sampled_from([10, 500, 3000, 20_000]))
    return TaskFeatures(
        kind=draw(st.sampled_from(TaskKind)),
        difficulty=draw(st.integers(0, 10)) / 10,
        prompt_tokens=prompt,
        new_tokens=prompt,
        reply_tokens=draw(st.sampled_from([256, 48, 900])),
    )


@st.composite
def situations(draw: DrawFn, *, least: int = 0, most: int = 3, roomy: bool = False, faulty: bool = False) -> Situation:
    """A cold start: an inventory, a machine and a turn; nothing is loaded and nothing was used before.

    In a ``faulty`` one, models may be broken, not on the disk, failing, blind to an image or on another machine.
    """
    host = draw(machines(roomy=roomy))
    total = host.pools[0].total
    found = draw(inventories(least=least, most=most, largest=total // 3 if roomy else total))
    situation = Situation(
        models=found,
        snapshot=ResourceSnapshot((host,), taken_at=10_000.0),
        features=draw(turn_features()),
    )
    for model in found if faulty else ():
        situation = _with_fault(situation, model, draw(st.sampled_from(FAULTS)))
    return situation


def _with_fault(situation: Situation, model: ModelProfile, fault: str) -> Situation:
    def changed(other: ModelProfile, **facts: object) -> Situation:
        made = tuple(replace(m, **facts) if m is other else m for m in situation.models)  # type: ignore[arg-type]
        return replace(situation, models=made)

    match fault:
        case "broken":
            return changed(model, fault="its file is cut off")
        case "absent":
            return changed(model, installed=False)
        case "failing":
            return replace(situation, health={**situation.health, model.key: 0.0})
        case "remote":
            return changed(model, host=REMOTE, remote=True, price_out=10.0)
        case "blind":
            seeing = replace(situation.features, capabilities=frozenset({Capability.VISION}))
            return replace(changed(model, capabilities=frozenset()), features=seeing)
    return situation
