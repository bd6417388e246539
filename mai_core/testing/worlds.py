"""Hypothesis strategies for everything policy decides about: machines, models, turns, candidates, conversations.

Values are coherent, so that laws are tested on worlds that can exist: what is loaded loads in no time, waiting is the
sum of its parts, nobody has more memory free than there is.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from mai_core.policy.context import ContextBudget, TransferRequest
from mai_core.policy.features import TaskFeatures, TaskKind
from mai_core.policy.messages import Message, Role
from mai_core.policy.models import (
    Architecture,
    Capability,
    Footprint,
    KvType,
    LoadPlan,
    ModelProfile,
    Tier,
    like_layers,
)
from mai_core.policy.resources import Battery, Cpu, Host, HostReading, MemoryPool, PoolKind, Pressure, ResourceSnapshot
from mai_core.policy.selection import Candidate, Rung, SelectionRequest

__all__ = [
    "architectures",
    "candidates",
    "conversations",
    "count_words",
    "dominated",
    "features",
    "footprints",
    "hosts",
    "keys",
    "plans",
    "profiles",
    "readings",
    "requests",
    "shares",
    "snapshots",
    "transfer_requests",
]

GIB = 2**30


def keys() -> SearchStrategy[str]:
    """Keys of models, as short as can be told apart."""
    return st.text("abcxyz0123-", min_size=1, max_size=4)


def shares() -> SearchStrategy[float]:
    """Numbers from 0 to 1, both included."""
    return st.floats(0.0, 1.0, allow_nan=False, width=32)


def seconds(most: float = 600.0) -> SearchStrategy[float]:
    """Durations, from nothing."""
    return st.floats(0.0, most, allow_nan=False, width=32)


def plans() -> SearchStrategy[LoadPlan]:
    """Ways to load a model."""
    return st.builds(
        LoadPlan,
        context=st.sampled_from([512, 1024, 2048, 4096, 8192, 32768]),
        kv_type=st.sampled_from(KvType),
        threads=st.integers(0, 8),
    )


def footprints() -> SearchStrategy[Footprint]:
    """Bytes in main memory, sometimes on a device too."""
    return st.builds(
        Footprint,
        anonymous=st.integers(0, 64 * GIB),
        file_backed=st.integers(0, 64 * GIB),
        devices=st.dictionaries(st.sampled_from(["cuda0", "cuda1"]), st.integers(0, 48 * GIB), max_size=2),
    )


def features() -> SearchStrategy[TaskFeatures]:
    """What turns ask for."""
    return st.builds(
        TaskFeatures,
        kind=st.sampled_from(TaskKind),
        difficulty=shares(),
        capabilities=st.frozensets(st.sampled_from(Capability)),
        prompt_tokens=st.integers(1, 32768),
        new_tokens=st.integers(0, 4096),
        reply_tokens=st.integers(1, 4096),
    )


@st.composite
def candidates(draw: DrawFn, key: str = "") -> Candidate:
    """A model that can run, with coherent times; of that key when one is given."""
    loaded = draw(st.booleans())
    remote = not loaded and draw(st.integers(0, 5)) == 0
    load = 0.0 if loaded or remote else draw(st.floats(0.0625, 120.0, width=32))
    prefill = draw(seconds(60.0))
    speed = draw(st.floats(0.5, 500.0, width=32))
    wait = load + prefill + draw(st.integers(1, 1024)) / speed
    return Candidate(
        key=key or draw(keys()),
        backend=draw(st.sampled_from(["embedded", "other"])),
        tier=draw(st.sampled_from(Tier)),
        plan=draw(plans()),
        footprint=Footprint() if remote else draw(footprints()),
        rung=draw(st.sampled_from(Rung)),
        quality=draw(shares()),
        load_seconds=load,
        prefill_seconds=prefill,
        tokens_per_second=speed,
        wait_seconds=wait,
        energy_joules=0.0 if remote else draw(seconds(5000.0)),
        money=draw(st.floats(0.0, 1.0, width=32)) if remote else 0.0,
        health=draw(shares()),
        spare=draw(st.floats(-0.5, 1.0, width=32)),
        is_loaded=loaded,
        is_remote=remote,
    )


def dominated(candidate: Candidate, key: str) -> Candidate:
    """A candidate in no way better than this one, and worse in quality, waiting, cost, health and room."""
    return replace(
        candidate,
        key=key,
        quality=candidate.quality * 0.9,
        load_seconds=candidate.load_seconds + 1.0,
        prefill_seconds=candidate.prefill_seconds + 0.5,
        tokens_per_second=candidate.tokens_per_second * 0.9,
        wait_seconds=candidate.wait_seconds * 1.1 + 1.5,
        energy_joules=candidate.energy_joules * 1.1 + 1.0,
        money=candidate.money * 1.1,
        health=candidate.health * 0.9,
        spare=candidate.spare - 0.05,
        is_loaded=False,
    )


@st.composite
def requests(draw: DrawFn, *, least: int = 0, most: int = 4) -> SelectionRequest:
    """A turn with ``least`` to ``most`` candidates; the model of the last turn may be gone, or there was none."""
    names = draw(st.lists(keys(), min_size=least, max_size=most, unique=True))
    current = draw(st.sampled_from([None, "gone", *names]))
    return SelectionRequest(
        features=draw(features()),
        candidates=tuple(draw(candidates(key=name)) for name in names),
        current=current,
        calm_seconds=draw(st.sampled_from([0.0, 10.0, 299.0, 301.0, float("inf")])),
    )


@st.composite
def architectures(draw: DrawFn) -> Architecture:
    """Headers of models from tiny to large."""
    layers = draw(st.integers(4, 96))
    embedding = 64 * draw(st.integers(4, 128))
    return Architecture(
        name=draw(st.sampled_from(["llama", "qwen2", "gemma3"])),
        groups=like_layers(
            layers,
            128 * draw(st.integers(1, 64)),
            window=(window := draw(st.sampled_from([0, 0, 512, 1024]))),
            sliding=draw(st.integers(1, layers)) if window else 0,
        ),
        embedding=embedding,
        feed_forward=embedding * draw(st.integers(2, 5)),
        vocabulary=draw(st.integers(1000, 260_000)),
    )


@st.composite
def profiles(draw: DrawFn) -> ModelProfile:
    """Models a backend offers."""
    key = draw(keys())
    size = draw(st.integers(50 * 2**20, 80 * GIB))
    return ModelProfile(
        key=key,
        backend="embedded",
        location=f"/models/{key}.gguf",
        name=key,
        size_bytes=size,
        parameters=float(size * 2),
        max_context=draw(st.sampled_from([2048, 8192, 32768, 131072])),
        architecture=draw(st.none() | architectures()),
        capabilities=draw(st.frozensets(st.sampled_from(Capability))),
        tier=draw(st.sampled_from(Tier)),
        quality={"default": draw(shares()), **draw(st.dictionaries(st.sampled_from(TaskKind), shares(), max_size=3))},
    )


@st.composite
def pools(draw: DrawFn, name: str = "ram", kind: PoolKind = PoolKind.RAM) -> MemoryPool:
    """Memory with no more available than there is."""
    total = draw(st.integers(256 * 2**20, 256 * GIB))
    return MemoryPool(name, kind, total, draw(st.integers(0, total)))


@st.composite
def hosts(draw: DrawFn, name: str = "local") -> Host:
    """Machines, with or without GPU and battery."""
    found = [draw(pools())]
    if draw(st.booleans()):
        found.append(draw(pools("cuda0", PoolKind.DEVICE)))
    swap = draw(st.integers(0, 16 * GIB))
    return Host(
        name=name,
        pools=tuple(found),
        cpu=Cpu(draw(st.integers(1, 64)), draw(shares())),
        pressure=Pressure(draw(shares()), draw(shares()), draw(shares())),
        battery=draw(st.none() | st.builds(Battery, charge=shares(), plugged=st.booleans())),
        swap_total=swap,
        swap_free=draw(st.integers(0, swap)),
    )


def readings() -> SearchStrategy[HostReading]:
    """What a probe may read: any part may be missing."""
    return st.builds(
        HostReading,
        pools=st.tuples() | st.tuples(pools()),
        cpu=st.none() | st.builds(Cpu, cores=st.integers(1, 64), busy=shares()),
        pressure=st.none() | st.builds(Pressure, shares(), shares(), shares()),
    )


def snapshots() -> SearchStrategy[ResourceSnapshot]:
    """The local machine at one moment."""
    return st.builds(
        lambda host, calm: ResourceSnapshot((host,), calm_seconds=calm), hosts(), seconds() | st.just(float("inf"))
    )


def count_words(text: str) -> int:
    """A tokenizer for tests: words."""
    return len(text.split())


@st.composite
def conversations(draw: DrawFn, *, most: int = 12, words: int = 60) -> tuple[Message, ...]:
    """Messages with growing ids, alternating after an optional pinned system message, the last one a person's."""
    length = draw(st.integers(1, most))
    vocabulary = st.sampled_from(["alpha", "beta", "always", "please remember", "def f():", "42", "end.\n"])
    texts = st.lists(vocabulary, min_size=1, max_size=words).map(" ".join)
    found = [Message(role=Role.SYSTEM, content=draw(texts), id=1, pinned=True)] if draw(st.booleans()) else []
    first = len(found) + 1
    pinned_of_ten = draw(st.sampled_from([0, 1, 5]))
    for index in range(length):
        person = (length - index) % 2 == 1
        found.append(
            Message(
                role=Role.USER if person else Role.ASSISTANT,
                content=draw(texts),
                id=first + index,
                pinned=draw(st.integers(1, 10)) <= pinned_of_ten,
            )
        )
    return tuple(found)


@st.composite
def transfer_requests(draw: DrawFn) -> TransferRequest:
    """Conversations and windows, from ample to hopeless."""
    messages = draw(conversations())
    return TransferRequest(
        messages=messages,
        tokens=tuple(count_words(message.content) for message in messages),
        budget=ContextBudget(
            window=draw(st.sampled_from([64, 128, 256, 512, 4096])),
            reserve=draw(st.sampled_from([0, 16, 64])),
            overhead=draw(st.sampled_from([0, 8])),
            per_message=draw(st.sampled_from([0, 4, 8])),
        ),
        count=count_words,
    )
