"""Hypothesis strategies for everything policy decides about: machines, models, turns, candidates, conversations.

Values are coherent, so that laws are tested on worlds that can exist: what is loaded loads in no time, waiting is the
sum of its parts, nobody has more memory free than there is.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

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
    "cheaper",
    "conversations",
    "count_words",
    "dominated",
    "features",
    "hosts",
    "kept_in_memory",
    "keys",
    "plans",
    "profiles",
    "quicker",
    "readings",
    "requests",
    "shares",
    "snapshots",
    "transfer_requests",
]

GIB = 2**30
_DURATIONS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 45.0, 60.0, 120.0, 300.0, 600.0, 2000.0, 5000.0)
PRICE_JOULE = 0.30 / 3.6e6
PRICE_SECOND = 1.0 / 3600.0
"""What electricity and waiting cost by the default settings."""


@cache
def keys() -> SearchStrategy[str]:
    """Keys of models, as short as can be told apart."""
    return st.text("abcxyz0123-", min_size=1, max_size=4)


@cache
def shares(least: float = 0.0) -> SearchStrategy[float]:
    """Numbers to 1, both ends included, in steps of a twentieth: quickly drawn and easily read."""
    return st.sampled_from([n / 20 for n in sorted(range(round(20 * least), 21), key=abs)])


@cache
def seconds(most: float = 600.0) -> SearchStrategy[float]:
    """Durations, from nothing, on a scale of about doublings."""
    return st.sampled_from([n for n in _DURATIONS if n <= most])


@cache
def plans() -> SearchStrategy[LoadPlan]:
    """Ways to load a model."""
    return st.builds(
        LoadPlan,
        context=st.sampled_from([512, 1024, 2048, 4096, 8192, 32768]),
        kv_type=st.sampled_from(KvType),
        threads=st.integers(0, 8),
    )


@cache
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


# Strategies are made once: Hypothesis examines each anew, which takes longer than drawing from it.
_ONE_IN_SIX = st.integers(0, 5)
_LOADING = st.sampled_from([1.0, 0.1, 0.4, 2.0, 4.0, 10.0, 30.0, 120.0])
_WRITING = st.sampled_from([10.0, 0.5, 1.0, 2.0, 5.0, 20.0, 40.0, 80.0, 160.0, 500.0])
_REPLY = st.integers(1, 1024)
_WATTS = st.sampled_from([0.0, 5.0, 20.0, 65.0, 200.0, 450.0])
_PRICE = st.sampled_from([0.0, 0.0001, 0.001, 0.003, 0.01, 0.1, 1.0])
_SPARE = shares(-0.5)
_BACKENDS = st.sampled_from(["embedded", "other"])
_TIERS = st.sampled_from(Tier)
_RUNGS = st.sampled_from(Rung)
_CALM = st.sampled_from([0.0, 10.0, 299.0, 301.0, float("inf")])


# One draw for what strategies seldom look at: a draw is what generating takes time for.
_PLANS = st.sampled_from([LoadPlan(context=n) for n in (4096, 512, 1024, 2048, 8192, 32768)])
_TAKEN = st.sampled_from([(1, 0), (0, 0), (0, 2), (1, 4), (2, 40), (1, 0, 6), (1, 4, 20), (1, 4, 20, 20)]).map(
    lambda sizes: Footprint(
        sizes[0] * GIB, sizes[1] * GIB, {f"cuda{n}": size * GIB for n, size in enumerate(sizes[2:])}
    )
)


@st.composite
def candidates(draw: DrawFn, key: str = "") -> Candidate:
    """A model that can run, with coherent times and costs; of that key when one is given. Some are all one can wish."""
    sort = draw(_ONE_IN_SIX)
    ideal = sort == 5
    loaded = ideal or draw(st.booleans())
    remote = not loaded and sort == 4
    load = 0.0 if loaded or remote else draw(_LOADING)
    prefill = draw(seconds(60.0))
    speed = draw(_WRITING)
    wait = load + prefill + draw(_REPLY) / speed
    energy = 0.0 if remote else draw(_WATTS) * wait
    money = draw(_PRICE) if remote else energy * PRICE_JOULE
    return Candidate(
        key=key or draw(keys()),
        backend=draw(_BACKENDS),
        tier=draw(_TIERS),
        plan=draw(_PLANS),
        footprint=Footprint() if remote else draw(_TAKEN),
        rung=draw(_RUNGS),
        quality=1.0 if ideal else draw(shares()),
        load_seconds=load,
        prefill_seconds=prefill,
        tokens_per_second=speed,
        wait_seconds=wait,
        energy_joules=energy,
        money=money,
        cost=money + wait * PRICE_SECOND,
        health=1.0 if ideal else draw(shares()),
        spare=1.0 if ideal else draw(_SPARE),
        is_loaded=loaded,
        is_remote=remote,
    )


def dominated(candidate: Candidate, key: str) -> Candidate:
    """A candidate in no way better than this one, and worse in quality, waiting, cost, health and room.

    It takes longer to load, where it has to be, and longer once it is loaded, at the same watts.
    """
    loading = 0.0 if candidate.is_remote else 1.0
    wait = candidate.wait_seconds * 1.1 + loading + 0.5
    energy = candidate.energy_joules * wait / candidate.wait_seconds
    money = candidate.money * 1.1 + (energy - candidate.energy_joules) * PRICE_JOULE
    return replace(
        candidate,
        key=key,
        quality=candidate.quality * 0.9,
        load_seconds=candidate.load_seconds + loading,
        prefill_seconds=candidate.prefill_seconds + 0.5,
        tokens_per_second=candidate.tokens_per_second * 0.9,
        wait_seconds=wait,
        energy_joules=energy,
        money=money,
        cost=money + wait * PRICE_SECOND,
        health=candidate.health * 0.9,
        spare=candidate.spare - 0.05,
        is_loaded=False,
    )


def cheaper(candidate: Candidate, factor: float) -> Candidate:
    """The same model with its energy and money times ``factor``."""
    money = candidate.money * factor
    return replace(
        candidate,
        energy_joules=candidate.energy_joules * factor,
        money=money,
        cost=max(0.0, candidate.cost - candidate.money + money),
    )


def quicker(candidate: Candidate, factor: float) -> Candidate:
    """The same model with everything it does taking ``factor`` of the time, above 0."""
    return _waiting(
        replace(
            candidate,
            load_seconds=candidate.load_seconds * factor,
            prefill_seconds=candidate.prefill_seconds * factor,
            tokens_per_second=candidate.tokens_per_second / factor,
        ),
        candidate.wait_seconds * factor,
    )


def kept_in_memory(candidate: Candidate) -> Candidate:
    """The same model, loaded by now, which saves the time and the energy of the load."""
    rest = max(0.0, candidate.wait_seconds - candidate.load_seconds)
    saves = cheaper(candidate, rest / candidate.wait_seconds)
    return _waiting(replace(saves, load_seconds=0.0, is_loaded=True), rest)


def _waiting(candidate: Candidate, wait: float) -> Candidate:
    """The candidate with that many seconds of waiting, and what is saved by it."""
    cost = max(0.0, candidate.cost - (candidate.wait_seconds - wait) * PRICE_SECOND)
    return replace(candidate, wait_seconds=wait, cost=cost)


@st.composite
def requests(draw: DrawFn, *, least: int = 0, most: int = 4) -> SelectionRequest:
    """A turn with ``least`` to ``most`` candidates; the model of the last turn may be gone, or there was none."""
    names = draw(_names(least, most))
    current = draw(st.sampled_from([None, "gone", *names]))
    return SelectionRequest(
        features=draw(features()),
        candidates=tuple([replace(draw(_ANYBODY), key=name) for name in names]),
        current=current,
        calm_seconds=draw(_CALM),
    )


@cache
def _names(least: int, most: int) -> SearchStrategy[list[str]]:
    return st.lists(keys(), min_size=least, max_size=most, unique=True)


_ANYBODY = candidates(key="anybody")


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
