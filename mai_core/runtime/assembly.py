"""From settings and plugins to the parts of a running Mai. What cannot be built is named and left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from mai_core.errors import MaiError
from mai_core.paths import Paths
from mai_core.plugin.interfaces import (
    Backend,
    BackendContext,
    ContextTransfer,
    ProbeContext,
    ResourceProbe,
    SelectionStrategy,
)
from mai_core.plugin.isolation import StrategyRunner
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.feasibility import Limits
from mai_core.policy.models import KnownModel
from mai_core.policy.stability import StabilityRules
from mai_core.runtime.status import BackendStatus
from mai_core.settings.model import Settings

__all__ = ["Parts", "assemble", "build_backends", "limits_of", "refusals", "rules_of"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything the settings ask for that could be built, and the backends that could not."""

    backends: dict[str, Backend]
    probes: tuple[ResourceProbe, ...]
    strategies: StrategyRunner
    transfer: ContextTransfer
    unavailable: tuple[BackendStatus, ...] = field(default=())


def assemble(settings: Settings, registry: PluginRegistry, paths: Paths, known: Sequence[KnownModel]) -> Parts:
    """Build backends, probes, strategies and the context transfer.

    Raises ``PluginError`` for a wrong option of a strategy, and for the context transfer: without it nothing can be
    answered.
    """
    backends, unavailable = build_backends(settings, registry, paths, known)
    probes = [
        _built(registry, name, partial(registry.probe, section.type, ProbeContext(name=name, options=section.options)))
        for name, section in settings.probes.items()
        if section.enabled
    ]
    chosen = settings.selection
    # A wrong option is the person's to mend: it is an error. A strategy that is broken by itself is left out.
    strategies = [
        registry.strategy(name, options)
        if (options := chosen.options.get(name)) and name in registry.strategies()
        else _built(registry, name, partial(registry.strategy, name))
        for name in chosen.strategies
    ]

    weights = chosen.weights if chosen.arbiter == "weighted" else {}

    def blame(strategy: SelectionStrategy, fault: str) -> None:
        registry.report(registry.owner(type(strategy)) or strategy.name, f"strategy {strategy.name}", fault)

    return Parts(
        backends=backends,
        probes=tuple(p for p in probes if p is not None),
        strategies=StrategyRunner(
            [(s, weights.get(s.name, 1.0)) for s in strategies if s is not None],
            chosen.budget_ms / 1000.0,
            report=blame,
        ),
        transfer=registry.transfer(settings.context.transfer, settings.context.options.get(settings.context.transfer)),
        unavailable=tuple(unavailable),
    )


def build_backends(
    settings: Settings, registry: PluginRegistry, paths: Paths, known: Sequence[KnownModel]
) -> tuple[dict[str, Backend], list[BackendStatus]]:
    """The backends the settings turn on, and those that refuse their options or are not there. Nothing is started."""
    backends: dict[str, Backend] = {}
    unavailable: list[BackendStatus] = []
    for name, section in settings.backends.items():
        if not section.enabled:
            continue
        context = BackendContext(
            name=name,
            options=section.options,
            data_dir=paths.data,
            cache_dir=paths.cache,
            state_dir=paths.state,
            known=tuple(known),
        )
        try:
            backends[name] = registry.backend(section.type, context)
        except MaiError as error:
            registry.report(name, "backend", str(error), cause=error)
            unavailable.append(
                BackendStatus(
                    name=name, kind=section.type, host="local", remote=False, error=error.message, remedy=error.remedy
                )
            )
    return backends, unavailable


def refusals(settings: Settings, registry: PluginRegistry) -> tuple[MaiError, ...]:
    """What strategies, probes and transfers, those named and those given options, say against these settings."""
    selection, context = settings.selection, settings.context
    trials: list[Callable[[], object]] = [
        *(partial(registry.strategy, name, selection.options.get(name)) for name in selection.strategies),
        *(
            partial(registry.strategy, *given)
            for given in selection.options.items()
            if given[0] in registry.strategies()
        ),
        *(partial(registry.strategy, name) for name in selection.weights),
        partial(registry.transfer, context.transfer, context.options.get(context.transfer)),
        *(
            partial(registry.probe, section.type, ProbeContext(name=name, options=section.options))
            for name, section in settings.probes.items()
        ),
    ]
    found: list[MaiError] = []
    for trial in trials:
        try:
            trial()
        except MaiError as error:
            found.append(error)
    return tuple(found)


def _built(registry: PluginRegistry, name: str, build: Callable[[], T]) -> T | None:
    try:
        return build()
    except MaiError as error:
        registry.report(name, "settings", str(error), cause=error)
        return None


def limits_of(settings: Settings) -> Limits:
    """The settings as feasibility reads them."""
    memory, context = settings.memory, settings.context
    return Limits(
        headroom=memory.headroom,
        headroom_min=memory.headroom_min,
        headroom_max=memory.headroom_max,
        window=context.window,
        minimum=context.minimum,
        reserve=context.reserve,
        local_only=settings.privacy == "local-only",
        watts=settings.cost.watts_busy,
        price_kwh=settings.cost.price_kwh,
        price_hour=settings.cost.price_hour,
        up_after_seconds=settings.stability.up_after_seconds,
        spare=settings.stability.spare,
    )


def rules_of(settings: Settings) -> StabilityRules:
    """The settings as stability reads them."""
    return StabilityRules(**settings.stability.model_dump())
