"""The person's own ``models.yaml`` over the shipped catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from mai_core.errors import SettingsError
from mai_core.paths import Paths
from mai_core.policy.catalogue import match
from mai_core.policy.models import Capability, KnownModel, Tier
from mai_core.settings import load_catalogue


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def paths(tmp_path: Path, cache: Path) -> Paths:
    return Paths(tmp_path, tmp_path / "data", cache, tmp_path / "state")


def known(paths: Paths, text: str) -> dict[str, KnownModel]:
    paths.models_file.write_text(text)
    return {model.key: model for model in load_catalogue(paths)}


def test_an_entry_of_the_same_key_changes_what_it_names_and_no_more(paths: Paths) -> None:
    before = known(paths, "")["qwen3-4b"]
    after = known(paths, "qwen3-4b:\n  quality: {code: 0.99}\n  licence: mine\n")["qwen3-4b"]
    assert after.quality == {**before.quality, "code": 0.99}
    assert (after.licence, after.tier, after.patterns) == ("mine", before.tier, before.patterns)


def test_a_file_inherits_from_a_changed_family(paths: Paths) -> None:
    found = known(paths, "qwen3-4b: {quality: {code: 0.99}}")["qwen3-4b-q4_k_m"]
    assert found.quality["code"] == 0.99
    assert found.tier is Tier.SMALL


def test_a_new_entry_adds_a_model(paths: Paths) -> None:
    text = (
        "my-model:\n  patterns: ['my-*']\n  parameters: 1.5B\n  tier: small\n  capabilities: [vision]\n  price_in: 2\n"
    )
    models = known(paths, text)
    mine = match(tuple(models.values()), "My-Thing.gguf")
    assert mine == models["my-model"]
    assert (mine.parameters, mine.capabilities, mine.price_in) == (1.5e9, frozenset({Capability.VISION}), 2.0)


def test_a_starter_of_ones_own_takes_the_place_of_the_shipped_one(paths: Paths) -> None:
    models = known(paths, "mine: {sources: [/models/mine.gguf], starter: true}")
    assert [key for key, model in models.items() if model.starter] == ["mine"]


def test_the_shipped_starter_can_be_switched_off(paths: Paths) -> None:
    models = known(paths, "smollm2-135m-instruct-q4_1: {starter: false}")
    assert not any(model.starter for model in models.values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("m:\n  pattern: [a]\n", 'models.yaml:2: unknown setting "pattern" under m; did you mean "patterns"?'),
        (
            "m:\n  quality:\n    cod: 0.5\n",
            'models.yaml:3: unknown setting "cod" under m.quality; did you mean "code"?',
        ),
        ("m: {quality: {code: 5}}", "models.yaml:1: m.quality.code must be a number from 0 to 1, not 5"),
        ("m: {parameters: many}", 'models.yaml:1: m.parameters must be a number such as 135M or 0.5B, not "many"'),
        ("m: {sha256: abc}", 'models.yaml:1: m.sha256 must be 64 lower-case hexadecimal digits, not "abc"'),
        (
            "m:\n  capabilities: [tool]\n",
            'models.yaml:2: m.capabilities[0] must be "vision" or "tools" or "json", not "tool"; did you mean "tools"?',
        ),
        ("m: {starter: true}", "models.yaml:1: the starter m needs `sources`"),
        ("m: 5", "models.yaml:1: m must be a section of `name: value` lines, not 5"),
        ("m: {}\nm: {}", 'models.yaml:2: "m" is set twice, first on line 1'),
        ("m:\n\ttier: small\n", "models.yaml:2: a tab where YAML wants spaces"),
    ],
)
def test_a_wrong_entry_says_where_what_and_what_was_meant(paths: Paths, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        known(paths, text)
    assert str(caught.value).replace(str(paths.models_file), "models.yaml") == said


def test_an_empty_entry_says_nothing(paths: Paths) -> None:
    assert known(paths, "qwen3-4b:\nsmollm2-135m-instruct-q4_1:\n") == known(paths, "")


def test_an_entry_names_its_fallbacks_and_its_files_have_them_too(paths: Paths) -> None:
    models = known(paths, "qwen3-4b: {fallbacks: [qwen3-1.7b, 'gemma-3-*']}")
    assert models["qwen3-4b"].fallbacks == models["qwen3-4b-q4_k_m"].fallbacks == ("qwen3-1.7b", "gemma-3-*")
    with pytest.raises(SettingsError, match="fallbacks"):
        known(paths, "qwen3-4b: {fallbacks: qwen3-1.7b}")
