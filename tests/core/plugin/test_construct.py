"""Options of the settings become arguments, or one line that says what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pytest

from mai_core.errors import PluginError, SettingsError
from mai_core.plugin.construct import construct

if TYPE_CHECKING:
    from nowhere import Unknown


@dataclass(frozen=True)
class Part:
    weight: float = 1.0


@dataclass(frozen=True)
class Tuned:
    name: ClassVar[str] = "tuned"
    bonus: float = 0.2
    steps: int = 3
    tiers: tuple[str, ...] = ()
    mode: Literal["fast", "slow"] = "fast"
    parts: dict[str, Part] = field(default_factory=dict)
    hidden: int = field(default=0, init=False)


@dataclass(frozen=True)
class Needy:
    path: str


class Plain:
    def __init__(self, factor: float = 1.0) -> None:
        if factor < 0:
            raise ValueError("factor is negative\nreally")
        self.factor = factor


class Open:
    def __init__(self, **options: Any) -> None:
        self.options = options


class Deferred:
    def __init__(self, thing: Unknown = None, factor: float = 1.0) -> None:
        self.thing = thing


class Refusing:
    def __init__(self, factor: float = 1.0) -> None:
        raise SettingsError("factor must be even")


class Callback:
    def __init__(self, count: Callable[[str], int] = len) -> None:
        self.count = count


class Leaving:
    def __init__(self) -> None:
        raise SystemExit(2)


def made(cls: type[Any], **options: Any) -> Any:
    return construct(cls, options, kind="strategy", name="mine", plugin="acme")


def test_values_take_the_type_they_are_declared_with() -> None:
    tuned = made(Tuned, bonus=1, tiers=["tiny"], mode="slow", parts={"a": {"weight": "2.5"}})
    assert tuned == Tuned(bonus=1.0, tiers=("tiny",), mode="slow", parts={"a": Part(2.5)})
    assert made(Plain, factor="1.5").factor == 1.5
    assert made(Callback, count=len).count is len


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (Tuned, {"bonsu": 1}, "strategy mine of plugin acme has no option bonsu; did you mean bonus?"),
        (Tuned, {"zzz": 1}, "has no option zzz; its options are bonus, steps, tiers, mode, parts"),
        (Tuned, {"hidden": 1}, "has no option hidden"),
        (Leaving, {"any": 1}, "has no option any; it takes no options"),
        (Tuned, {"bonus": "abc"}, "option bonus of strategy mine of plugin acme: 'abc' will not do"),
        (Tuned, {"bonus": True}, "True should be a number"),
        (Tuned, {"bonus": float("nan")}, "option bonus of strategy mine of plugin acme: nan will not do"),
        (Tuned, {"steps": 1.5}, "option steps of strategy mine of plugin acme: 1.5 will not do"),
        (Tuned, {"mode": "quick"}, "'quick' will not do"),
        (Tuned, {"parts": {"a": {"weight": "x"}}}, "option parts of strategy mine of plugin acme['a']['weight']"),
        (Needy, {}, "strategy mine of plugin acme needs the option path"),
        (Plain, {"factor": -1}, "strategy mine of plugin acme cannot be set up: ValueError: factor is negative"),
        (Leaving, {}, "cannot be set up: SystemExit: 2"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(cls: type[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError) as caught:
        made(cls, **options)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_the_plugin_itself_says_of_its_settings_goes_through() -> None:
    with pytest.raises(SettingsError, match="factor must be even"):
        made(Refusing, factor=1)


def test_a_class_open_to_any_option_gets_them_as_they_are() -> None:
    assert made(Open, anything="1").options == {"anything": "1"}


def test_types_that_exist_only_for_the_type_checker_are_left_to_the_plugin() -> None:
    assert made(Deferred, thing="x").thing == "x"
