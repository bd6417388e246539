"""Strategies that nobody has registered yet, named by where they stand: ``my_module:MyStrategy``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from mai_core.errors import PluginError
from mai_core.plugin.construct import construct
from mai_core.plugin.shape import KINDS, misfit

if TYPE_CHECKING:
    from mai_core.plugin.interfaces import SelectionStrategy

__all__ = ["is_dotted", "strategy_at"]


def is_dotted(name: str) -> bool:
    """Whether a name says where a class stands rather than what it is registered as."""
    module, colon, cls = name.partition(":")
    return bool(colon) and cls.isidentifier() and all(part.isidentifier() for part in module.split("."))


def strategy_at(name: str, options: Mapping[str, Any] | None = None) -> SelectionStrategy:
    """Import the class and construct it. Raises ``PluginError``, whatever its module does."""
    module, _, label = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), label, None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the fence around third-party code
        raise PluginError(f"{module} cannot be imported: {type(error).__name__}: {error}") from error
    if found is None:
        raise PluginError(f"there is no {label} in {module}")
    if problem := misfit(found, KINDS["strategies"], module):
        raise PluginError(problem)
    return cast("SelectionStrategy", construct(found, options or {}, kind="strategy", name=name))
