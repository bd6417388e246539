"""Switches, waiting and quality while other programs take memory and give it back: with stability and without.

python -m mai_core.bench.steadiness
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mai_core.plugin.isolation import StrategyRunner
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.anticipation import to_prepare
from mai_core.policy.decision import Vote, decide
from mai_core.policy.feasibility import Limits, Situation, spendable
from mai_core.policy.features import TaskFeatures, TaskKind
from mai_core.policy.footprint import predict_footprint
from mai_core.policy.models import Architecture, LoadedModel, ModelProfile, like_layers
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind, Pressure, ResourceSnapshot
from mai_core.policy.selection import Candidate
from mai_core.policy.speed import MeasuredSpeed
from mai_core.policy.stability import StabilityRules, Switch, paid_switch
from mai_core.policy.trouble import in_trouble
from mai_core.settings.model import Settings

__all__ = ["NAIVE", "Course", "follow", "main", "report", "trace"]

GIB = 2**30
TOTAL = 16 * GIB
TURN_SECONDS = 30.0
NOISE = 0.01
PRESSURE_FULL, STARVED = 0.10, 0.50
KINDS = (TaskKind.CHAT, TaskKind.CHAT, TaskKind.CODE, TaskKind.CHAT, TaskKind.KNOWLEDGE, TaskKind.WRITING)
TOKENS_A_TURN, LONGEST = 180, 3600

NAIVE = StabilityRules(
    margin=0.0, horizon_turns=1, up_after_seconds=0.0, seconds_value=0.0, spare=-1.0, remember_seconds=0.0
)
"""The best model that fits at this moment, every turn anew."""


@dataclass(slots=True)
class Course:
    """What became of a conversation: ``waits`` are the seconds to the first token of each turn."""

    turns: int = 0
    switches: int = 0
    back: int = 0
    waits: list[float] = field(default_factory=list)
    qualities: list[float] = field(default_factory=list)


def models() -> tuple[ModelProfile, ...]:
    """Four Qwen2.5 Instruct models in 4 bits, as the catalogue rates them."""
    shapes = (
        ("0.5b", 0.49, 0.49, 24, 896, 4864, 256, 0.28, 0.24),
        ("1.5b", 1.54, 1.12, 28, 1536, 8960, 512, 0.41, 0.43),
        ("7b", 7.6, 4.68, 28, 3584, 18944, 1024, 0.62, 0.69),
        ("14b", 14.8, 8.99, 48, 5120, 13824, 2048, 0.68, 0.73),
    )
    return tuple(
        ModelProfile(
            key=f"qwen2.5-{name}",
            backend="embedded",
            location=name,
            size_bytes=int(gigabytes * 1e9),
            parameters=billions * 1e9,
            max_context=32768,
            architecture=Architecture(
                name="qwen2",
                groups=like_layers(layers, kv_width),
                embedding=embedding,
                feed_forward=feed_forward,
                vocabulary=151_936,
            ),
            quality={"default": quality, "code": code},
        )
        for name, billions, gigabytes, layers, embedding, feed_forward, kv_width, quality, code in shapes
    )


SPEEDS = {
    "qwen2.5-0.5b": MeasuredSpeed(5000.0, 220.0, 0.7),
    "qwen2.5-1.5b": MeasuredSpeed(2000.0, 110.0, 1.5),
    "qwen2.5-7b": MeasuredSpeed(450.0, 34.0, 5.0),
    "qwen2.5-14b": MeasuredSpeed(220.0, 17.0, 9.5),
}
"""Of a laptop whose processors share fast memory: where larger models are worth their waiting."""


def trace(seed: int = 1) -> Iterator[int]:
    """Bytes that other programs hold, turn by turn: a working day of 320 turns, read by a sensor that wavers."""
    draw = random.Random(seed)
    phases: tuple[tuple[int, Callable[[int], float]], ...] = (
        (40, lambda t: 3.0),
        (60, lambda t: 12.0 if t % 6 < 2 else 4.0),  # a compiler, again and again
        (60, lambda t: 4.0 + 9.0 * t / 60),  # a browser whose tabs grow
        (20, lambda t: 15.0),  # something takes nearly everything
        (40, lambda t: 10.2 if t % 2 else 10.8),  # to and fro across what one of the models needs
        (40, lambda t: 5.0 if t % 10 else 12.5),  # short peaks
        (60, lambda t: 3.0),
    )
    for turns, level in phases:
        for t in range(turns):
            yield int((level(t) + 16.0 * draw.uniform(-NOISE, NOISE)) * GIB)


def follow(held: Sequence[int], vote: Vote, rules: StabilityRules, *, cores: int = 8) -> Course:
    """One conversation through all of it, with what was loaded kept as long as there is room.

    What Mai would get ready between two turns is ready at the next, and has read the conversation.
    """
    offered, limits, course = models(), Limits(), Course()
    loaded: list[LoadedModel] = []
    read: dict[str, int] = {}
    current: str | None = None
    before: str | None = None
    troubled, calm, history = False, float("inf"), 0
    paid: list[Switch] = []
    for turn, others in enumerate(held):
        at, host = turn * TURN_SECONDS, _host(others, loaded, current, cores)
        troubled = in_trouble(host, troubled, limits, PRESSURE_FULL)
        calm = 0.0 if troubled else calm + TURN_SECONDS
        if troubled:
            loaded = [m for m in loaded if m.key == current]
        history = min(LONGEST, history + TOKENS_A_TURN)
        situation = Situation(
            models=offered,
            snapshot=ResourceSnapshot((host,), taken_at=at, calm_seconds=calm),
            features=TaskFeatures(
                kind=KINDS[turn % len(KINDS)], prompt_tokens=history, new_tokens=_unread(history, read, current)
            ),
            limits=limits,
            loaded=tuple(loaded),
            current=current,
            speeds=SPEEDS,
            history=tuple(paid),
        )
        decision = decide(situation, vote, rules=rules)
        if (switch := paid_switch(decision, at)) is not None:
            paid.append(switch)
        candidate = decision.candidate(decision.choice)
        course.turns += 1
        if candidate is None:
            course.qualities.append(0.0)
            continue
        reading = _unread(history, read, candidate.key) / SPEEDS[candidate.key].prompt_tps
        course.waits.append(candidate.load_seconds + reading)
        course.qualities.append(candidate.quality)
        if current not in (None, candidate.key):
            course.switches += 1
            course.back += candidate.key == before
            before = current
        current = candidate.key
        if not candidate.is_loaded:
            _load(loaded, candidate, offered, _host(others, loaded, current, cores), limits)
        read[current] = history
        wanted = to_prepare(decision, calm, rules)
        if wanted is not None and wanted.candidate.key != current:
            _load(loaded, wanted.candidate, offered, _host(others, loaded, current, cores), limits, evict=False)
            read[wanted.candidate.key] = history
        read = {m.key: read[m.key] for m in loaded}
    return course


def _host(others: int, loaded: Sequence[LoadedModel], current: str | None, cores: int) -> Host:
    """The machine as its sensors show it.

    Mapped weights count as available, but those of the model in use that do not stay in memory are read from disk
    again for every token.
    """
    available = max(0, TOTAL - others - sum(m.footprint.anonymous for m in loaded))
    starved = any(m.key == current and available < m.footprint.file_backed for m in loaded)
    pool = MemoryPool("ram", PoolKind.RAM, TOTAL, available)
    return Host(pools=(pool,), cpu=Cpu(cores), pressure=Pressure(memory_full=STARVED if starved else 0.0))


def _unread(history: int, read: Mapping[str, int], key: str | None) -> int:
    """Tokens of the conversation that a model has yet to read: the newest turn at least."""
    return max(TOKENS_A_TURN, history - read.get(key or "", 0))


def _load(
    loaded: list[LoadedModel],
    candidate: Candidate,
    offered: Sequence[ModelProfile],
    host: Host,
    limits: Limits,
    *,
    evict: bool = True,
) -> None:
    """Add to what is loaded; whoever was there longest leaves until it fits beside the headroom, as in the pool."""
    model = next(m for m in offered if m.key == candidate.key)
    footprint = predict_footprint(model, candidate.plan)
    loaded[:] = [m for m in loaded if m.key != model.key]
    while footprint.ram > spendable(host, (), limits):
        if not evict or not loaded:
            break
        left, ram = loaded.pop(0), host.pools[0]
        host = replace(host, pools=(replace(ram, available=ram.available + left.footprint.anonymous),))
    if evict or footprint.ram <= spendable(host, (), limits):
        loaded.append(
            LoadedModel(instance=model.key, key=model.key, backend="embedded", plan=candidate.plan, footprint=footprint)
        )


def report() -> None:
    """Print one line for Mai's rules and one for the naive policy."""
    registry = PluginRegistry.discover()
    settings = Settings()
    runner = StrategyRunner([(registry.strategy(name), 1.0) for name in settings.selection.strategies], 1.0)
    held = list(trace())
    hours = len(held) * TURN_SECONDS / 3600
    print(f"a day of {len(held)} turns ({hours:.1f} h) in which others take 3 to 15 of 16 GiB and give them back")
    print(f"{'policy':22} {'switches':>8} {'and back':>8} {'waiting, s':>10} {'longest':>8} {'quality':>8}")
    stability = settings.stability
    rules = StabilityRules(**stability.model_dump())
    for told, chosen in (("Mai", rules), ("naive, no stability", NAIVE)):
        course = follow(held, runner.ballots, chosen)
        print(
            f"{told:22} {course.switches:>8} {course.back:>8} {sum(course.waits):>10.0f} "
            f"{max(course.waits):>8.1f} {sum(course.qualities) / course.turns:>8.3f}"
        )
    runner.close()


def main() -> None:
    """Print the comparison."""
    report()


if __name__ == "__main__":
    main()
