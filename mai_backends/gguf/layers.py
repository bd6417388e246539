"""What each layer of a model keeps of a conversation, by the rules of llama.cpp.

The rules are those of its ``load_hparams`` of each architecture, of ``llama_hparams::n_embd_r`` and ``n_embd_s``, and
of the caches it then makes (``llama_kv_cache``, ``llama_kv_cache_iswa``, ``llama_memory_recurrent``):
https://github.com/ggml-org/llama.cpp/tree/master/src
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mai_backends.gguf.fields import number_of, numbers_of, text_of
from mai_backends.gguf.types import Value
from mai_core.policy.architecture import LayerGroup

__all__ = ["KNOWN", "MAX_LAYERS", "Layers", "layers_of"]

MAX_LAYERS = 4096
_F32 = 4


@dataclass(frozen=True, slots=True)
class _Sliding:
    """One layer in ``every`` keeps everything, the last of them or the first; the others keep a window.

    ``fixed`` is the window the engine takes, whatever the header says.
    """

    every: int
    full_first: bool = False
    fixed: int = 0


_SLIDING: Mapping[str, _Sliding] = {
    "afmoe": _Sliding(4),
    "cohere2": _Sliding(4),
    "exaone-moe": _Sliding(4, fixed=128),
    "exaone4": _Sliding(4, fixed=4096),
    "gemma2": _Sliding(2),
    "gemma3": _Sliding(6),
    "gemma3n": _Sliding(5),
    "gpt-oss": _Sliding(2),
    "llama4": _Sliding(4, fixed=8192),
    "olmo2": _Sliding(4),
    "plamo3": _Sliding(8),
    "smallthinker": _Sliding(4, full_first=True, fixed=4096),
}
# Their windows are the engine's own, or the default of an early converter that did not write them.
_UNWRITTEN_WINDOW: Mapping[str, int] = {"llama4": 8192, "gemma2": 4096}
# Layers that keep a window by a list in the header alone.
_LISTED = frozenset({"gemma4", "mimo2", "step35", "lfm2", "lfm2moe"})

_RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
_RECURRENT_WITHOUT_HEADS = frozenset(
    {"granitehybrid", "jamba", "kimi-linear", "lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe", "plamo2"}
)
_RECURRENT_AND_ATTENTIVE = frozenset({"falcon-h1"})
_FULL_EVERY_FOURTH = frozenset({"qwen3next", "qwen35", "qwen35moe"})
# Layers of these without heads may be feed-forward only.
_WITH_PLAIN_LAYERS = frozenset({"nemotron_h", "nemotron_h_moe"})
# From this layer on they use the cache of earlier ones.
_CACHED_LAYERS: Mapping[str, int] = {"gemma3n": 20}

# Every token attends to all before it in every layer, whatever window the header may name: mistral's and phi3's are
# not used by the engine.
_NAMES = """
apertus arcee arctic baichuan bailingmoe bailingmoe2 bitnet bloom chameleon chatglm codeshell cogvlm command-r
dbrx deci deepseek deepseek2 dots1 dream ernie4_5 ernie4_5-moe exaone falcon gemma glm4 glm4moe gpt2 gptj
gptneox granite granitemoe grok grovemoe hunyuan-dense hunyuan-moe internlm2 jais llada llada-moe llama
maincoder minicpm minicpm3 minimax-m2 mistral3 mistral4 mpt nemotron olmo olmoe openelm orion pangu-embedded
phi2 phi3 phimoe plamo plm qwen qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3vl qwen3vlmoe refact rnd1 seed_oss
smollm3 stablelm starcoder starcoder2 xverse
"""
_FULL = frozenset(_NAMES.split())
KNOWN = (
    _FULL
    | _SLIDING.keys()
    | _LISTED
    | _RECURRENT
    | _RECURRENT_WITHOUT_HEADS
    | _RECURRENT_AND_ATTENTIVE
    | _FULL_EVERY_FOURTH
)
"""Architectures whose cache these rules describe."""


@dataclass(frozen=True, slots=True)
class Layers:
    """The groups of like layers, and for each layer the index of its group."""

    groups: tuple[LayerGroup, ...]
    order: tuple[int, ...]


def layers_of(metadata: Mapping[str, Value]) -> Layers:
    """The layers of a model. Raises ``ValueError`` for numbers that make no sense.

    An architecture nobody described here keeps everything in every layer that has heads, and a recurrent state in
    every layer where the header tells of one: more than it will take.
    """
    name = text_of(metadata, "general.architecture")
    count = number_of(metadata, f"{name}.block_count", 0)
    if not 0 < count <= MAX_LAYERS:
        raise ValueError(f"{count} layers")
    head_counts = numbers_of(metadata, f"{name}.attention.head_count", 0)
    heads = _spread(numbers_of(metadata, f"{name}.attention.head_count_kv", max(head_counts)), count)
    cached = _cached(metadata, name, count)
    sliding = _sliding(metadata, name, count)
    recurrent = _recurrent(metadata, name, heads)
    full, narrow = _widths(metadata, name, max(head_counts)), _widths(metadata, name, max(head_counts), "_swa")
    window, state = _window(metadata, name), _state(metadata, name, max(head_counts))
    attentive = name not in _RECURRENT
    kinds: dict[tuple[int, int, int, int], int] = {}
    order = []
    for layer in range(count):
        key, value = narrow if sliding[layer] else full
        keeps = attentive and layer < cached and not (recurrent[layer] and name in _FULL_EVERY_FOURTH)
        at_once = heads[layer] if keeps else 0
        kind = (
            key * at_once,
            value * at_once,
            window if sliding[layer] and at_once else 0,
            state if recurrent[layer] else 0,
        )
        order.append(kinds.setdefault(kind, len(kinds)))
    groups = tuple(LayerGroup(order.count(index), *kind) for kind, index in kinds.items())
    return Layers(groups, tuple(order))


def _spread(numbers: tuple[int, ...], count: int) -> tuple[int, ...]:
    """One number a layer: of a list that is too short the last one goes on."""
    return (numbers + numbers[-1:] * count)[:count]


def _cached(metadata: Mapping[str, Value], name: str, count: int) -> int:
    """How many of the first layers have a cache: the last may share it, or foretell tokens, which is not used."""
    shared = number_of(metadata, f"{name}.attention.shared_kv_layers", 0)
    ahead = number_of(metadata, f"{name}.nextn_predict_layers", 0)
    return max(0, min(_CACHED_LAYERS.get(name, count), count - shared - ahead))


def _widths(metadata: Mapping[str, Value], name: str, heads: int, suffix: str = "") -> tuple[int, int]:
    """Elements of a key and of a value of one head; of layers with a window by ``suffix``.

    With multi-head latent attention a token's key is its compressed state and the part that is rotated, one for all
    heads, and values are read out of it: none are kept (``llama_hparams::is_mla``). An index beside the keys, by which
    some pick what to attend to, is kept like a key.
    """
    default = number_of(metadata, f"{name}.embedding_length", 0) // heads if heads else 0
    key = number_of(metadata, f"{name}.attention.key_length", default)
    value = number_of(metadata, f"{name}.attention.value_length", default)
    if suffix:
        key = number_of(metadata, f"{name}.attention.key_length{suffix}", key)
        value = number_of(metadata, f"{name}.attention.value_length{suffix}", value)
    if f"{name}.attention.key_length_mla" in metadata:
        value = 0
    return key + number_of(metadata, f"{name}.attention.indexer.key_length", 0), value


def _window(metadata: Mapping[str, Value], name: str) -> int:
    """Tokens a layer with a window keeps; 0 where no layer has one."""
    told = number_of(metadata, f"{name}.attention.sliding_window", _UNWRITTEN_WINDOW.get(name, 0))
    rule = _SLIDING.get(name)
    return rule.fixed if told and rule is not None and rule.fixed else told


def _sliding(metadata: Mapping[str, Value], name: str, count: int) -> tuple[bool, ...]:
    """Which layers keep a window only; none, the larger footprint, where that is not known for certain."""
    rule = _SLIDING.get(name)
    if not _window(metadata, name) or (rule is None and name not in _LISTED):
        return (False,) * count
    pattern = metadata.get(f"{name}.attention.sliding_window_pattern")
    if isinstance(pattern, tuple):
        return tuple(bool(one) for one in (pattern + (False,) * count)[:count])
    if rule is None:
        return (False,) * count
    every = pattern if isinstance(pattern, int) and 0 < pattern <= count else rule.every
    full = 0 if rule.full_first else every - 1
    return tuple(layer % every != full for layer in range(count))


def _recurrent(metadata: Mapping[str, Value], name: str, heads: tuple[int, ...]) -> tuple[bool, ...]:
    """Which layers keep a state of one size."""
    count = len(heads)
    if name in _FULL_EVERY_FOURTH:
        every = number_of(metadata, f"{name}.full_attention_interval", 4)
        return tuple(every == 0 or (layer + 1) % every != 0 for layer in range(count))
    if name in _RECURRENT_WITHOUT_HEADS:
        plain = (0,) * count
        if name in _WITH_PLAIN_LAYERS:
            plain = _spread(numbers_of(metadata, f"{name}.feed_forward_length", 0), count)
        return tuple(not mine and not width for mine, width in zip(heads, plain, strict=True))
    always = name in _RECURRENT | _RECURRENT_AND_ATTENTIVE or name not in KNOWN
    return (always,) * count


def _state(metadata: Mapping[str, Value], name: str, heads: int) -> int:
    """Bytes of one recurrent layer's state: what its convolution looks back at, and what it has gathered; all f32."""
    embedding = number_of(metadata, f"{name}.embedding_length", 0)
    if head := number_of(metadata, f"{name}.wkv.head_size", 0):
        shifts = number_of(metadata, f"{name}.token_shift_count", 2)
        return _F32 * embedding * (shifts + head)
    if reach := number_of(metadata, f"{name}.shortconv.l_cache", 0):
        return _F32 * embedding * (reach - 1)
    back = max(0, number_of(metadata, f"{name}.ssm.conv_kernel", 0) - 1)
    if head := number_of(metadata, f"{name}.kda.head_dim", 0):
        return _F32 * heads * head * (3 * back + head)
    inner = number_of(metadata, f"{name}.ssm.inner_size", 0)
    size = number_of(metadata, f"{name}.ssm.state_size", 0)
    groups = number_of(metadata, f"{name}.ssm.group_count", 0)
    return _F32 * (back * (inner + 2 * groups * size) + size * inner)
