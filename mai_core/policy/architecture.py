"""What a model's header says that its memory and its speed follow from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

__all__ = ["Architecture", "LayerGroup", "WeightBytes", "like_layers"]


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """``count`` layers that keep the same of a conversation.

    key, value  elements a token takes in the cache of one layer; both 0 where a layer keeps none
    window      tokens one layer keeps; 0 for all of them
    state       bytes of one layer's recurrent state, of each conversation and however long that is
    """

    count: int
    key: int = 0
    value: int = 0
    window: int = 0
    state: int = 0

    @property
    def width(self) -> int:
        """Elements a token takes in the cache of one layer, keys and values together."""
        return self.key + self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightBytes:
    """Where the bytes of a model's weights belong.

    input    the token embedding and what is looked up by token: always in main memory
    layers   each repeating layer, from the first to the last
    output   the last norm and the head
    tied     the token embedding is the head as well: a device that has the output holds it a second time
    experts  of the bytes of ``layers``, those of experts a token may pass by
    """

    input: int
    layers: tuple[int, ...]
    output: int
    tied: bool = False
    experts: int = 0

    @property
    def total(self) -> int:
        """Bytes of all tensors, each counted once."""
        return self.input + sum(self.layers) + self.output


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The numbers of a model's header that its memory follows from.

    groups        its layers by what they keep of a conversation
    order         for each layer the index of its group, from the first to the last; empty where that is not known
    attention     elements of all heads' queries for one token; 0 where not known, then as wide as the embedding
    experts       how many a layer has, and ``experts_used`` how many of them a token passes; 0 for a dense model
    feed_forward  the width a token passes through at once: with experts that of those it uses together
    gated         whether its feed-forward multiplies two of that width with each other, as most do
    merges        entries of the tokenizer's merge table
    weights       bytes by place, where the table of tensors was at hand
    repack_bytes  weights the CPU engine copies into a faster layout, where no GPU is used
    known         False for a kind of model whose cache nobody here has described: what it takes is an upper estimate
    """

    name: str
    groups: tuple[LayerGroup, ...]
    embedding: int
    feed_forward: int
    vocabulary: int
    order: tuple[int, ...] = ()
    heads: int = 0
    attention: int = 0
    experts: int = 0
    experts_used: int = 0
    gated: bool = True
    tokenizer: str = "gpt2"
    merges: int = 0
    weights: WeightBytes | None = None
    repack_bytes: int = 0
    known: bool = True

    @cached_property
    def layers(self) -> int:
        """Repeating layers, whatever they keep."""
        return sum(group.count for group in self.groups)

    @cached_property
    def kv_width(self) -> int:
        """Elements a token takes in one layer's cache, in the mean over all layers and rounded up."""
        return -(-sum(group.count * group.width for group in self.groups) // self.layers)

    @cached_property
    def sliding_window(self) -> int:
        """Tokens the layers keep that do not keep all; 0 where all do."""
        return max((group.window for group in self.groups), default=0)

    @cached_property
    def sliding_layers(self) -> int:
        """How many layers keep a window only."""
        return sum(group.count for group in self.groups if group.window)


def like_layers(layers: int, kv_width: int, *, window: int = 0, sliding: int = 0) -> tuple[LayerGroup, ...]:
    """Layers with keys and values of ``kv_width`` elements together, ``sliding`` of them with a window."""
    key = kv_width // 2
    full = LayerGroup(layers - sliding, key, kv_width - key)
    return (full, LayerGroup(sliding, key, kv_width - key, window)) if sliding else (full,)
