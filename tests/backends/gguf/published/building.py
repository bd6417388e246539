"""A published model's GGUF header: its metadata as llama.cpp's converter writes it, its tensors, no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gguf_bytes import Numbers, Strings, write

from tests.backends.gguf.published.models import Published
from tests.backends.gguf.published.tensors import Row, table


def metadata_of(name: str, model: Published) -> dict[str, object]:
    """Keys as in gguf-py/gguf/constants.py of https://github.com/ggml-org/llama.cpp; as many tokens as there are."""
    config, prefix = model.config, model.architecture
    heads_kv: object = config.kv_heads
    if config.attentive:
        heads_kv = [config.kv_heads if layer in config.attentive else 0 for layer in range(config.layers)]
    told: dict[str, object] = {
        "block_count": config.layers,
        "context_length": model.context,
        "embedding_length": config.width,
        "feed_forward_length": config.feed,
        "attention.head_count": config.heads,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }
    if config.heads:
        told |= {"attention.head_count_kv": heads_kv}
    if config.head:
        told |= {"attention.key_length": config.head, "attention.value_length": config.head}
    if config.experts:
        told |= {"expert_count": config.experts, "expert_feed_forward_length": config.expert_feed}
    if config.inner:
        told |= {"ssm.conv_kernel": 4, "ssm.inner_size": config.inner, "ssm.state_size": config.state}
        told |= {"ssm.time_step_rank": config.steps}
    told |= model.extra
    return {
        "general.architecture": prefix,
        "general.type": "model",
        "general.name": name,
        **{f"{prefix}.{key}": value for key, value in told.items()},
        "tokenizer.ggml.model": model.tokenizer,
        "tokenizer.ggml.tokens": Strings(config.vocabulary),
        "tokenizer.ggml.token_type": Numbers(config.vocabulary, kind=5),
        "tokenizer.chat_template": "{{ messages }}",
    }


def rows_of(model: Published, kind: str = "", kinds: Mapping[str, str] | None = None) -> list[Row]:
    """Its tensors, matrices of ``kind``, or of the kind told in ``kinds`` by name."""
    rows = table(replace(model.config, kind=kind or model.config.kind), model.layer)
    return [(name, shape, (kinds or {}).get(name, one)) for name, shape, one in rows]


def build(folder: Path, name: str, model: Published, *, kind: str = "", kinds: Mapping[str, str] | None = None) -> Path:
    """The file, with a hole for weights."""
    return write(folder / f"{name}.gguf", metadata_of(name, model), rows_of(model, kind, kinds))
