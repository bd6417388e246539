"""The hooks and nothing else.

A plugin is a module or object registered under the entry-point group ``mai``, with functions of these names marked
by ``mai_core.hookimpl``. Registration hooks take no argument and return classes: settings construct the instances,
so two backends of one type can exist under two names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import typer

    from mai_core.plugin.events import ModelSwitched, TurnFinished
    from mai_core.plugin.interfaces import Backend, ContextTransfer, ResourceProbe, SelectionStrategy

__all__ = ["PROJECT", "hookimpl", "hookspec"]

PROJECT = "mai"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def mai_register_backends() -> Sequence[type[Backend]]:
    """Called once at start: the classes of backend this plugin adds.

    Their ``kind`` is the ``type`` a section under ``backends`` in the settings names.
    """
    return ()


@hookspec
def mai_register_probes() -> Sequence[type[ResourceProbe]]:
    """Called once at start: the classes of resource probe this plugin adds. Each is sampled every few seconds."""
    return ()


@hookspec
def mai_register_strategies() -> Sequence[type[SelectionStrategy]]:
    """Called once at start: the classes of selection strategy this plugin adds.

    ``strategies`` in the settings says which of them vote, in which order and with which options.
    """
    return ()


@hookspec
def mai_register_transfers() -> Sequence[type[ContextTransfer]]:
    """Called once at start: the classes of context transfer this plugin adds.

    ``context.transfer`` in the settings names the one in use.
    """
    return ()


@hookspec
def mai_register_commands(app: typer.Typer) -> None:
    """Called when the command line starts: add commands to ``app``. Import heavy modules inside the commands."""


@hookspec
def mai_model_switched(event: ModelSwitched) -> None:
    """Called after the model in use changed. Must return quickly; what it raises is reported and ignored."""


@hookspec
def mai_turn_finished(turn: TurnFinished) -> None:
    """Called after a turn was stored. Must return quickly; what it raises is reported and ignored."""
