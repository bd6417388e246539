"""Every error Mai raises on purpose.

    MaiError                      one line for a person, and a remedy
    ├── SettingsError             a settings file, variable or flag is wrong
    ├── PluginError               a plugin that was asked for is missing or broken
    ├── UnknownModel              no model has that key
    ├── NothingFits               no model can run on this machine now
    ├── BudgetExceeded            what is left of the budget does not pay for a reply
    ├── StoreError                conversations cannot be read or written
    ├── FetchError                a model could not be brought to this disk
    │   ├── Offline               the source cannot be reached
    │   ├── ChecksumMismatch      the bytes are not the published ones
    │   └── DiskFull              there is no room for it
    └── BackendError              an engine did not do what it was asked
        ├── BackendUnavailable    the engine cannot be reached or started
        │   ├── EngineAbsent      it is not installed or not running, and nobody said it should be
        │   └── AccessDenied      it wants another key or token
        ├── UnloadFailed          the engine keeps in memory what it was told to free
        ├── ModelLoadError        this model cannot be loaded this way
        │   ├── ModelFileError    the weights are missing, truncated or corrupted
        │   └── OutOfMemory       the model and its context need more memory than there is
        └── GenerationError       a loaded model failed to answer
            ├── ModelCrashed      the engine died
            ├── ModelStalled      a deadline passed without a token
            ├── ContextExceeded   the prompt is longer than the loaded window
            └── ModelStruggles    it answers, but so that another should go on

The class of a failure is decided once, where it happens, and decides what comes next: see
``mai_core.policy.fallback``. The command line prints ``MaiError`` as one line; anything else is a defect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mai_core.policy.struggle import Struggle

__all__ = [
    "AccessDenied",
    "BackendError",
    "BackendUnavailable",
    "BudgetExceeded",
    "ChecksumMismatch",
    "ContextExceeded",
    "DiskFull",
    "EngineAbsent",
    "FetchError",
    "GenerationError",
    "MaiError",
    "ModelCrashed",
    "ModelFileError",
    "ModelLoadError",
    "ModelStalled",
    "ModelStruggles",
    "NothingFits",
    "Offline",
    "OutOfMemory",
    "PluginError",
    "SettingsError",
    "StoreError",
    "UnknownModel",
    "UnloadFailed",
]


class MaiError(Exception):
    """What went wrong, in one line, and what the person can do about it.

    ``detail`` holds what only a log wants to know, such as the end of an engine's standard error.
    """

    def __init__(self, message: str, *, remedy: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class SettingsError(MaiError):
    """A settings file, environment variable or flag does not say anything Mai understands."""


class PluginError(MaiError):
    """A plugin that was asked for by name is missing, blocked or broken."""


class UnknownModel(MaiError):
    """No backend has a model of that key."""


class NothingFits(MaiError):
    """Every model was rejected; the message holds the nearest miss and its remedy."""


class BudgetExceeded(MaiError):
    """A model whose tokens are paid for was not asked: what is left today or this month may not suffice."""


class StoreError(MaiError):
    """The database of conversations cannot be opened, read or written."""


class FetchError(MaiError):
    """A model could not be brought to this disk."""


class Offline(FetchError):
    """The source of a model cannot be reached from here."""


class ChecksumMismatch(FetchError):
    """What arrived is not what was published."""


class DiskFull(FetchError):
    """The disk has less room than the model needs."""


class BackendError(MaiError):
    """An engine did not do what it was asked."""


class BackendUnavailable(BackendError):
    """The engine is not installed, not running, or not answering at all."""


class EngineAbsent(BackendUnavailable):
    """An engine that is only looked for, not configured, is not installed or not running: no fault, nothing to do."""


class AccessDenied(BackendUnavailable):
    """The engine refuses the key or token it was shown, or wants one; only the person can help."""


class UnloadFailed(BackendError):
    """The engine was told to free a model and still holds its memory when its time is over."""


class ModelLoadError(BackendError):
    """This model cannot be loaded with this plan; trying the same again is pointless."""


class ModelFileError(ModelLoadError):
    """The weights on disk are missing, truncated or not what they claim to be."""


class OutOfMemory(ModelLoadError):
    """Loading or running the model needs more memory than the machine gives."""


class GenerationError(BackendError):
    """A loaded model failed while answering."""


class ModelCrashed(GenerationError):
    """The process that held the model is gone."""


class ModelStalled(GenerationError):
    """No token arrived within the deadline."""


class ContextExceeded(GenerationError):
    """The prompt does not fit the window the model was loaded with."""


class ModelStruggles(GenerationError):
    """The model answers, but so that another should go on; ``struggle`` says how."""

    def __init__(self, message: str, struggle: Struggle, *, remedy: str = "", detail: str = "") -> None:
        super().__init__(message, remedy=remedy, detail=detail)
        self.struggle = struggle
