"""A generated world in words, for whoever has to understand why a law does not hold there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import Footprint, ModelProfile
from mai_core.policy.resources import Host, PoolKind
from mai_core.policy.selection import Candidate, Rung, SelectionRequest
from mai_core.policy.situation import Situation
from mai_core.testing.laws.course import TOTAL, Turn
from mai_core.testing.situations import REMOTE

__all__ = ["told"]

GIB = 2**30
MIB = 2**20


def told(example: Mapping[str, Any]) -> tuple[str, ...]:
    """The example of a law, line by line. What a law draws beside worlds it tells itself when it is broken."""
    return tuple(line for name, value in example.items() for line in _lines(name, value))


def _lines(name: str, value: object) -> Iterator[str]:
    match value:
        case SelectionRequest():
            which = "" if name == "request" else f" ({name})"
            yield f"turn{which}: {_turn(value.features)}"
            if value.current is not None:
                there = "" if value.candidate(value.current) else ", which cannot run now"
                yield f"in use: {value.current}{there}"
            if value.calm_seconds != float("inf"):
                yield f"memory calm for {value.calm_seconds:.0f} s"
            yield from (f"model {_candidate(c)}" for c in value.candidates)
            if not value.candidates:
                yield "no model can run"
        case Situation():
            yield from (f"machine: {_host(host)}" for host in value.snapshot.hosts)
            yield f"turn: {_turn(value.features)}"
            yield from (f"model {_profile(model, value)}" for model in value.models)
        case TaskFeatures():
            yield f"turn: {_turn(value)}"
        case Candidate():
            yield f"model {_candidate(value)}"
        case list() | tuple() if value and isinstance(value[0], Turn):
            yield f"machine: {TOTAL / GIB:.0f} GiB of main memory, 8 cores"
            now = 0.0
            for turn in value:
                now += turn.waits
                yield f"  {now:>6.0f} s  {_befallen(turn)}"
        case tuple() if value and isinstance(value[0], ModelProfile):
            yield from (f"model {_profile(model)}" for model in value)


def _turn(features: TaskFeatures) -> str:
    parts = [f"{features.kind.value} of difficulty {features.difficulty:.2g}"]
    parts.append(f"{features.prompt_tokens:,} tokens to read")
    parts.append(f"about {features.reply_tokens:,} to write")
    if features.capabilities:
        parts.append(f"needs {', '.join(sorted(features.capabilities))}")
    return ", ".join(parts)


def _candidate(c: Candidate) -> str:
    parts = [f"{c.tier.value}, quality {c.quality:.3g}", f"health {c.health:.3g}"]
    if c.is_loaded:
        parts.append("in memory")
    elif c.is_remote:
        parts.append("on another machine")
    else:
        parts.append(f"loads in {c.load_seconds:.3g} s")
    parts.append(f"reads in {c.prefill_seconds:.3g} s")
    parts.append(f"writes {c.tokens_per_second:.3g} tokens/s")
    parts.append(f"done after {c.wait_seconds:.3g} s")
    parts.append(f"takes {c.energy_joules:.3g} J, {c.money:.3g} money, {c.cost:.3g} in all")
    if c.rung is not Rung.FULL:
        parts.append(f"came down to {c.rung.value}")
    parts.append(f"{c.plan.context:,} tokens of context")
    parts.append(_bytes(c.footprint))
    parts.append(f"{c.spare:.0%} to spare")
    return f"{c.key}: {', '.join(part for part in parts if part)}"


def _bytes(footprint: Footprint) -> str:
    parts = [f"{_size(footprint.ram)} of main memory"] if footprint.ram else []
    parts += [f"{_size(size)} of {name}" for name, size in footprint.devices.items() if size]
    return " and ".join(parts)


def _profile(model: ModelProfile, situation: Situation | None = None) -> str:
    parts = [model.tier.value, _size(model.size_bytes)]
    parts.append(f"{model.parameters / 1e9:.1f} billion weights")
    parts.append(f"quality {model.quality['default']:.2f}" if "default" in model.quality else "")
    parts.append(f"{model.max_context:,} tokens of context")
    parts.append(f"header of a {model.architecture.name}" if model.architecture else "")
    if situation is not None:
        speed = situation.speed(model)
        parts.append(f"reads {speed.prompt_tps:.0f} and writes {speed.generation_tps:.1f} tokens/s")
    parts.append(model.fault)
    parts.append("" if model.installed else "not on this disk")
    parts.append("on another machine" if model.host == REMOTE else "")
    parts.append("sees no images" if not model.capabilities else "")
    if situation is not None and situation.health.get(model.key, 1.0) <= 0.0:
        parts.append("kept out after failures")
    return f"{model.key}: {', '.join(part for part in parts if part)}"


def _host(host: Host) -> str:
    kinds = {PoolKind.RAM: "main memory", PoolKind.UNIFIED: "it for the GPU too", PoolKind.DEVICE: "GPU memory"}
    parts = [f"{_size(p.available)} of {_size(p.total)} of {kinds[p.kind]} free ({p.name})" for p in host.pools]
    return f"{', '.join(parts)}, {host.cpu.cores} cores, {host.cpu.busy:.0%} busy"


def _befallen(turn: Turn) -> str:
    parts = [f"others take {_size(turn.others)}" if turn.others else "nobody else takes memory"]
    parts.append("" if turn.calm == float("inf") else f"calm for {turn.calm:.0f} s")
    parts.append(f"processor {turn.busy:.0%} busy" if turn.busy else "")
    parts.append(f"memory pressure {turn.pressure:.0%}" if turn.pressure else "")
    parts.append(f"{turn.kind.value} of difficulty {turn.difficulty:.1f}, {turn.prompt:,} tokens")
    parts += [f"model {chr(ord('a') + i)} is kept out" for i in turn.failing]
    return ", ".join(part for part in parts if part)


def _size(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"
