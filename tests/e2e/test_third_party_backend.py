"""A backend of a third party, installed beside Mai, is listed, turned on, and answers: from the command line alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.fresh_install import FreshInstall

pytestmark = [pytest.mark.install, pytest.mark.timeout(900)]

TEXT = "Call me Ishmael.\n"


@pytest.fixture(scope="module")
def novels(installed: FreshInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshInstall]:
    """Its one model is turned on as the person would do it, and everything else is left out."""
    texts = tmp_path_factory.mktemp("texts")
    (texts / "moby-dick.txt").write_text(TEXT, encoding="utf-8")
    switches = [
        setting["name"]
        for setting in installed.json("config", "show", "backends", "--json")
        if setting["name"].endswith(".enabled")
    ]
    for switch in switches:
        installed.says("config", "set", switch, "false")
    installed.says("config", "set", "backends.novels.type", "markov")
    installed.says("config", "set", "backends.novels.folder", str(texts))
    yield installed
    for switch in switches:
        installed.says("config", "unset", switch)
    installed.says("config", "unset", "backends.novels")


def test_is_listed(installed: FreshInstall) -> None:
    plugins = {plugin["name"]: plugin for plugin in installed.json("plugins", "--json")}
    markov = plugins["markov"]
    assert (markov["distribution"], markov["version"], markov["module"]) == ("mai-markov", "1.0.0", "mai_markov")
    assert (markov["status"], markov["registers"], markov["faults"]) == ("ok", {"backends": ["markov"]}, [])


def test_shows_its_models(novels: FreshInstall) -> None:
    [model] = novels.json("models", "--json")
    [placement] = model["placements"]
    assert (model["model"], model["fit"], placement["profile"]["backend"]) == ("moby-dick", "fits", "novels")
    assert "moby-dick" in novels.says("models")


def test_answers_when_it_is_switched_to(novels: FreshInstall) -> None:
    novels.says("switch", "novels/moby-dick")
    assert novels.says("chat", "Who are you?") == TEXT
    reply = novels.json("chat", "--json", "And who are you?")
    assert reply["text"].strip() == TEXT.strip()
    assert reply["message"]["model"] == "moby-dick"
    assert novels.json("why", "--json")["decision"]["choice"] == "moby-dick"


def test_a_wrong_option_is_named(novels: FreshInstall) -> None:
    done = novels.mai("--set", "backends.novels.colour=red", "status")
    assert "backends.novels has one option, which it needs: folder" in done.stderr
