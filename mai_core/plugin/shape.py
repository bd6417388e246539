"""Whether a class has the members of its kind: told precisely at start, not by an AttributeError during a turn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["KINDS", "Kind", "misfit"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of plugin class: the hook that registers it and what the Protocol behind it asks for.

    ``label`` is the class attribute it goes by: what settings call it.
    """

    noun: str
    plural: str
    hook: str
    label: str
    interface: str

    @property
    def protocol(self) -> type[Any]:
        """Imported when a class is judged: `mai --help` finds plugins and judges none."""
        from mai_core.plugin import interfaces

        protocol: type[Any] = getattr(interfaces, self.interface)
        return protocol

    @property
    def methods(self) -> Mapping[str, Callable[..., Any]]:
        """The Protocol's public methods; its constructor too where the core calls it with a context."""
        wanted = {"__init__"} if self.label == "kind" else set()
        return {
            name: member
            for name, member in vars(self.protocol).items()
            if inspect.isfunction(member) and (name in wanted or not name.startswith("_"))
        }


KINDS: Mapping[str, Kind] = {
    kind.plural: kind
    for kind in (
        Kind("backend", "backends", "mai_register_backends", "kind", "Backend"),
        Kind("probe", "probes", "mai_register_probes", "kind", "ResourceProbe"),
        Kind("strategy", "strategies", "mai_register_strategies", "name", "SelectionStrategy"),
        Kind("transfer", "transfers", "mai_register_transfers", "name", "ContextTransfer"),
    )
}


def misfit(cls: object, kind: Kind, plugin: str) -> str:
    """What keeps ``cls`` from being a class of that kind, in one line; empty when nothing does."""
    if not isinstance(cls, type):
        return f"{kind.noun} of plugin {plugin} is not a class but {_describe(cls)}: return the class itself"
    who = f"{kind.noun} {cls.__name__} of plugin {plugin}"
    label = inspect.getattr_static(cls, kind.label, None)
    if not isinstance(label, str) or not label.strip():
        found = "none" if label is None else _describe(label)
        return f"{who} has no class attribute {kind.label} that is a non-empty text (found {found})"
    for name, wanted in kind.methods.items():
        member = getattr(cls, name, None)
        if member is None or (name == "__init__" and member is object.__init__):
            return f"{who} has no method {name}" if name != "__init__" else f"{who} is not constructed with a context"
        if not callable(member):
            return f"{who} has no method {name}: it is {_describe(member)}"
        if complaint := _arguments(cls, name, member, wanted):
            return f"{who} has a method {name} that cannot be called as {name}{complaint}"
    return ""


def _describe(value: object) -> str:
    return f"an instance of {type(value).__name__}"


def _arguments(cls: type, name: str, member: Callable[..., Any], wanted: Callable[..., Any]) -> str:
    """The Protocol's parameters when ``member`` does not take them; empty when it does or does not tell."""
    parameters = list(inspect.signature(wanted).parameters.values())
    if isinstance(inspect.getattr_static(cls, name), staticmethod | classmethod):
        parameters = parameters[1:]
    positional = [p for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    keywords = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    try:
        signature = inspect.signature(member)
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*positional, **dict.fromkeys(keywords))
    except TypeError:
        shown = [p.name for p in positional if p.name != "self"] + [f"{k}=..." for k in keywords]
        return f"({', '.join(shown)})"
    return ""
