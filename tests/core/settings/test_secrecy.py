"""A secret in the settings is known by its name, is never shown, and is not written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.errors import SettingsError
from mai_core.paths import Paths
from mai_core.settings import Settings, load_settings, set_value, validate
from mai_core.settings.secrecy import MASK, exposed, masked, points_elsewhere

SECRET = "hunter2-not-for-anyone"
BOX = ("backends", "box")

SECRETS = [
    "api_key",
    "apiKey",
    "API-KEY",
    "apikey",
    "key",
    "api_kye",
    "api_token",
    "token",
    "access_token",
    "password",
    "pasword",
    "client_secret",
    "headers.Authorization",
    "headers.X-Key-Id",
    "headers.Cookie",
    "deep.er.api_key",
]
OPEN = [
    "base_url",
    "max_tokens",
    "token_deadline",
    "eos_token",
    "price_per_token",
    "keep_alive",
    "sort_key",
    "headers.X-Team",
    "models.my-token",
    "monkey",
]


@pytest.mark.parametrize("name", SECRETS)
def test_what_is_named_like_a_secret_is_one(name: str) -> None:
    where = (*BOX, *name.split("."))
    for value in (SECRET, [SECRET], 4711, {SECRET: SECRET}, f"env:{SECRET}", MASK):
        assert list(exposed(value, where)) == [where]
        assert SECRET not in str(masked(value, where))
        assert "4711" not in str(masked(value, where))


@pytest.mark.parametrize("name", OPEN)
def test_what_is_not_is_shown(name: str) -> None:
    where = (*BOX, *name.split("."))
    assert masked(SECRET, where) == SECRET
    assert not list(exposed(SECRET, where))


@pytest.mark.parametrize("value", ["env:KEY", "keyring:mai/me", "keyring:https://host/v1/me", "", None, True, [], {}])
def test_what_points_elsewhere_or_says_nothing_is_shown(value: object) -> None:
    assert masked(value, (*BOX, "api_key")) == value
    assert not list(exposed(value, (*BOX, "api_key")))


@pytest.mark.parametrize("spec", ["env:", "env:sk-123", "env: KEY", "env:KEY\n", "keyring:mai", "keyring:/me", SECRET])
def test_what_only_looks_like_a_pointer_is_a_secret(spec: str) -> None:
    assert not points_elsewhere(spec)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"http://me:{SECRET}@box:1/v1", f"http://{MASK}@box:1/v1"),
        (f"me:{SECRET}@box:1", f"{MASK}@box:1"),
        (f"https://box/v1?a=b&api_key={SECRET}&c=d", f"https://box/v1?a=b&api_key={MASK}&c=d"),
        ("https://box/v1?a=b", "https://box/v1?a=b"),
        ("https://box/@me", "https://box/@me"),
        ("keyring:me@box/you", "keyring:me@box/you"),
    ],
)
def test_an_address_is_shown_without_who_goes_there(address: str, shown: str) -> None:
    assert masked(address, (*BOX, "url")) == shown
    assert list(exposed(address, (*BOX, "url"))) == ([(*BOX, "url")] if address != shown else [])


def test_names_people_give_make_no_secret() -> None:
    assert masked({"backends": {"token": {"type": "ollama"}}}) == {"backends": {"token": {"type": "ollama"}}}
    prompt = f"Go to http://me:{SECRET}@box"
    assert masked(prompt, ("context", "system_prompt")) == prompt


def test_no_setting_of_our_own_counts_as_a_secret() -> None:
    assert list(exposed(Settings().model_dump())) == []
    assert masked({"log": {"token": SECRET}}) == {"log": {"token": SECRET}}


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([SECRET, "env:KEY", "http://a:b@c", ""]),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(["api_key", "url", "x", "token"]), v),
    max_leaves=8,
)


def _texts_under_a_secret(tree: Any, hidden: bool) -> list[str]:
    if isinstance(tree, dict):
        return [t for k, v in tree.items() for t in _texts_under_a_secret(v, hidden or k in ("api_key", "token"))]
    if isinstance(tree, list):
        return [t for v in tree for t in _texts_under_a_secret(v, hidden)]
    return [tree] if hidden and isinstance(tree, str) else []


@given(TREES)
def test_after_masking_nothing_is_left_to_hide(tree: Any) -> None:
    shown = masked(tree, BOX)
    assert not {SECRET, "http://a:b@c"} & set(_texts_under_a_secret(shown, False))
    assert repr(masked(shown, BOX)) == repr(shown)
    assert (repr(shown) == repr(tree)) == (not list(exposed(tree, BOX)))


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("MAI_HOME", str(tmp_path))
    found = Paths.of({"MAI_HOME": str(tmp_path)})
    found.settings_file.parent.mkdir(parents=True)
    return found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backends.x.api_key", SECRET),
        ("backends.x", f"{{type: ollama, api_key: {SECRET}}}"),
        ("backends.x", {"type": "ollama", "api_key": SECRET}),
        ("backends", f"{{x: {{type: ollama, headers: {{X-Key: {SECRET}}}}}}}"),
        ("backends.x.api_key", f"{SECRET}: x"),
        ("backends.x.api_key", f"!{SECRET}"),
        ("backends.x.api_key", f"*{SECRET}"),
        ("backends.x.api_key", f"!{SECRET}!x"),
        ("backends.x.api_key", f"&{SECRET} *{SECRET}"),
        ("backends.x.api_key", f"[{SECRET}"),
        ("backends.x", f"api_key={SECRET}"),
        ("backends.x", f"[api_key: {SECRET}]"),
        ("probes.x", f"{{type: system, token: {SECRET}}}"),
        ("selection.options.mine.token", SECRET),
    ],
)
def test_a_secret_is_refused_before_anything_is_written(paths: Paths, name: str, value: object) -> None:
    with pytest.raises(SettingsError) as caught:
        set_value(paths.settings_file, name, value)
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.detail}"
    assert list(paths.settings_file.parent.iterdir()) == []


@pytest.mark.parametrize(
    "flag",
    [
        f"backends.x=[api_key: {SECRET}]",
        f"backends.x={SECRET}",
        f"backends=[{{api_key: {SECRET}}}]",
        f"backends.x.api_key: {SECRET}",
        f"backends.x.api_key {SECRET}",
        f"backends.x.api_key={SECRET}",
        f"backends.x.api_key=!{SECRET}",
        f"backends.x={{type: {{api_key: {SECRET}}}}}",
    ],
)
def test_no_complaint_about_a_flag_repeats_a_secret(paths: Paths, flag: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(paths, {}, [flag])
    error: BaseException | None = caught.value
    while error is not None:  # what a log with tracebacks would hold
        assert SECRET not in f"{error} {getattr(error, 'detail', '')}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_secret_written_by_hand_is_masked_and_told_of(paths: Paths) -> None:
    paths.settings_file.write_text(
        f"backends:\n  x:\n    type: ollama\n    api_key: {SECRET}\n    headers: {{X-Key: {SECRET}, X-Team: a}}\n"
        f"  y: {{type: lmstudio, api_token: {SECRET}, url: 'http://me:{SECRET}@box'}}\n"
    )
    loaded = load_settings(paths, {})
    leaves = {leaf.name: leaf.value for leaf in loaded.leaves()}
    assert SECRET not in str(leaves)
    assert leaves["backends.x.api_key"] == MASK
    assert leaves["backends.x.headers.X-Team"] == "a"
    assert loaded.settings.backends["x"].options["api_key"] == SECRET
    told = validate(paths.settings_file)
    assert [line.split(": ")[0].rpartition(":")[2] + " " + line.split(": ")[1] for line in told] == [
        "4 backends.x.api_key",
        "5 backends.x.headers.X-Key",
        "6 backends.y.api_token",
        "6 backends.y.url",
    ]
    assert SECRET not in str(told)
    assert "keyring:SERVICE/USER" in told[0]


def test_a_secret_elsewhere_in_the_file_does_not_stop_what_is_right(paths: Paths) -> None:
    paths.settings_file.write_text(f"backends:\n  x: {{type: ollama, api_key: {SECRET}}}\n")
    assert set_value(paths.settings_file, "log.files", "3") == 3
    assert set_value(paths.settings_file, "backends.x.api_key", "env:KEY") == "env:KEY"
    assert validate(paths.settings_file) == ()
