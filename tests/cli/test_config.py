"""``mai config`` about backends: what only they understand is judged before it is written, and no key is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Run

from mai_core import hookimpl
from mai_core.cli.invocation import Invocation
from mai_core.errors import SettingsError
from mai_core.plugin.interfaces import BackendContext
from mai_core.plugin.registry import PluginRegistry
from mai_core.testing import FakeBackend

SECRET = "sk-hunter2"
SECTION = "{type: openai-compatible, base_url: http://127.0.0.1:9, %s}"


@pytest.fixture
def file(home: Path) -> Path:
    path = home / "config" / "mai.yaml"
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("backends.x", SECTION % f'api_key: "{SECRET}"', "backends.x.api_key: no key or token belongs"),
        ("backends.x", SECTION % f"api_kye: {SECRET}", "backends.x.api_kye: no key or token belongs"),
        ("backends", f"{{x: {SECTION % f'headers: {{X-Key: {SECRET}}}'}}}", "backends.x.headers.X-Key: no key"),
        ("backends.x", f"{{type: lmstudio, api_token: {SECRET}}}", "backends.x.api_token: no key or token belongs"),
        ("backends.x", f"{{type: ollama, url: 'http://me:{SECRET}@box'}}", "backends.x.url: no key or token belongs"),
        ("backends.x.api_key", SECRET, "backends.x.api_key: no key or token belongs"),
        ("backends.x.headers.Authorization", f"Bearer {SECRET}", "no key or token belongs"),
        ("backends.x", SECRET, "backends.x must be a section"),
    ],
)
def test_a_key_is_never_kept_and_never_shown(mai: Run, file: Path, key: str, value: str, told: str) -> None:
    file.write_text("backends:\n  x: {type: openai-compatible}  # mine\n")
    before = file.stat()
    result = mai("config", "set", key, value)
    assert result.code == 1
    assert told in result.err
    assert SECRET not in result.err + result.out
    # Not even for a moment: the file was never replaced.
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("backends.x", SECTION % "retreis: 1", 'backends.x.retreis: there is no such option → did you mean "retries"?'),
        ("backends.x", SECTION % "enabled: false, retreis: 1", "backends.x.retreis: there is no such option"),
        (
            "backends.x",
            SECTION % "deadlines: {conect: 1}",
            'deadlines.conect: there is no such option → did you mean "c',
        ),
        (
            "backends.x",
            SECTION % "models: {m-4.1: {prices: {inn: 1}}}",
            "prices.inn: there is no such option → did you",
        ),
        ("backends.x", SECTION % "retries: lots", "backends.x.retries: input should be a valid integer"),
        ("backends.x", "{type: openai-compatible, base_ulr: http://box}", 'did you mean "base_url"?'),
        (
            "backends.x",
            "{type: ollama, enabeld: no}",
            'backends.x.enabeld: there is no such option → did you mean "enabled"?',
        ),
        ("backends.x", "{type: olama}", "there is no backend olama → did you mean ollama?"),
        ("backends.x.type", "olama", "there is no backend olama → did you mean ollama?"),
        (
            "backends",
            "{x: {type: ollama}, y: {type: ollama, ulr: http://box}}",
            "backends.y.ulr: there is no such option",
        ),
        ("backends.half.retreis", "1", "backends.half.retreis: there is no such option"),
        ("backends.half.deadlines", "{conect: 1}", "backends.half.deadlines.conect: there is no such option"),
        ("backends.wrong.retreis", "1", "backends.wrong.retreis: there is no such option"),
    ],
)
def test_what_a_backend_does_not_know_is_refused_at_once(mai: Run, file: Path, key: str, value: str, told: str) -> None:
    text = "backends:\n  half: {type: openai-compatible}\n  wrong: {type: openai-compatible, modles: [], base_url: 1}\n"
    file.write_text(text)
    result = mai("config", "set", key, value)
    assert (result.code, file.read_text()) == (1, text)
    assert told in result.err


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("selection.strategies", "[greedy-fti]", "there is no strategy greedy-fti → did you mean greedy-fit?"),
        ("selection.options", "{cost-aware: {targte: 0.6}}", "no option targte → did you mean target?"),
        ("selection.options.cost-aware.target", "high", "option target of strategy cost-aware"),
        ("context.transfer", "hybird", "there is no transfer hybird → did you mean hybrid?"),
        ("probes.mine", "{type: nvdia}", "there is no probe nvdia"),
    ],
)
def test_what_a_strategy_a_transfer_or_a_probe_does_not_know_is_refused_at_once(
    mai: Run, file: Path, key: str, value: str, told: str
) -> None:
    result = mai("config", "set", key, value)
    assert (result.code, file.exists()) == (1, False)
    assert told in result.err


def test_a_strategy_that_was_missing_before_hinders_nobody(mai: Run, file: Path) -> None:
    file.write_text("selection: {strategies: [gone]}\n")
    result = mai("config", "set", "selection.budget_ms", "40")
    assert result.code == 0
    assert "still amiss: there is no strategy gone" in result.err


def test_options_may_follow_one_by_one(mai: Run, file: Path) -> None:
    told = mai("config", "set", "backends.x.type", "openai-compatible")
    assert (told.code, "still amiss: backends.x.base_url is not set" in told.err) == (0, True)
    assert mai("config", "set", "backends.x.retries", "1").code == 0
    told = mai("config", "set", "backends.x.base_url", "http://box:8000")
    assert (told.code, "amiss" in told.err) == (0, False)
    told = mai("config", "set", "backends.y", "{type: openai-compatible, retries: 1}")
    assert (told.code, "still amiss: backends.y.base_url is not set" in told.err) == (0, True)
    assert mai("config", "set", "backends.y.enabled", "false").err.count("\n") == 1


def test_what_was_wrong_before_hinders_nobody(mai: Run, file: Path) -> None:
    file.write_text("backends:\n  x: {type: openai-compatible, modles: [], base_url: 1}\n  y: {type: olama}\n")
    told = mai("config", "set", "backends.x.retries", "1")
    assert told.code == 0
    assert "still amiss: backends.x.modles: there is no such option" in told.err
    assert "still amiss: backends.x.base_url: " in told.err
    assert "olama" not in told.err
    assert mai("config", "set", "backends.y.url", "http://box").code == 0
    assert mai("config", "set", "backends.y.type", "ollama").code == 0


def test_a_file_is_mended_by_what_it_lacks(mai: Run, file: Path) -> None:
    file.write_text("backends:\n  x: {typ: ollama}\n")
    told = mai("config", "set", "backends.x.type", "ollama")
    assert (told.code, 'backends.x.typ: there is no such option; did you mean "type"?' in told.err) == (0, True)
    file.write_text("backends:\n  x: {url: http://box}\n")
    assert mai("config", "set", "backends.x.type", "ollama").code == 0
    assert mai("config", "validate").code == 0


class Choosy(FakeBackend):
    """A backend that says what it wants of its section, and not of which option."""

    kind = "choosy"

    def __init__(self, context: BackendContext) -> None:
        super().__init__(context)
        if context.options.keys() != {"folder"}:
            raise SettingsError(f"backends.{context.name} has one option, which it needs: folder")


class _Plugin:
    @hookimpl
    def mai_register_backends(self) -> list[Any]:
        return [Choosy]


def test_a_backend_that_speaks_of_the_whole_is_understood(
    mai: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Invocation, "registry", lambda self, **_: PluginRegistry.of(_Plugin()))
    assert mai("config", "set", "backends.x", "{type: choosy, foldr: a}").code == 1
    told = mai("config", "set", "backends.x.type", "choosy")
    assert (told.code, "still amiss: backends.x has one option" in told.err) == (0, True)
    assert mai("config", "set", "backends.x.folder", "a").code == 0
    before = file.read_text()
    # It did well until then.
    assert mai("config", "set", "backends.x.more", "1").code == 1
    assert file.read_text() == before


def test_a_key_written_by_hand_is_told_of_and_not_shown(mai: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"backends:\n  x: {{type: openai-compatible, base_url: http://box, api_key: {SECRET}}}\n"
    file.write_text(text)
    shown = [
        mai("config"),
        mai("config", "show", "--changed"),
        mai("config", "show", "backends.x", "--json"),
        mai("config", "get", "backends.x.api_key"),
        mai("config", "get", "backends.x.api_key", "--json"),
    ]
    for result in shown:
        assert result.code == 0
        assert "***" in result.out
    told = mai("config", "validate")
    assert told.code == 1
    assert "mai.yaml:2: backends.x.api_key: no key or token belongs in the settings" in told.err
    file.write_text("privacy: any\n")
    monkeypatch.setenv("EDITOR", f"sh -c 'printf \"{text}\" > $0'")
    edited = mai("config", "edit")
    assert (edited.code, file.read_text()) == (1, "privacy: any\n")
    for result in (*shown, told, edited):
        assert SECRET not in result.out + result.err


@pytest.mark.parametrize("given", ["option", "section", "variable"])
def test_a_key_given_for_one_call_is_not_shown(
    mai: Run, home: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    before: tuple[str, ...] = ("--set", "backends.ollama.api_key=" + SECRET)
    if given == "section":
        before = ("--set", f"backends.ollama={{type: ollama, api_key: {SECRET}}}")
    elif given == "variable":
        before = ()
        monkeypatch.setenv("MAI_BACKENDS__OLLAMA__API_KEY", SECRET)
    for command in (["config", "show"], ["config", "show", "--json"], ["config", "get", "backends.ollama.api_key"]):
        told = mai(*before, *command)
        assert (told.code, "***" in told.out, SECRET in told.out + told.err) == (0, True, False)


def test_what_is_shown_can_be_typed(mai: Run, file: Path) -> None:
    told = mai("config", "set", "backends.box", '{"type": "ollama", url: "http://box", headers: {X-Team: "1"}}')
    assert 'backends.box is now {type: ollama, url: http://box, headers: {X-Team: "1"}}' in told.err
    assert mai("config", "get", "backends.box.headers.X-Team").out == '"1"\n'
    assert mai("config", "get", "selection.strategies").out == "[value, greedy-fit, cost-aware]\n"
    assert mai("config", "get", "backends.box.url").out == "http://box\n"
    rows = {line.split()[0]: line for line in mai("config", "show", "backends.box").out.splitlines()}
    assert '"1"' in rows["backends.box.headers.X-Team"]
    for key in ("selection.strategies", "generation.seed", "context.system_prompt", "memory.headroom_min"):
        shown = mai("config", "get", key).out.removesuffix("\n")
        assert mai("config", "set", key, shown).code == 0
        assert mai("config", "get", key).out == f"{shown}\n"
