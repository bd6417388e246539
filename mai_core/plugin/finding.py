"""A strategy by what a person calls it: the name it is registered under, or ``module:Class`` while it is written."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from mai_core.errors import PluginError
from mai_core.plugin.construct import construct
from mai_core.plugin.faults import one_line
from mai_core.plugin.registry import PluginRegistry

if TYPE_CHECKING:
    from mai_core.plugin.interfaces import SelectionStrategy

__all__ = ["find_strategy"]


def find_strategy(registry: PluginRegistry, name: str, options: Mapping[str, Any]) -> SelectionStrategy:
    """The strategy of that name with its options; a module is looked for in the working directory, too.

    Raises ``PluginError`` where there is none, or what the strategy says of its options.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        return registry.strategy(name, options)
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        cls = getattr(import_module(module), attribute)
    except AttributeError:
        raise PluginError(f"{module} has no {attribute}", remedy="check the spelling of MODULE:CLASS") from None
    except Exception as error:
        raise PluginError(
            f"{module} cannot be imported: {one_line(error)}", remedy="check the spelling of MODULE:CLASS"
        ) from error
    return cast("SelectionStrategy", construct(cls, options, kind="strategy", name=name, plugin=module))
