"""Secrets come from the environment or the keyring, and appear in no error."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_backends.secrets import read_secret
from mai_core.errors import SettingsError

SECRET = "sk-not-for-anyone-4711"


class KeyringError(Exception):
    """What the package keyring calls it."""


class Ring(ModuleType):
    """The package keyring, as far as it is used, over a dictionary."""

    def __init__(self, kept: dict[tuple[str, str], str], failure: Exception | None = None) -> None:
        super().__init__("keyring")
        self.kept, self.failure = kept, failure

    def get_password(self, service: str, user: str) -> str | None:
        if self.failure is not None:
            raise self.failure
        return self.kept.get((service, user))


def install(monkeypatch: pytest.MonkeyPatch, ring: Ring) -> None:
    errors = ModuleType("keyring.errors")
    errors.KeyringError = KeyringError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", ring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)


def test_the_environment_is_read_without_the_newline_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME_KEY", f"{SECRET}\n")
    assert read_secret("env:HOME_KEY", who="home") == SECRET


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("HOME_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("HOME_KEY", value)
    with pytest.raises(SettingsError, match=r"^home: .*HOME_KEY is not set") as caught:
        read_secret("env:HOME_KEY", who="home")
    assert "export HOME_KEY" in caught.value.remedy


@pytest.mark.parametrize("bad", [f"{SECRET}\nX-Evil: 1", f"{SECRET}\x00", f"{SECRET}é"])
def test_what_no_header_can_carry_is_refused_unseen(monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    if "\x00" in bad:
        install(monkeypatch, Ring({("s", "u"): bad}))
        spec = "keyring:s/u"
    else:
        monkeypatch.setenv("HOME_KEY", bad)
        spec = "env:HOME_KEY"
    with pytest.raises(SettingsError, match="characters") as caught:
        read_secret(spec, who="home")
    assert SECRET not in repr(caught.value) + str(caught.value) + caught.value.detail


@pytest.mark.parametrize("spec", [SECRET, "", "env", "env:", "keyring:", "keyring:mai", "keyring:mai/", "keyring:/me"])
def test_anything_else_is_refused_and_not_repeated(spec: str) -> None:
    with pytest.raises(SettingsError, match=r"^home: no key or token belongs") as caught:
        read_secret(spec, who="home")
    assert "env:NAME" in caught.value.remedy
    assert SECRET not in repr(caught.value) + str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text(min_size=12).filter(lambda text: not text.startswith(("env:", "keyring:"))))
def test_no_spec_that_might_be_a_secret_is_ever_shown(spec: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_secret(spec, who="home")
    message = SettingsError("home: no key or token belongs in the settings", remedy=caught.value.remedy)
    assert str(caught.value) == str(message)


def test_the_keyring_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Ring({("https://host/v1", "me"): SECRET}))
    assert read_secret("keyring:https://host/v1/me", who="home") == SECRET


def test_an_empty_keyring_tells_how_to_fill_it(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Ring({}))
    with pytest.raises(SettingsError, match="mai/me is not set") as caught:
        read_secret("keyring:mai/me", who="home")
    assert caught.value.remedy == "store it: keyring set mai me"


def test_a_keyring_that_is_locked_is_a_fault_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Ring({}, KeyringError(f"no {SECRET}")))
    with pytest.raises(SettingsError, match="cannot be read: KeyringError") as caught:
        read_secret("keyring:mai/me", who="home")
    assert SECRET not in str(caught.value)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(SettingsError, match="not installed") as caught:
        read_secret("keyring:mai/me", who="home")
    assert "mai[keyring]" in caught.value.remedy
