"""Bytes an engine works in while it reads a batch: activations, masks and what its matrix products need."""

from __future__ import annotations

from mai_core.policy.architecture import Architecture
from mai_core.policy.models import LoadPlan

__all__ = ["CELLS", "buffer_bytes", "compute_bytes", "padded"]

CELLS = 256
"""The engine makes caches, and what it reads of them at once, multiples of so many tokens (llama.cpp: GGML_PAD)."""

F32 = 4
MASK = 2
# A quantised matrix product first rounds its input to 8 bits: q8_K packs 256 elements in 292 bytes.
ROUNDED = 292 / 256


def compute_bytes(model: Architecture, plan: LoadPlan, filled: int) -> int:
    """The compute buffer, and beside it the rounded input of the widest matrix product."""
    widest = max(model.feed_forward, model.embedding, model.attention)
    return buffer_bytes(model, plan, filled) + int(min(plan.batch, max(1, filled)) * ROUNDED * widest)


def buffer_bytes(model: Architecture, plan: LoadPlan, filled: int) -> int:
    """The engine's compute buffer for batches of a conversation of ``filled`` tokens.

    ggml keeps an activation as long as a later step reads it. The peaks of its allocator, as the engine's log told of
    50 headers that were loaded for it with layers as wide as the published ones (llama, gemma2 and 3, gpt-oss, phi3,
    qwen3moe, jamba, falcon and others: exact, or up to 33 % above it, never below): five rows of the embedding, and
    beside them either gate, up and product of the feed-forward (one row without a gate, and the embedding where
    attention runs beside it), or queries, keys and values; with experts those of all a token passes, or twice their
    outputs. Without flash attention every head has scores for the whole context. Masks are f16 of batch by tokens
    read, one more for layers with a window.

    Kinds of layer nobody measured, recurrent ones among them, are taken at five inner widths of twice the embedding,
    and a recurrent layer's state twice, before and after.
    """
    batch = min(plan.batch, max(1, filled))
    read = padded(min(filled, plan.context))
    key = max(group.key for group in model.groups)
    value = max(group.value for group in model.groups)
    mixing = 2 * (model.attention or model.embedding) + key + value
    passing = 3 * model.feed_forward if model.gated else model.feed_forward + model.embedding
    if model.experts_used:
        passing = max(passing, (2 * model.experts_used + 1) * model.embedding)
    if any(group.state for group in model.groups) or not model.known:
        mixing = max(mixing, 10 * model.embedding)
    mask = MASK
    if plan.flash_attention is False:
        mixing += read * (model.heads or max(1, model.embedding // 64))
        mask = F32
    masks = mask * (read + min(read, padded(model.sliding_window + plan.batch) if model.sliding_layers else 0))
    rows = F32 * (5 * model.embedding + max(passing, mixing))
    states = 2 * plan.parallel * max(group.state for group in model.groups)
    return batch * (rows + masks) + states


def padded(tokens: int) -> int:
    """Tokens, rounded up to what the engine counts in."""
    return -(-tokens // CELLS) * CELLS
