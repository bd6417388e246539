"""A key written into the settings by hand is in nothing that is told of a plugin: no line, no traceback, no log."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict

from mai_core.errors import MaiError, PluginError, SettingsError
from mai_core.plugin.construct import construct, construct_in_context
from mai_core.plugin.faults import FaultBook
from mai_core.plugin.interfaces import ProbeContext

KEY = "sk-live-0123456789abcdefghijklmnopqrstuvwxyz-0123456789"


def refuse(value: str) -> str:
    raise ValueError(f"{value} is no good")


@dataclass(frozen=True)
class Strategy:
    name: ClassVar[str] = "mine"
    api_key: int = 0
    checked: Annotated[str, AfterValidator(refuse)] = ""
    password: Annotated[str, AfterValidator(refuse)] = ""
    endpoints: dict[str, int] = field(default_factory=dict)
    address: int = 0


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    api_key: str = ""
    port: int = 0


def validating(options: Mapping[str, Any]) -> None:
    Options.model_validate(options)


def caused(options: Mapping[str, Any]) -> None:
    try:
        Options.model_validate(options)
    except ValueError as error:
        raise SettingsError("these options will not do") from error


def quoting(options: Mapping[str, Any]) -> None:
    raise ValueError(f"cannot use {options['api_key'][:20]}...")


def owning_up(options: Mapping[str, Any]) -> None:
    raise SettingsError("cannot connect", remedy=f"is {options['api_key']} the key?")


def stumbling(options: Mapping[str, Any]) -> None:
    try:
        raise KeyError(options["api_key"])
    except KeyError as error:
        raise RuntimeError("no luck") from error


def leaking(error: BaseException) -> str:
    """Everything that may ever be told of an error."""
    book = FaultBook()
    book.report("acme", "backend", str(error), cause=error)
    return "\n".join(["".join(traceback.format_exception(error)), *map(repr, book.faults)])


def refused(options: Mapping[str, Any], step: Any) -> MaiError:
    class Probe:
        kind: ClassVar[str] = "acme"

        def __init__(self, context: ProbeContext) -> None:
            self.name = context.name
            step(context.options)

    with pytest.raises(MaiError) as caught:
        construct_in_context(Probe, ProbeContext(name="lab", options=options), kind="probe", name="acme", plugin="acme")
    return caught.value


@pytest.mark.parametrize("step", [validating, caused, quoting, owning_up, stumbling])
def test_no_error_of_a_constructor_tells_a_key(step: Any) -> None:
    error = refused({"api_key": KEY, "port": "x", "extra": 1}, step)
    told = leaking(error)
    assert not [start for start in range(len(KEY) - 5) if KEY[start : start + 6] in told], told
    assert f"in {step.__name__}" in told, "but it tells where it happened"


def test_a_key_under_a_name_that_nobody_would_know_is_in_no_validation_error() -> None:
    assert KEY[-12:] not in leaking(refused({"licence": KEY}, validating))
    assert KEY[-12:] not in leaking(refused({"port": KEY}, caused))


def test_a_validation_error_says_what_is_wrong() -> None:
    assert "ValidationError: port: Input should be a valid integer" in str(refused({"port": "x"}, validating))


def test_without_a_key_nothing_of_an_error_is_left_out() -> None:
    error = refused({"api_key": "env:ACME_KEY"}, stumbling)
    assert str(error) == "probe acme of plugin acme cannot be set up: RuntimeError: no luck"
    assert "KeyError: 'env:ACME_KEY'" in leaking(error)


@pytest.mark.parametrize(
    ("option", "value", "shown"),
    [
        ("api_key", KEY, "option api_key of strategy mine: '***' will not do: Input should be a valid integer"),
        ("password", KEY, "option password of strategy mine: '***' will not do"),
        ("endpoints", {"api_key": KEY}, "option endpoints of strategy mine['api_key']: '***' will not do"),
        ("address", f"http://me:{KEY}@box", "option address of strategy mine: 'http://***@box' will not do"),
        ("checked", "plain", "'plain' will not do: Value error, plain is no good"),
    ],
)
def test_an_option_of_the_wrong_type_is_shown_as_the_settings_are(option: str, value: Any, shown: str) -> None:
    with pytest.raises(PluginError) as caught:
        construct(Strategy, {option: value}, kind="strategy", name="mine")
    assert shown in str(caught.value)
    assert KEY[:8] not in leaking(caught.value)
