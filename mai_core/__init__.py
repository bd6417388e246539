"""Mai: a local-first chat assistant and the policy engine behind it.

    from mai_core import Mai

    with Mai() as mai:
        print(mai.process_message("What is the capital of France?").text)

The names below are the public API; everything is imported when it is first used, so importing the package is cheap.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mai_core.plugin.hookspecs import hookimpl

if TYPE_CHECKING:
    from mai_core.errors import BackendError, MaiError, NothingFits, SettingsError, UnknownModel
    from mai_core.paths import Paths
    from mai_core.plugin.events import ModelSwitched, TurnFinished
    from mai_core.plugin.interfaces import Backend, ContextTransfer, ModelFetcher, ResourceProbe, SelectionStrategy
    from mai_core.plugin.registry import PluginRegistry
    from mai_core.policy.context import TransferPlan, TransferRequest
    from mai_core.policy.features import TaskFeatures, TaskKind
    from mai_core.policy.messages import Conversation, Image, Message, Role
    from mai_core.policy.models import LoadPlan, ModelProfile, Tier
    from mai_core.policy.resources import HostReading, ResourceSnapshot
    from mai_core.policy.selection import Candidate, Decision, Proposal, SelectionRequest
    from mai_core.runtime.mai import AsyncMai
    from mai_core.runtime.sync import Mai
    from mai_core.runtime.turn import Reply
    from mai_core.settings import Settings, load_settings

__version__ = "0.1.0"

__all__ = [
    "AsyncMai",
    "Backend",
    "BackendError",
    "Candidate",
    "ContextTransfer",
    "Conversation",
    "Decision",
    "HostReading",
    "Image",
    "LoadPlan",
    "Mai",
    "MaiError",
    "Message",
    "ModelFetcher",
    "ModelProfile",
    "ModelSwitched",
    "NothingFits",
    "Paths",
    "PluginRegistry",
    "Proposal",
    "Reply",
    "ResourceProbe",
    "ResourceSnapshot",
    "Role",
    "SelectionRequest",
    "SelectionStrategy",
    "Settings",
    "SettingsError",
    "TaskFeatures",
    "TaskKind",
    "Tier",
    "TransferPlan",
    "TransferRequest",
    "TurnFinished",
    "UnknownModel",
    "__version__",
    "hookimpl",
    "load_settings",
]

# A library stays silent unless the program that uses it asks for a log.
logging.getLogger("mai").addHandler(logging.NullHandler())

_HOMES = {
    "errors": "BackendError MaiError NothingFits SettingsError UnknownModel",
    "paths": "Paths",
    "plugin.events": "ModelSwitched TurnFinished",
    "plugin.interfaces": "Backend ContextTransfer ModelFetcher ResourceProbe SelectionStrategy",
    "plugin.registry": "PluginRegistry",
    "policy.context": "TransferPlan TransferRequest",
    "policy.features": "TaskFeatures TaskKind",
    "policy.messages": "Conversation Image Message Role",
    "policy.models": "LoadPlan ModelProfile Tier",
    "policy.resources": "HostReading ResourceSnapshot",
    "policy.selection": "Candidate Decision Proposal SelectionRequest",
    "runtime.mai": "AsyncMai",
    "runtime.sync": "Mai",
    "runtime.turn": "Reply",
    "settings": "Settings load_settings",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
