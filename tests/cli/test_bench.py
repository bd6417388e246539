"""``mai bench``: footprints with an engine that takes what it is told to, and simulations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest
from conftest import Run

from mai_core.errors import OutOfMemory
from mai_core.plugin.hookspecs import hookimpl
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.footprint import predict_footprint
from mai_core.policy.models import Architecture, Footprint, LoadPlan, ModelProfile, like_layers
from mai_core.testing.backend import FakeBackend

SHAPE = Architecture(
    name="llama", groups=like_layers(4, 256), embedding=256, feed_forward=1024, vocabulary=1000
)  # fmt: skip
MODEL = ModelProfile(
    key="tiny", backend="measuring", location="tiny", size_bytes=10**8, architecture=SHAPE
)  # fmt: skip


class Measuring(FakeBackend):
    kind: ClassVar[str] = "embedded"

    async def measure(self, file: Path, plan: LoadPlan, *, filled: int) -> tuple[ModelProfile, Footprint]:
        if plan.context > 1024:
            raise OutOfMemory("no memory for tiny")
        found = predict_footprint(MODEL, plan, filled=filled)
        return MODEL, Footprint(found.anonymous, found.file_backed + found.total // 50)


class Plugin:
    @hookimpl
    def mai_register_backends(self) -> list[type[Measuring]]:
        return [Measuring]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    from mai_core.cli.invocation import Invocation

    registry = PluginRegistry.of(Plugin())
    monkeypatch.setattr(Invocation, "registry", lambda *_, **__: registry)
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    return str(tmp_path / "tiny.gguf")


def test_predicted_and_measured_stand_side_by_side_and_others_below(mai: Run, file: str) -> None:
    told = mai("bench", "footprint", file, "--context", "512,4096", "--kv", "f16")
    assert told.code == 0
    first, failed = told.out.splitlines()[1:3]
    assert first.startswith("tiny")
    assert first.endswith("-1.9%")
    assert failed.endswith("no memory for tiny")
    assert "mai                100%" in told.out
    assert "gguf-parser" in told.out


def test_as_json_every_load_and_every_formula(mai: Run, file: str) -> None:
    told = mai("bench", "footprint", file, "--context", "512", "--json").json
    assert [(cell["context"], cell["kv_type"]) for cell in told["cells"]] == [(512, "f16"), (512, "q8_0")]
    assert told["cells"][0]["error"] == pytest.approx(-0.0196, abs=0.001)
    assert set(told["accuracy"]) == {"mai", "naive", "ollama", "llmfit", "gguf-parser"}


@pytest.mark.parametrize("option", [("--kv", "f17"), ("--context", "0"), ("--batch", "many")])
def test_what_makes_no_sense_is_refused(mai: Run, file: str, option: tuple[str, str]) -> None:
    assert mai("bench", "footprint", file, *option).code == 2


def test_without_an_engine_that_measures_it_says_so(mai: Run, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mai_core.cli.invocation import Invocation

    monkeypatch.setattr(Invocation, "registry", lambda *_, **__: PluginRegistry.of())
    told = mai("bench", "footprint", file)
    assert told.code != 0
    assert "no backend here can measure" in told.err


def test_strategies_are_simulated_side_by_side(mai: Run, tmp_path: Path) -> None:
    kept = str(tmp_path / "kept.jsonl")
    asked = ("bench", "simulate", "cost-aware", "smallest", "--machine", "laptop-8gb", "--turns", "30", "--seeds", "2")
    told = mai(*asked, "--jobs", "1", "--resume", kept)
    assert told.code == 0
    head, first, second = told.out.splitlines()[:3]
    assert head.startswith("Strategy")
    assert "beside cost-aware" in head
    assert first.startswith("cost-aware")
    assert "±" in second
    assert "120 turns in 2 worlds" in told.err
    printed = mai(*asked, "--resume", kept, "--json").out
    assert printed == mai(*asked, "--jobs", "2", "--json").out, "the same seed, the same bytes"
    found = json.loads(printed)
    first, second = found["overall"]["standings"]
    assert (first["name"], second["name"]) == ("cost-aware", "smallest")
    assert first["out_of_memory"] == 0
    assert second["beside"]["utility"]["worlds"] == 2
    assert [world["cell"]["seed"] for world in found["worlds"]] == [1, 2]


def test_what_can_be_simulated_is_listed_and_what_cannot_is_named(mai: Run) -> None:
    listed = mai("bench", "simulate", "--list").out
    assert "mac-64gb" in listed
    assert "several-users" in listed
    assert "cost-aware" in listed
    wrong = mai("bench", "simulate", "--machine", "abacus")
    assert wrong.code == 2
    assert "abacus" in wrong.err
    unknown = mai("bench", "simulate", "wishful")
    assert unknown.code != 0
    assert "wishful" in unknown.err
