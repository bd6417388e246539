"""Finds plugins, fences them off from each other, and knows who registered what.

The only place that touches entry points and pluggy's manager. Implementations are called one by one rather than
through pluggy's own call, where one that raises loses the results of all others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import pluggy
from pluggy import HookImpl

from mai_core.errors import PluginError
from mai_core.plugin import hookspecs
from mai_core.plugin.construct import construct, construct_in_context
from mai_core.plugin.faults import FaultBook, PluginFault, PluginInfo, PluginStatus
from mai_core.plugin.observers import Observer, Observers
from mai_core.plugin.shape import KINDS, misfit

if TYPE_CHECKING:
    import typer

    from mai_core.plugin.events import ModelSwitched, TurnFinished
    from mai_core.plugin.interfaces import (
        Backend,
        BackendContext,
        ContextTransfer,
        ProbeContext,
        ResourceProbe,
        SelectionStrategy,
    )

__all__ = ["GROUP", "PluginRegistry"]

GROUP = "mai"
log = logging.getLogger("mai.plugins")

_SPECS = tuple(name for name in vars(hookspecs) if name.startswith("mai_"))
_REGISTRATION = {kind.hook: kind for kind in KINDS.values()}


@dataclass(slots=True)
class _Plugin:
    """What is known of a plugin while the registry lives."""

    name: str
    distribution: str = ""
    version: str = ""
    module: str = ""
    status: PluginStatus = PluginStatus.OK
    hooks: tuple[str, ...] = ()


@dataclass(slots=True)
class _Offer:
    """The classes of one kind by what settings call them, and whose they are."""

    classes: dict[str, type[Any]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)


class PluginRegistry:
    """The plugins of one process. Built by ``discover`` or, from objects, by ``of``.

    Nothing a plugin does is raised from here, except by ``strategy``, ``transfer``, ``backend`` and ``probe``, which
    construct one that was asked for by name. What went wrong is in ``faults``. ``trace`` gets one line for every
    import and call of a plugin; ``clock`` is in seconds.
    """

    def __init__(
        self,
        *,
        blocked: Sequence[str] = (),
        trace: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._blocked = frozenset(blocked)
        self._trace = trace or (lambda line: None)
        self._clock = clock
        self._book = FaultBook(self._heard)
        self._plugins: dict[str, _Plugin] = {}
        self._offers: dict[str, _Offer] = {}
        self._observers: dict[str, Observers] = {}

    @classmethod
    def discover(cls, *, blocked: Sequence[str] = (), trace: Callable[[str], None] | None = None) -> PluginRegistry:
        """Every plugin installed here, in order of distribution and entry point, so that two runs agree.

        A ``blocked`` one, by the name of its entry point, is not even imported.
        """
        registry = cls(blocked=blocked, trace=trace)
        found = sorted(entry_points(group=GROUP), key=lambda e: (_distribution(e)[0].lower(), e.name))
        for entry in found:
            registry._load(entry)
        return registry

    @classmethod
    def of(
        cls,
        *plugins: object,
        names: Sequence[str] = (),
        blocked: Sequence[str] = (),
        trace: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> PluginRegistry:
        """Only these plugins, modules or other objects: for tests and for programs that embed Mai.

        ``names`` go with ``plugins`` in order; the others are called as their module or type is.
        """
        registry = cls(blocked=blocked, trace=trace, clock=clock)
        for index, plugin in enumerate(plugins):
            name = names[index] if index < len(names) else getattr(plugin, "__name__", type(plugin).__name__)
            record = registry._enrol(_Plugin(name=name, module=getattr(plugin, "__name__", type(plugin).__module__)))
            if record.status is PluginStatus.OK:
                registry._register(plugin, record)
        return registry

    def backends(self) -> Mapping[str, type[Backend]]:
        """Classes of backend by ``kind``."""
        return self._classes("backends")

    def probes(self) -> Mapping[str, type[ResourceProbe]]:
        """Classes of resource probe by ``kind``."""
        return self._classes("probes")

    def strategies(self) -> Mapping[str, type[SelectionStrategy]]:
        """Classes of selection strategy by ``name``."""
        return self._classes("strategies")

    def transfers(self) -> Mapping[str, type[ContextTransfer]]:
        """Classes of context transfer by ``name``."""
        return self._classes("transfers")

    def strategy(self, name: str, options: Mapping[str, Any] | None = None) -> SelectionStrategy:
        """Construct a strategy with its options. Raises ``PluginError``, or what the strategy says of its options."""
        cls, owner = self._wanted("strategies", name)
        return cast("SelectionStrategy", construct(cls, options or {}, kind="strategy", name=name, plugin=owner))

    def transfer(self, name: str, options: Mapping[str, Any] | None = None) -> ContextTransfer:
        """Construct a context transfer with its options. Raises ``PluginError``, or what it says of its options."""
        cls, owner = self._wanted("transfers", name)
        return cast("ContextTransfer", construct(cls, options or {}, kind="transfer", name=name, plugin=owner))

    def backend(self, kind: str, context: BackendContext) -> Backend:
        """Construct a backend. Raises ``PluginError``, or what the backend says of its options."""
        cls, owner = self._wanted("backends", kind)
        return cast("Backend", construct_in_context(cls, context, kind="backend", name=kind, plugin=owner))

    def probe(self, kind: str, context: ProbeContext) -> ResourceProbe:
        """Construct a probe. Raises ``PluginError``, or what the probe says of its options."""
        cls, owner = self._wanted("probes", kind)
        return cast("ResourceProbe", construct_in_context(cls, context, kind="probe", name=kind, plugin=owner))

    def owner(self, cls: type[Any]) -> str:
        """The plugin that registered this class; empty when none did."""
        for offer in self._offers.values():
            for name, known in offer.classes.items():
                if known is cls:
                    return offer.owners[name]
        return ""

    def add_commands(self, app: typer.Typer) -> None:
        """Let every plugin add its commands to the command line."""
        for impl in self._impls("mai_register_commands"):
            with self._book.isolated(impl.plugin_name, "mai_register_commands"):
                self._call(impl, "mai_register_commands", app)

    def model_switched(self, event: ModelSwitched) -> None:
        """Tell the plugins that the model in use changed."""
        self._tell("mai_model_switched", event)

    def turn_finished(self, turn: TurnFinished) -> None:
        """Tell the plugins that a turn was stored."""
        self._tell("mai_turn_finished", turn)

    def report(self, plugin: str, stage: str, error: str, *, cause: BaseException | None = None) -> None:
        """Note what a plugin did wrong where the registry could not see it, such as during a turn."""
        self._book.report(plugin, stage, error, cause=cause)

    @property
    def faults(self) -> tuple[PluginFault, ...]:
        """Everything plugins did wrong so far, oldest first."""
        return self._book.faults

    def describe(self) -> tuple[PluginInfo, ...]:
        """Every plugin with what it registers and what went wrong, in order of discovery."""
        for plural in KINDS:
            self._classes(plural)
        return tuple(self._info(plugin) for plugin in self._plugins.values())

    def _load(self, entry: EntryPoint) -> None:
        distribution, version = _distribution(entry)
        record = self._enrol(_Plugin(name=entry.name, distribution=distribution, version=version, module=entry.value))
        if record.status is not PluginStatus.OK:
            return
        self._trace(f"{record.name}: import {entry.value}")
        record.status = PluginStatus.FAILED
        with self._book.isolated(record.name, "import"):
            plugin = entry.load()
            record.status = PluginStatus.OK
        if record.status is PluginStatus.OK:
            self._register(plugin, record)

    def _enrol(self, record: _Plugin) -> _Plugin:
        """Give a plugin its place; one whose name is taken goes by a longer name and takes no part."""
        if first := self._plugins.get(record.name):
            where = first.distribution or first.module
            taken, record.name = record.name, f"{record.name} ({record.distribution or record.module})"
            while record.name in self._plugins:
                record.name += "'"
            record.status = PluginStatus.FAILED
            self._book.report(record.name, "register", f"the name {taken} is already taken by the plugin of {where}")
        elif record.name in self._blocked:
            record.status = PluginStatus.BLOCKED
            self._trace(f"{record.name}: blocked")
        self._plugins[record.name] = record
        return record

    def _register(self, plugin: object, record: _Plugin) -> None:
        record.status = PluginStatus.FAILED
        with self._book.isolated(record.name, "register"):
            self._manager.register(plugin, record.name)
            record.hooks = self._hooks_of(plugin, record.name)
        if record.hooks:
            record.status = PluginStatus.OK
        elif self._manager.get_plugin(record.name) is not None:
            self._manager.unregister(name=record.name)
        self._trace(f"{record.name}: implements {', '.join(record.hooks) or 'no hook'}")

    def _hooks_of(self, plugin: object, name: str) -> tuple[str, ...]:
        """The hooks a plugin implements, telling of every one that was meant to be one and is not."""
        known, unknown = [], []
        for caller in self._manager.get_hookcallers(plugin) or ():
            impl = next(i for i in caller.get_hookimpls() if i.plugin is plugin)
            if not caller.has_spec():
                if not impl.optionalhook:
                    unknown.append(caller.name)
            elif impl.wrapper or impl.hookwrapper:
                self._book.report(name, "register", f"{caller.name} is a wrapper: Mai's hooks cannot be wrapped")
            else:
                known.append(caller.name)
        for wrong in unknown:
            near = get_close_matches(wrong, _SPECS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_SPECS)}"
            self._book.report(name, "register", f"there is no hook {wrong}; {hint}")
        unmarked = [s for s in _SPECS if s not in known and callable(getattr(plugin, s, None))]
        for spec in unmarked:
            self._book.report(name, "register", f"{spec} is never called: it is not marked with mai_core.hookimpl")
        if not (known or unknown or unmarked):
            self._book.report(name, "register", "has no hooks: nothing in it is marked with mai_core.hookimpl")
        return tuple(known)

    def _impls(self, hook: str) -> list[HookImpl]:
        """Implementations of a hook: ``tryfirst`` ones, then as plugins were found, then ``trylast`` ones."""
        impls = [i for i in getattr(self._manager.hook, hook).get_hookimpls() if not (i.wrapper or i.hookwrapper)]
        return sorted(impls, key=lambda impl: impl.trylast - impl.tryfirst)

    def _call(self, impl: HookImpl, hook: str, *arguments: object) -> object:
        started = self._clock()
        try:
            return impl.function(*arguments[: len(impl.argnames)])
        finally:
            milliseconds = (self._clock() - started) * 1000
            self._trace(f"{impl.plugin_name}: {hook} took {milliseconds:.1f} ms")

    def _classes(self, plural: str) -> Mapping[str, type[Any]]:
        if plural not in self._offers:
            self._offers[plural] = self._collect(plural)
        return MappingProxyType(self._offers[plural].classes)

    def _collect(self, plural: str) -> _Offer:
        kind, offer = KINDS[plural], _Offer()
        for impl in self._impls(kind.hook):
            plugin = impl.plugin_name
            offered: tuple[object, ...] = ()
            with self._book.isolated(plugin, kind.hook):
                offered = _as_tuple(self._call(impl, kind.hook), kind.noun)
            for cls in offered:
                problem = "has members that cannot be read"
                with self._book.isolated(plugin, kind.hook):
                    problem = misfit(cls, kind, plugin)
                if problem:
                    self._book.report(plugin, kind.hook, problem)
                    continue
                accepted = cast("type[Any]", cls)
                label = getattr(accepted, kind.label)
                if label in offer.classes:
                    by = offer.owners[label]
                    error = f"{kind.noun} {label} is already registered by plugin {by}; that one stays"
                    self._book.report(plugin, kind.hook, error)
                    continue
                offer.classes[label] = accepted
                offer.owners[label] = plugin
        return offer

    def _wanted(self, plural: str, name: str) -> tuple[type[Any], str]:
        classes = self._classes(plural)
        if name in classes:
            return classes[name], self._offers[plural].owners[name]
        near = get_close_matches(name, classes, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(classes)) or 'none'}"
        absent = [f"{p.name} ({p.status})" for p in self._plugins.values() if p.status is not PluginStatus.OK]
        if absent:
            remedy += f" Plugins left out: {', '.join(absent)}; see `mai plugins`"
        raise PluginError(f"there is no {KINDS[plural].noun} {name}", remedy=remedy)

    def _tell(self, hook: str, value: object) -> None:
        if hook not in self._observers:
            observers = [
                Observer(impl.plugin_name, hook, lambda value, impl=impl: self._call(impl, hook, value))
                for impl in self._impls(hook)
            ]
            self._observers[hook] = Observers(observers, self._book, self._clock)
        self._observers[hook].tell(value)

    def _info(self, plugin: _Plugin) -> PluginInfo:
        registers = {
            plural: tuple(label for label, owner in offer.owners.items() if owner == plugin.name)
            for plural, offer in self._offers.items()
        }
        registers["hooks"] = tuple(hook for hook in plugin.hooks if hook not in _REGISTRATION)
        return PluginInfo(
            name=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            module=plugin.module,
            status=plugin.status,
            registers={kind: names for kind, names in registers.items() if names},
            faults=tuple(fault for fault in self.faults if fault.plugin == plugin.name),
        )

    def _heard(self, fault: PluginFault) -> None:
        self._trace(f"{fault.plugin}: {fault.stage}: {fault.error}")
        log.warning("plugin fault", extra={"plugin": fault.plugin, "stage": fault.stage, "error": fault.error})


def _distribution(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist is not None else ("", "")


def _as_tuple(returned: object, noun: str) -> tuple[object, ...]:
    """What a registration hook returned, when it is a sequence."""
    if isinstance(returned, Sequence | Iterable) and not isinstance(returned, str | bytes | type):
        return tuple(returned)
    raise TypeError(f"returned {type(returned).__name__}, wanted a sequence of {noun} classes")
