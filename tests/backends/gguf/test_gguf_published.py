"""Headers of models that cannot be loaded here, against what was published about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mai_backends.gguf.facts import FileKind, read_model
from mai_backends.gguf.reader import read_header
from mai_core.policy.footprint import footprint_parts
from mai_core.policy.models import KvType, LoadPlan, ModelProfile
from tests.backends.gguf.published.building import build, rows_of
from tests.backends.gguf.published.models import PUBLISHED, Cache, Weights

FIGURES = [(name, figure) for name, model in PUBLISHED.items() for figure in model.figures]
CACHES = [pytest.param(name, one, id=f"{name}-{one.context}") for name, one in FIGURES if isinstance(one, Cache)]
WEIGHTS = [pytest.param(name, one, id=f"{name}-{one.kind}") for name, one in FIGURES if isinstance(one, Weights)]


def test_there_are_many_of_many_kinds() -> None:
    assert len(PUBLISHED) >= 30
    assert len({model.architecture for model in PUBLISHED.values()}) >= 20
    assert all(model.source for model in PUBLISHED.values())
    assert all(figure.source for _, figure in FIGURES)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_header_is_read_back(name: str, tmp_path: Path) -> None:
    """The reader's own doing: every tensor and number that was written, and as many parameters as were published."""
    model = PUBLISHED[name]
    header = read_header(build(tmp_path, name, model))
    rows = rows_of(model)
    assert [(tensor.name, tensor.shape) for tensor in header.tensors] == [(row[0], row[1]) for row in rows]
    assert len(rows) == (model.tensors or len(rows))
    assert sum(tensor.elements for tensor in header.tensors) == pytest.approx(model.parameters, rel=0, abs=model.digit)
    assert header.metadata[f"{model.architecture}.block_count"] == model.config.layers
    assert header.lengths["tokenizer.ggml.tokens"] == model.config.vocabulary


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_is_a_model_one_can_chat_with_of_a_kind_that_is_known(name: str, tmp_path: Path) -> None:
    model = PUBLISHED[name]
    facts = read_model([build(tmp_path, name, model)])
    assert facts.kind is FileKind.TEXT
    assert facts.max_context == model.context
    assert facts.architecture is not None
    assert facts.architecture.known
    assert facts.architecture.layers == model.config.layers
    assert facts.architecture.vocabulary == model.config.vocabulary


@pytest.mark.parametrize(("name", "weights"), WEIGHTS)
def test_weights_are_those_published(name: str, weights: Weights, tmp_path: Path) -> None:
    file = build(tmp_path, name, PUBLISHED[name], kind=weights.kind, kinds=weights.kinds)
    shape = read_model([file]).architecture
    assert shape is not None
    assert shape.weights is not None
    assert shape.weights.total == pytest.approx(weights.size, rel=0, abs=weights.digit)
    # Between the tensors lies nothing but what aligns them.
    assert 0 <= read_header(file).size - read_header(file).weights_at - shape.weights.total < 32 * 1100


@pytest.mark.parametrize(("name", "cache"), CACHES)
def test_the_cache_is_as_large_as_published(name: str, cache: Cache, tmp_path: Path) -> None:
    """Keys, values and recurrent states of one conversation, as the product predicts them."""
    file = build(tmp_path, name, PUBLISHED[name])
    model = ModelProfile(
        key=name,
        backend="test",
        location=str(file),
        size_bytes=read_header(file).size,
        architecture=read_model([file]).architecture,
    )
    plan = LoadPlan(context=cache.context, kv_type=KvType(cache.kv_type), batch=cache.batch)
    kept = sum(part.anonymous for part in footprint_parts(model, plan) if part.name in ("cache", "state"))
    assert kept / (1 << 20) == pytest.approx(cache.mib, rel=0, abs=cache.digit)
