"""From a registered class and a section of the settings to an instance; what is wrong is said in one line.

A key written into the settings by hand is in none of these lines, and in no traceback that goes with them.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_type_hints

from mai_core.errors import MaiError, PluginError
from mai_core.plugin.discretion import Discretion

if TYPE_CHECKING:
    from mai_core.plugin.interfaces import BackendContext, ProbeContext

__all__ = ["construct", "construct_in_context"]


_INSTANCE_MEMBERS: Mapping[str, Mapping[str, type[object]]] = {
    "backend": {"name": str, "host": str, "remote": bool},
    "probe": {"name": str},
}
# Where the settings keep what an instance is given, above its name.
_PLACES: Mapping[str, tuple[str, ...]] = {
    "backend": ("backends",),
    "probe": ("probes",),
    "strategy": ("selection", "options"),
    "transfer": ("context", "options"),
}


def construct(cls: type[Any], options: Mapping[str, Any], *, kind: str, name: str, plugin: str = "") -> object:
    """Construct a strategy or transfer with its options as keywords, each converted to the type it is declared with.

    Raises ``PluginError`` for an option it does not have (with the nearest), for one that is missing or of another
    type, and for whatever the constructor raises itself; a ``MaiError`` of the constructor goes through as it is.
    """
    who = _who(kind, name, plugin)
    parameters = _parameters(cls)
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    named = {
        n: p
        for n, p in parameters.items()
        if p.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    }
    for option in options:
        if option not in named and not open_ended:
            raise PluginError(f"{who} has no option {option}", remedy=_suggest(str(option), list(named)))
    for option, parameter in named.items():
        if parameter.default is inspect.Parameter.empty and option not in options:
            raise PluginError(f"{who} needs the option {option}", remedy="set it under its options in the settings")
    hints = _hints(cls) if options else {}
    where = (*_PLACES[kind], name)
    values = {
        n: _converted(v, hints[n], f"option {n} of {who}", (*where, n)) if n in hints else v for n, v in options.items()
    }
    return _guarded(who, options, where, cls, **values)


def construct_in_context(
    cls: type[Any], context: BackendContext | ProbeContext, *, kind: str, name: str, plugin: str = ""
) -> object:
    """Construct a backend or probe with its context.

    Raises ``PluginError`` for what the constructor raises, and when the instance lacks a member that only instances
    have; a ``MaiError`` of the constructor, such as ``SettingsError``, goes through as it is.
    """
    who = _who(kind, name, plugin)
    instance = _guarded(who, context.options, (*_PLACES[kind], context.name), cls, context)
    for member, type_ in _INSTANCE_MEMBERS[kind].items():
        if not isinstance(getattr(instance, member, None), type_):
            raise PluginError(f"{who} has no attribute {member} that is a {type_.__name__}")
    return instance


def _guarded(
    who: str,
    options: Mapping[str, Any],
    where: tuple[str, ...],
    cls: type[Any],
    *arguments: object,
    **keywords: object,
) -> object:
    try:
        return cls(*arguments, **keywords)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the fence around third-party code
        discretion = Discretion(options, where)
        own = isinstance(error, MaiError) and not discretion.quotes(f"{error} {error.detail}")
        if discretion.may_be_shown(error):
            if own:
                raise
            raise PluginError(f"{who} cannot be set up: {discretion.told(error)}") from error
        if own:
            raise error from None
        refusal = PluginError(f"{who} cannot be set up: {discretion.told(error)}")
        # Where it happened is told; what was said there, and why, might quote a secret.
        raise refusal.with_traceback(error.__traceback__) from None


def _who(kind: str, name: str, plugin: str) -> str:
    return f"{kind} {name} of plugin {plugin}" if plugin else f"{kind} {name}"


def _parameters(cls: type[Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(cls).parameters
    except (TypeError, ValueError):
        return {"options": inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)}


def _hints(cls: type[Any]) -> Mapping[str, Any]:
    """Types of the options. One that cannot be resolved at run time leaves all of them to the constructor."""
    try:
        return get_type_hints(cls.__init__, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return {}


def _converted(value: object, hint: Any, what: str, where: tuple[str, ...]) -> object:
    from pydantic import ConfigDict, TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError

    try:
        adapter = TypeAdapter[Any](hint, config=ConfigDict(allow_inf_nan=False))
    except PydanticUserError:
        try:
            adapter = TypeAdapter[Any](hint)
        except PydanticUserError:
            return value
    if isinstance(value, bool) and hint in (int, float):
        raise PluginError(f"{what}: {value} should be a number")
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        from mai_core.settings.secrecy import masked

        first = error.errors(include_url=False)[0]
        place = "".join(f"[{part!r}]" for part in first["loc"])
        told = "" if Discretion({where[-1]: value}, where[:-1]).quotes(first["msg"]) else f": {first['msg']}"
        shown = masked(first["input"], (*where, *first["loc"]))
        raise PluginError(f"{what}{place}: {shown!r} will not do{told}") from None


def _suggest(wrong: str, options: list[str]) -> str:
    if not options:
        return "it takes no options"
    if near := get_close_matches(wrong, options, n=1, cutoff=0.5):
        return f"did you mean {near[0]}?"
    return f"its options are {', '.join(options)}"
