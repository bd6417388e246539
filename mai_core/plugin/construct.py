"""From a registered class and a section of the settings to an instance; what is wrong is said in one line."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, get_type_hints

from mai_core.errors import MaiError, PluginError
from mai_core.plugin.faults import one_line

__all__ = ["construct", "construct_in_context"]


_INSTANCE_MEMBERS: Mapping[str, Mapping[str, type[object]]] = {
    "backend": {"name": str, "host": str, "remote": bool},
    "probe": {"name": str},
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
    values = {n: _converted(v, hints[n], f"option {n} of {who}") if n in hints else v for n, v in options.items()}
    return _guarded(who, cls, **values)


def construct_in_context(cls: type[Any], context: object, *, kind: str, name: str, plugin: str = "") -> object:
    """Construct a backend or probe with its context.

    Raises ``PluginError`` for what the constructor raises, and when the instance lacks a member that only instances
    have; a ``MaiError`` of the constructor, such as ``SettingsError``, goes through as it is.
    """
    who = _who(kind, name, plugin)
    instance = _guarded(who, cls, context)
    for member, type_ in _INSTANCE_MEMBERS[kind].items():
        if not isinstance(getattr(instance, member, None), type_):
            raise PluginError(f"{who} has no attribute {member} that is a {type_.__name__}")
    return instance


def _guarded(who: str, cls: type[Any], *arguments: object, **keywords: object) -> object:
    try:
        return cls(*arguments, **keywords)
    except (MaiError, KeyboardInterrupt):
        raise
    except BaseException as error:  # the fence around third-party code
        raise PluginError(f"{who} cannot be set up: {one_line(error)}") from error


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


def _converted(value: object, hint: Any, what: str) -> object:
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
        first = error.errors(include_url=False)[0]
        where = "".join(f"[{part!r}]" for part in first["loc"])
        raise PluginError(f"{what}{where}: {first['input']!r} will not do: {first['msg']}") from error


def _suggest(wrong: str, options: list[str]) -> str:
    if not options:
        return "it takes no options"
    if near := get_close_matches(wrong, options, n=1, cutoff=0.5):
        return f"did you mean {near[0]}?"
    return f"its options are {', '.join(options)}"
