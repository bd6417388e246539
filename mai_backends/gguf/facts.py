"""What a GGUF header means: the kind of file, and the numbers its memory follows from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from mai_backends.gguf.fields import number_of, text_of
from mai_backends.gguf.layers import KNOWN, layers_of
from mai_backends.gguf.splits import read_files
from mai_backends.gguf.types import GGML_TYPES, Header, Tensor, Value
from mai_backends.gguf.weights import is_gated, repack_bytes, weight_bytes
from mai_core.errors import ModelFileError
from mai_core.policy.architecture import Architecture, LayerGroup, WeightBytes

__all__ = ["FileKind", "ModelFacts", "facts_of", "read_model"]

_DEFAULT_CONTEXT = 2048

# general.file_type: how the file as a whole was quantised (llama.cpp, enum llama_ftype).
_FILE_TYPES: Mapping[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4",
}


# Heads that guess ahead for another model out of its hidden states: alone they write nothing. A whole small model that
# somebody means to draft with is one to chat with as well, and its file does not tell.
_DRAFTS = frozenset({"eagle3"})


class FileKind(StrEnum):
    """What a GGUF file is for."""

    TEXT = "text"
    EMBEDDING = "embedding"
    PROJECTOR = "projector"
    ADAPTER = "adapter"
    DRAFT = "draft"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a model's files say about it. ``architecture`` is None unless the model writes text."""

    kind: FileKind
    name: str = ""
    quantisation: str = ""
    parameters: int = 0
    max_context: int = _DEFAULT_CONTEXT
    chat_template: bool = False
    architecture: Architecture | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values from which ``from_json`` makes an equal object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ModelFacts:
        """Raises ``KeyError``, ``TypeError`` or ``ValueError`` for what ``to_json`` did not write."""
        fields = dict(value)
        if fields.keys() != set(cls.__dataclass_fields__):
            raise ValueError("other fields than these")
        if fields.get("architecture") is not None:
            fields["architecture"] = _remembered(fields["architecture"])
        return cls(**{**fields, "kind": FileKind(fields["kind"])})


def _remembered(value: Mapping[str, Any]) -> Architecture:
    """An architecture from its plain values, in which every tuple has become a list."""
    weights = value["weights"]
    if weights is not None:
        weights = WeightBytes(**{**weights, "layers": tuple(weights["layers"])})
    groups = tuple(LayerGroup(**group) for group in value["groups"])
    return Architecture(**{**value, "groups": groups, "order": tuple(value["order"]), "weights": weights})


def read_model(files: Sequence[Path]) -> ModelFacts:
    """The facts of a model in one or several files, in order. Raises ``ModelFileError`` if any of them is broken."""
    header = read_files(files)
    try:
        return facts_of(header, header.tensors)
    except ValueError as error:
        raise ModelFileError(f"{files[0].name} has {error}", remedy="fetch it again or remove it") from error


def facts_of(header: Header, tensors: Sequence[Tensor]) -> ModelFacts:
    """What a header and the tensors of all its files mean. Raises ``ValueError`` for numbers that make no sense."""
    metadata = header.metadata
    kind = _kind(header)
    return ModelFacts(
        kind=kind,
        name=text_of(metadata, "general.name"),
        quantisation=_quantisation(metadata, tensors),
        parameters=sum(tensor.elements for tensor in tensors),
        max_context=number_of(
            metadata, f"{text_of(metadata, 'general.architecture')}.context_length", _DEFAULT_CONTEXT
        ),
        chat_template="tokenizer.chat_template" in metadata,
        architecture=_architecture(header, tensors) if kind is FileKind.TEXT else None,
    )


def _kind(header: Header) -> FileKind:
    metadata, architecture = header.metadata, text_of(header.metadata, "general.architecture")
    declared = text_of(metadata, "general.type")
    if declared in ("mmproj", "projector") or architecture == "clip":
        return FileKind.PROJECTOR
    if declared == "adapter" or "adapter.type" in metadata:  # early converters wrote the second alone
        return FileKind.ADAPTER
    if architecture in _DRAFTS:
        return FileKind.DRAFT
    # Encoders have no causal attention; decoders made into embedding models say how they pool.
    if metadata.get(f"{architecture}.attention.causal") is False or metadata.get(f"{architecture}.pooling_type", 0):
        return FileKind.EMBEDDING
    if f"{architecture}.block_count" not in metadata or not header.lengths.get("tokenizer.ggml.tokens"):
        return FileKind.OTHER
    return FileKind.TEXT


def _quantisation(metadata: Mapping[str, Value], tensors: Sequence[Tensor]) -> str:
    declared = metadata.get("general.file_type")
    if isinstance(declared, int) and declared in _FILE_TYPES:
        return _FILE_TYPES[declared]
    sizes: Counter[int] = Counter()
    for tensor in tensors:
        sizes[tensor.type] += tensor.size
    most = sizes.most_common(1)
    return GGML_TYPES[most[0][0]].name if most and most[0][0] in GGML_TYPES else ""


def _architecture(header: Header, tensors: Sequence[Tensor]) -> Architecture:
    metadata = header.metadata
    name = text_of(metadata, "general.architecture")
    layers = layers_of(metadata)
    embedding = number_of(metadata, f"{name}.embedding_length", 0)
    heads = number_of(metadata, f"{name}.attention.head_count", 0)
    key_length = number_of(metadata, f"{name}.attention.key_length", embedding // heads if heads else 0)
    experts_used = number_of(metadata, f"{name}.expert_used_count", 0)
    return Architecture(
        name=name,
        groups=layers.groups,
        order=layers.order,
        embedding=embedding,
        feed_forward=max(number_of(metadata, f"{name}.feed_forward_length", 0), _expert_width(metadata, name)),
        vocabulary=header.lengths.get("tokenizer.ggml.tokens", 0),
        heads=heads,
        attention=heads * number_of(metadata, f"{name}.attention.key_length_mla", key_length),
        experts=number_of(metadata, f"{name}.expert_count", 0),
        experts_used=experts_used,
        gated=is_gated(tensors),
        tokenizer=text_of(metadata, "tokenizer.ggml.model") or "gpt2",
        merges=header.lengths.get("tokenizer.ggml.merges", 0),
        weights=weight_bytes(tensors, len(layers.order)),
        repack_bytes=repack_bytes(tensors),
        known=name in KNOWN,
    )


def _expert_width(metadata: Mapping[str, Value], name: str) -> int:
    """The width a token passes through in a layer's experts together, the shared one included."""
    used = number_of(metadata, f"{name}.expert_used_count", 0)
    each = number_of(metadata, f"{name}.expert_feed_forward_length", 0)
    shared = number_of(metadata, f"{name}.expert_shared_feed_forward_length", 0)
    return used * each + (shared or each * number_of(metadata, f"{name}.expert_shared_count", 0))
