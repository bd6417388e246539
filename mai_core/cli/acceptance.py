"""What plugins say of a change of the settings before it is written. Only they know what their options mean.

A refusal counts against the change where the change is its cause. Settings are written one by one, so a backend may
lack what follows, and it may hold what was wrong before; both are remarks.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mai_core.errors import MaiError, SettingsError

if TYPE_CHECKING:
    from mai_core.cli.invocation import Invocation
    from mai_core.plugin.registry import PluginRegistry
    from mai_core.policy.models import KnownModel
    from mai_core.settings import Change
    from mai_core.settings.model import BackendSettings, Settings

__all__ = ["accepted"]

_Place = tuple[str, ...]
"""Names that lead to an option within a backend's section; empty for the section."""


def accepted(change: Change, invocation: Invocation) -> tuple[str, ...]:
    """What is still amiss with the plugins a change is about, a remark each.

    Raises ``SettingsError`` when one of them refuses what the change says.
    """
    from mai_core.settings import load_catalogue, load_settings

    if change.where[0] not in ("backends", "context", "probes", "selection"):
        return ()
    paths, environment = invocation.paths, invocation.environment
    after = load_settings(paths, environment, document=change.document).settings
    registry, known = invocation.registry(settings=after), load_catalogue(paths)
    try:
        earlier = load_settings(paths, environment).settings
    except SettingsError:
        earlier = None  # the change is what mends the file
    if change.where[0] != "backends":
        return _still_refused(after, earlier, registry)
    before = earlier.backends if earlier is not None else {}
    names = change.where[1:2] or tuple(change.value)
    remarks: list[str] = []
    for name in names:
        trial = _Trial(name, invocation, registry, known)
        remarks += trial.judge(after.backends[name], before.get(name), change.where[2:])
    return tuple(remarks)


def _still_refused(after: Settings, before: Settings | None, registry: PluginRegistry) -> tuple[str, ...]:
    """What strategies, probes and transfers refused before and still do; raises what they refuse by this change."""
    from mai_core.runtime.assembly import refusals

    known = {str(error) for error in refusals(before, registry)} if before is not None else set()
    found = refusals(after, registry)
    for error in found:
        if str(error) not in known:
            raise SettingsError(error.message, remedy=error.remedy)
    return tuple(map(str, found))


@dataclass(frozen=True, slots=True)
class _Trial:
    """One backend, made again and again from its section."""

    name: str
    invocation: Invocation
    registry: PluginRegistry
    known: Sequence[KnownModel]

    def judge(self, section: BackendSettings, before: BackendSettings | None, key: _Place) -> list[str]:
        """What is amiss for reasons other than the option at ``key``; raises what it itself is refused with."""
        remarks: list[str] = []
        kind, options = section.type, section.options
        while (error := self._refusal(kind, options)) is not None:
            place = self._place(error, kind, options)
            is_within = place is not None and place[: len(key)] == key
            # Told of the whole, it may be the change or what has yet to follow. A backend that did well was complete.
            has_spoilt = place is not None and key[: len(place)] == place and self._does_well(before)
            if is_within or has_spoilt:
                raise SettingsError(error.message, remedy=error.remedy)
            remarks.append(str(error))
            if not place or place == ("type",):
                break
            # The first refusal may hide the one that matters here.
            options = _without(options, place)
        return remarks if section.enabled else []

    def _does_well(self, section: BackendSettings | None) -> bool:
        return section is not None and self._refusal(section.type, section.options) is None

    def _refusal(self, kind: str, options: Mapping[str, Any]) -> MaiError | None:
        from mai_core.plugin.interfaces import BackendContext

        paths = self.invocation.paths
        context = BackendContext(
            name=self.name,
            options=options,
            data_dir=paths.data,
            cache_dir=paths.cache,
            state_dir=paths.state,
            known=tuple(self.known),
        )
        try:
            self.registry.backend(kind, context)
        except MaiError as error:
            return error
        return None

    def _place(self, error: MaiError, kind: str, options: Mapping[str, Any]) -> _Place | None:
        """What a refusal is about; None when that is an option there is not yet."""
        if kind not in self.registry.backends():
            return ("type",)
        section = f"backends.{self.name}"
        if not error.message.startswith(section):
            return ()
        return _named(error.message.removeprefix(section), options)


def _named(text: str, node: Any) -> _Place | None:
    """The place below ``node`` that ``text``, such as ``.deadlines.connect: too long``, begins with."""
    for name, child in sorted(_children(node), key=lambda item: -len(item[0])):
        rest = text.removeprefix(f".{name}")
        if rest != text and not (rest[:1].isalnum() or rest[:1] in ("_", "-")):
            below = _named(rest, child)
            return None if below is None else (name, *below)
    lacks = isinstance(node, Mapping) and text[:1] == "." and text[1:2].strip()
    return None if lacks else ()


def _children(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        return ((str(name), child) for name, child in node.items())
    return ((str(index), child) for index, child in enumerate(node)) if isinstance(node, list | tuple) else iter(())


def _without(options: Mapping[str, Any], place: _Place) -> dict[str, Any]:
    """The options without the one at ``place``; an item takes its whole list along, so that no other changes place."""
    left = copy.deepcopy(dict(options))
    here: Any = left
    for name in place[:-1]:
        if not isinstance(here[name], dict):
            del here[name]
            return left
        here = here[name]
    del here[place[-1]]
    return left
