"""The models a person has on a machine: published ones, as their headers describe them and the catalogue rates them."""

from __future__ import annotations

from collections.abc import Sequence

from mai_core.bench.simulator.machines import MachineSpec
from mai_core.policy.catalogue import match
from mai_core.policy.models import Architecture, KnownModel, ModelProfile, Tier, like_layers

__all__ = ["BACKEND", "installed", "published"]

BACKEND = "embedded"
LARGEST_SHARE = 0.9
"""Of a machine's memory, GPUs included: people download what has a chance to run, and now and then a little more."""

SMALLEST, LARGEST = 2, 5

# name, parameters and bytes in 4 bits (10^9), layers, embedding, width of the feed-forward, keys and values of a token
# in one layer, vocabulary, experts and how many a token passes: from config.json and GGUF files as published.
_SHAPES: tuple[tuple[str, str, float, float, int, int, int, int, int, int, int], ...] = (
    ("smollm2-360m-instruct", "llama", 0.36, 0.27, 32, 960, 2560, 640, 49_152, 0, 0),
    ("qwen2.5-0.5b-instruct", "qwen2", 0.49, 0.49, 24, 896, 4864, 256, 151_936, 0, 0),
    ("llama-3.2-1b-instruct", "llama", 1.24, 0.81, 16, 2048, 8192, 1024, 128_256, 0, 0),
    ("qwen2.5-coder-1.5b-instruct", "qwen2", 1.54, 1.12, 28, 1536, 8960, 512, 151_936, 0, 0),
    ("llama-3.2-3b-instruct", "llama", 3.21, 2.02, 28, 3072, 8192, 2048, 128_256, 0, 0),
    ("qwen2.5-7b-instruct", "qwen2", 7.62, 4.68, 28, 3584, 18_944, 1024, 152_064, 0, 0),
    ("qwen2.5-coder-7b-instruct", "qwen2", 7.62, 4.68, 28, 3584, 18_944, 1024, 152_064, 0, 0),
    ("llama-3.1-8b-instruct", "llama", 8.03, 4.92, 32, 4096, 14_336, 2048, 128_256, 0, 0),
    ("qwen2.5-14b-instruct", "qwen2", 14.8, 8.99, 48, 5120, 13_824, 2048, 152_064, 0, 0),
    ("qwen3-30b-a3b", "qwen3moe", 30.5, 18.6, 48, 2048, 6144, 1024, 151_936, 128, 8),
    ("qwen2.5-32b-instruct", "qwen2", 32.8, 19.9, 64, 5120, 27_648, 2048, 152_064, 0, 0),
    ("llama-3.3-70b-instruct", "llama", 70.6, 42.5, 80, 8192, 28_672, 2048, 128_256, 0, 0),
)


def published(known: Sequence[KnownModel]) -> tuple[ModelProfile, ...]:
    """Every model there is in the simulator, smallest first, rated as in the catalogue ``known``."""
    found = []
    for name, family, billions, gigabytes, layers, width, feed, kv, vocabulary, experts, used in _SHAPES:
        entry = match(known, name)
        found.append(
            ModelProfile(
                key=name,
                backend=BACKEND,
                location=name,
                size_bytes=int(gigabytes * 1e9),
                parameters=billions * 1e9,
                quantisation="Q4_K_M",
                max_context=32_768,
                tier=(entry.tier if entry else None) or Tier.of_parameters(billions * 1e9),
                quality=dict(entry.quality) if entry else {},
                architecture=Architecture(
                    name=family,
                    groups=like_layers(layers, kv),
                    embedding=width,
                    feed_forward=feed,
                    vocabulary=vocabulary,
                    experts=experts,
                    experts_used=used,
                ),
            )
        )
    return tuple(found)


def installed(machine: MachineSpec, known: Sequence[KnownModel]) -> tuple[ModelProfile, ...]:
    """What a person keeps on ``machine``: of those that could run there at all two small ones and the five largest."""
    own = sum(gpu.total for gpu in machine.gpus if gpu.kind.value == "device")
    fitting = [m for m in published(known) if m.size_bytes <= LARGEST_SHARE * (machine.ram + own)]
    return tuple(fitting if len(fitting) <= SMALLEST + LARGEST else [*fitting[:SMALLEST], *fitting[-LARGEST:]])
