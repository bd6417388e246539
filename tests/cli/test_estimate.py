"""``mai models --estimate`` as a person and a program see it."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from conftest import Run
from rich.console import Console

from mai_core.cli.estimating import appraisal_json, estimate_view
from mai_core.policy.appraisal import Appraisal, Asked, appraise
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import KvType, ModelProfile
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind, ResourceSnapshot
from mai_core.policy.situation import Situation

GIB = 2**30
MODEL = ModelProfile(key="m", backend="b", location="m", size_bytes=4 * GIB, max_context=32768, installed=False)


def told(free: int, asked: Asked | None = None, model: ModelProfile = MODEL) -> Appraisal:
    host = Host(pools=(MemoryPool("ram", PoolKind.RAM, 16 * GIB, free),), cpu=Cpu(4))
    snapshot = ResourceSnapshot((host,), 0.0, 0.0)
    return appraise(model, Situation(models=(), snapshot=snapshot, features=TaskFeatures()), asked)


def shown(appraisal: Appraisal, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(estimate_view([appraisal]))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("width", [80, 120])
def test_what_fits_is_shown_with_its_plan_and_its_error(width: int) -> None:
    text = shown(told(16 * GIB), width)
    for words in ("Fits now  yes", "8k context, f16 cache", "±", "guessed from its size", "mapped 4.0 GiB", "expected"):
        assert " ".join(words.split()) in " ".join(text.split())
    assert all(len(line) <= width for line in text.splitlines())


def test_what_does_not_fit_says_by_how_much_and_what_would_help() -> None:
    text = " ".join(shown(told(4 * GIB, Asked(context=32768, kv_type=KvType.F16, parallel=2))).split())
    assert "GiB short in ram" in text
    for way in ("free that much memory", "shorter context", "quantise the cache", "fewer conversations"):
        assert way in text


def test_a_context_beyond_the_model_is_said() -> None:
    assert "no more than 32768 tokens" in shown(told(16 * GIB, Asked(context=65536)))


def test_a_model_only_its_server_knows_is_left_to_it() -> None:
    assert "its server decides" in shown(told(GIB, model=replace(MODEL, size_bytes=0)))


def test_json_has_all_of_it() -> None:
    found = json.loads(json.dumps(appraisal_json(told(16 * GIB))))
    assert found["verdict"]["fits"] is True
    assert found["estimate"]["basis"] == "guessed"
    assert sum(p["anonymous"] for p in found["parts"]) == found["estimate"]["footprint"]["anonymous"]
    assert found["speed"]["generation_tps"] > 0


def test_a_plan_is_asked_about_only_in_an_estimate(mai: Run) -> None:
    outcome = mai("models", "--context", "4096")
    assert outcome.code == 2
    assert "--estimate" in outcome.err
