"""The smallest change that would flip the choice, found by deciding again under small changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from mai_core.policy.feasibility import Situation
from mai_core.policy.resources import Host, MemoryPool, PoolKind, ResourceSnapshot
from mai_core.policy.selection import Decision, Flip

__all__ = ["smallest_flip"]

GIB = 1024**3
MEMORY_STEPS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
DIFFICULTY_STEPS = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8)


def smallest_flip(situation: Situation, decide: Callable[[Situation], Decision]) -> Flip | None:
    """The least change of free memory, difficulty, calm or pin after which ``decide`` chooses another model.

    Changes are compared by their share of the range they can move in: all of the memory, all of the difficulty.
    When none of them changes the choice, the flip is how much better the strategies would have to think of the
    runner-up; None when there is no other candidate either.
    """
    decision = decide(situation)
    choice = decision.choice
    for _, change, changed in sorted(_changes(situation), key=lambda c: c[0]):
        other = decide(changed).choice
        if other is not None and other != choice:
            return Flip(change, other)
    return _runner_up(decision)


def _runner_up(decision: Decision) -> Flip | None:
    if len(decision.ranking) < 2:
        return None
    first, second = decision.ranking[:2]
    lead = max(0.0, first.utility - second.utility)
    return Flip(f"a score {lead:.2f} higher for {second.key}", second.key)


def _changes(situation: Situation) -> Iterator[tuple[float, str, Situation]]:
    if situation.pinned is not None:
        yield 0.0, "without the pin (mai switch auto)", replace(situation, pinned=None)
    if situation.snapshot.calm_seconds != float("inf"):
        calm = replace(situation.snapshot, calm_seconds=float("inf"))
        yield 0.01, "with memory calm for longer", replace(situation, snapshot=calm)
    for step in DIFFICULTY_STEPS:
        for sign, word in ((1, "harder"), (-1, "easier")):
            difficulty = situation.features.difficulty + sign * step
            if 0.0 <= difficulty <= 1.0:
                features = replace(situation.features, difficulty=difficulty)
                yield (
                    step,
                    f"a task {step:.2f} {word} (difficulty {difficulty:.2f})",
                    replace(situation, features=features),
                )
    ram = next((h.ram for h in situation.snapshot.hosts if h.name == "local"), None)
    if ram is None:
        return
    for share in MEMORY_STEPS:
        size = int(share * ram.total)
        if ram.available + size <= ram.total:
            yield share, f"{size / GIB:.1f} GiB more free memory", _with_memory(situation, size)
        if size < ram.available:
            yield share, f"{size / GIB:.1f} GiB less free memory", _with_memory(situation, -size)


def _with_memory(situation: Situation, change: int) -> Situation:
    def pool(old: MemoryPool) -> MemoryPool:
        return old if old.kind is PoolKind.DEVICE else replace(old, available=old.available + change)

    def host(old: Host) -> Host:
        return old if old.name != "local" else replace(old, pools=tuple(pool(p) for p in old.pools))

    old = situation.snapshot
    snapshot = ResourceSnapshot(tuple(host(h) for h in old.hosts), old.taken_at, old.calm_seconds)
    return replace(situation, snapshot=snapshot)
