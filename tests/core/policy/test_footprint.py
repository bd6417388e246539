"""The prediction of memory, against what the embedded engine was measured to take."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from mai_core.policy.activations import buffer_bytes, compute_bytes
from mai_core.policy.footprint import footprint_parts, kv_cache_bytes, predict_footprint
from mai_core.policy.models import (
    Addition,
    Architecture,
    Footprint,
    KvType,
    LayerGroup,
    LoadPlan,
    ModelProfile,
    like_layers,
)

MIB = 2**20
PROMPT = 1001


def smollm2() -> Architecture:
    return Architecture(name="llama", groups=like_layers(30, 384), embedding=576, feed_forward=1536, vocabulary=49152)


def qwen_half() -> Architecture:
    return Architecture(
        name="qwen2",
        groups=like_layers(24, 256),
        embedding=896,
        feed_forward=4864,
        vocabulary=151936,
        repack_bytes=28 * MIB,
    )


def qwen_one_and_a_half() -> Architecture:
    return Architecture(
        name="qwen2",
        groups=like_layers(28, 512),
        embedding=1536,
        feed_forward=8960,
        vocabulary=151936,
        repack_bytes=597 * MIB,
    )


def gemma() -> Architecture:
    return Architecture(
        name="gemma3",
        groups=like_layers(18, 512, window=512, sliding=15),
        embedding=640,
        feed_forward=2048,
        vocabulary=262144,
        tokenizer="llama",
        repack_bytes=int(12.7 * MIB),
    )


class Run(NamedTuple):
    """One run with the bytes of weights, and the anonymous, file-backed and cache memory it took, all in MiB."""

    shape: Architecture
    context: int
    weights: float
    anonymous: float
    files: float
    cache: float


RUNS = (
    Run(smollm2(), 2048, 92, 98, 112, 45),
    Run(smollm2(), 8192, 92, 233, 112, 180),
    Run(gemma(), 2048, 235, 142, 255, 21),
    Run(qwen_half(), 8192, 463, 242, 483, 96),
    Run(qwen_one_and_a_half(), 2048, 1060, 802, 1080, 56),
    Run(qwen_one_and_a_half(), 32768, 1060, 1642, 1080, 896),
)


def predicted(run: Run) -> Footprint:
    model = ModelProfile(
        key="m", backend="b", location="m", size_bytes=int(run.weights * MIB), architecture=run.shape, max_context=32768
    )
    return predict_footprint(model, LoadPlan(context=run.context), filled=PROMPT)


@pytest.mark.parametrize("run", RUNS, ids=lambda r: f"{r.shape.name}-{r.weights}-{r.context}")
def test_within_five_per_cent_of_what_was_measured(run: Run) -> None:
    found = predicted(run)
    assert found.anonymous / MIB == pytest.approx(run.anonymous, rel=0.05)
    assert found.file_backed / MIB == pytest.approx(run.files, rel=0.05)
    assert found.ram / MIB == pytest.approx(run.anonymous + run.files, rel=0.05)


def test_a_long_sliding_window_is_over_rather_than_underestimated() -> None:
    """The worst cell of the table: 12 % above what was measured."""
    run = Run(gemma(), 32768, 235, 232, 255, 111)
    assert 1.0 <= predicted(run).anonymous / MIB / run.anonymous <= 1.13


@pytest.mark.parametrize("run", RUNS, ids=lambda r: f"{r.shape.name}-{r.weights}-{r.context}")
def test_the_cache_is_exact(run: Run) -> None:
    assert kv_cache_bytes(run.shape, LoadPlan(context=run.context)) / MIB == pytest.approx(run.cache, abs=0.6)


def test_a_quantised_cache_takes_seventeen_thirty_seconds_of_it() -> None:
    whole, packed = (kv_cache_bytes(smollm2(), LoadPlan(context=4096, kv_type=t)) for t in (KvType.F16, KvType.Q8_0))
    assert packed / whole == pytest.approx(17 / 32)


def test_of_a_model_of_unknown_size_nothing_is_claimed() -> None:
    unknown = ModelProfile(key="m", backend="b", location="m")
    assert predict_footprint(unknown, LoadPlan(context=8192)) == Footprint()


def test_an_unreadable_header_is_guessed_with_caution() -> None:
    """Never below what the models of the table took with the same file."""
    for run in RUNS:
        unknown = ModelProfile(key="m", backend="b", location="m", size_bytes=int(run.weights * MIB))
        guess = predict_footprint(unknown, LoadPlan(context=run.context))
        assert guess.ram / MIB >= run.anonymous + run.files


def profile(**facts: object) -> ModelProfile:
    made = {"key": "m", "backend": "b", "location": "m", "size_bytes": 92 * MIB, "architecture": smollm2()}
    return ModelProfile(**(made | facts))  # type: ignore[arg-type]


def test_what_is_loaded_with_a_model_is_a_part_of_its_own() -> None:
    plan = LoadPlan(context=2048)
    plain = predict_footprint(profile(), plan)
    added = profile(additions=(Addition("adapter", 10 * MIB), Addition("projector", 100 * MIB)))
    assert predict_footprint(added, plan).anonymous == plain.anonymous + 135 * MIB
    away = predict_footprint(added, LoadPlan(context=2048, gpu_layers=-1))
    assert away.devices["gpu"] >= 135 * MIB
    drafting = {part.name: part for part in footprint_parts(profile(draft=profile()), plan)}
    process = drafting["process"]
    assert drafting["draft model"].anonymous == plain.anonymous - process.anonymous
    assert drafting["draft model"].file_backed == plain.file_backed - process.file_backed


def test_latent_attention_keeps_no_values_and_a_recurrent_state_grows_with_conversations_alone() -> None:
    latent = replace(smollm2(), groups=(LayerGroup(27, 576, 0),))
    assert kv_cache_bytes(latent, LoadPlan(context=4096)) == 27 * 576 * 2 * 4096
    recurrent = profile(architecture=replace(smollm2(), groups=(LayerGroup(24, state=1_000_000),)))
    for context, parallel in ((1024, 1), (8192, 3)):
        parts = {p.name: p for p in footprint_parts(recurrent, LoadPlan(context=context, parallel=parallel))}
        assert parts["state"].anonymous == 24_000_000 * parallel
        assert parts["cache"].anonymous == 0


def test_cells_are_made_in_steps_and_those_of_a_window_hold_it_and_a_batch() -> None:
    windows = replace(smollm2(), groups=(LayerGroup(1, 50, 50, window=512),))
    cells = {
        context: kv_cache_bytes(windows, LoadPlan(context=context, batch=100, parallel=2)) // 400
        for context in (100, 256, 600, 32768)
    }
    assert cells == {100: 256, 256: 256, 600: 768, 32768: 768}


def test_without_flash_attention_every_head_scores_the_whole_context() -> None:
    shape = replace(smollm2(), heads=9)
    plain, scored = (
        compute_bytes(shape, LoadPlan(context=8192, flash_attention=flash), 8192) for flash in (None, False)
    )
    assert scored - plain > 0.8 * 512 * 8192 * 9 * 4


def test_a_feed_forward_without_a_gate_works_in_less() -> None:
    shape = replace(smollm2(), feed_forward=4096)
    gated, plain = (buffer_bytes(replace(shape, gated=one), LoadPlan(context=512), 512) for one in (True, False))
    assert gated - plain == 512 * 4 * (2 * 4096 - shape.embedding)
