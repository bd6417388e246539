"""How others predict a model's memory, to be laid beside Mai's prediction on the same loads.

They are what is publicly known of each as of August 2026, with the full cache of keys and values in every layer. Ollama
adds a surcharge by batch that is not known here; of gguf-parser's graph the largest layer's activations are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mai_core.policy.architecture import Architecture
from mai_core.policy.models import LoadPlan, ModelProfile

__all__ = ["FORMULAS"]

MIB = 1024 * 1024
F16 = 2.0
# Bytes a parameter by the first digit of the quantisation's name (llmfit).
PER_PARAMETER = {"8": 1.05, "6": 0.80, "5": 0.68, "4": 0.58, "3": 0.48, "2": 0.37}


def naive(model: ModelProfile, plan: LoadPlan) -> int:
    """The file and the cache."""
    return model.size_bytes + _cache(model, plan.context, plan.kv_type.bytes_per_element)


def ollama(model: ModelProfile, plan: LoadPlan) -> int:
    """The file and an f16 cache of all conversations, whatever its type and the layers' windows."""
    return model.size_bytes + _cache(model, plan.context * plan.parallel, F16)


def llmfit(model: ModelProfile, plan: LoadPlan) -> int:
    """Parameters by their quantisation, an f16 cache and half a gigabyte."""
    digit = next((letter for letter in model.quantisation if letter.isdigit()), "4")
    weights = model.parameters * PER_PARAMETER.get(digit, 2.0)
    return int(weights + _cache(model, plan.context, F16) + 0.5e9)


def gguf_parser(model: ModelProfile, plan: LoadPlan) -> int:
    """A fixed part, the header with its vocabulary, output, weights, a padded cache with windows, the largest layer."""
    shape = model.architecture
    if shape is None or shape.weights is None:
        return model.size_bytes
    cells = -(-plan.context // 256) * 256
    cache = 0.0
    for group in shape.groups:
        held = min(cells, -(-(group.window + plan.batch) // 256) * 256) if group.window else cells
        cache += group.count * held * plan.parallel * group.width * plan.kv_type.bytes_per_element
    header = model.size_bytes - shape.weights.total
    output = 4 * (shape.embedding + shape.vocabulary) * plan.parallel
    twice = shape.weights.input if shape.weights.tied else 0
    compute = plan.batch * (4 * (shape.embedding + 2 * shape.feed_forward) + 4 * plan.context)
    return int(5 * MIB + header + output + shape.weights.total + twice + cache + compute)


def _cache(model: ModelProfile, tokens: int, element: float) -> int:
    shape: Architecture | None = model.architecture
    return int(shape.layers * shape.kv_width * tokens * element) if shape is not None else 0


FORMULAS: Mapping[str, Callable[[ModelProfile, LoadPlan], int]] = {
    "naive": naive,
    "ollama": ollama,
    "llmfit": llmfit,
    "gguf-parser": gguf_parser,
}
