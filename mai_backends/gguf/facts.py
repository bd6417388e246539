"""What a GGUF header means: the kind of file, and the numbers its memory follows from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from mai_backends.gguf.reader import read_header
from mai_backends.gguf.types import GGML_TYPES, Header, Tensor, Value
from mai_core.errors import ModelFileError
from mai_core.policy.models import Architecture

__all__ = ["FileKind", "ModelFacts", "facts_of", "read_model"]

_MAX_LAYERS = 4096
_MAX_NUMBER = 1 << 40
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

# One layer in so many attends to everything, the others to a sliding window (llama.cpp, set_swa_pattern).
_FULL_LAYER_EVERY: Mapping[str, int] = {"gemma2": 2, "gemma3": 6}

# Types the CPU engine was measured to copy into a faster layout; the token embedding is only looked up in, not copied.
_REPACKED = frozenset({"Q4_K"})
_NOT_REPACKED = "token_embd"


class FileKind(StrEnum):
    """What a GGUF file is for."""

    TEXT = "text"
    EMBEDDING = "embedding"
    PROJECTOR = "projector"
    ADAPTER = "adapter"
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
            fields["architecture"] = Architecture(**fields["architecture"])
        return cls(**{**fields, "kind": FileKind(fields["kind"])})


def read_model(files: Sequence[Path]) -> ModelFacts:
    """The facts of a model in one or several files, in order. Raises ``ModelFileError`` if any of them is broken."""
    headers = [read_header(file) for file in files]
    shards = headers[0].metadata.get("split.count", 1)
    if shards not in (0, len(files)):
        raise ModelFileError(
            f"{files[0].name} is one of {shards} files, of which {len(files)} are here", remedy="fetch it again"
        )
    try:
        return facts_of(headers[0], [tensor for header in headers for tensor in header.tensors])
    except ValueError as error:
        raise ModelFileError(f"{files[0].name} has {error}", remedy="fetch it again or remove it") from error


def facts_of(header: Header, tensors: Sequence[Tensor]) -> ModelFacts:
    """What a header and the tensors of all its files mean. Raises ``ValueError`` for numbers that make no sense."""
    metadata = header.metadata
    kind = _kind(header)
    return ModelFacts(
        kind=kind,
        name=_text(metadata, "general.name"),
        quantisation=_quantisation(metadata, tensors),
        parameters=sum(tensor.elements for tensor in tensors),
        max_context=_number(metadata, f"{_text(metadata, 'general.architecture')}.context_length", _DEFAULT_CONTEXT),
        chat_template="tokenizer.chat_template" in metadata,
        architecture=_architecture(header, tensors) if kind is FileKind.TEXT else None,
    )


def _kind(header: Header) -> FileKind:
    metadata, architecture = header.metadata, _text(header.metadata, "general.architecture")
    declared = _text(metadata, "general.type")
    if declared in ("mmproj", "projector") or architecture == "clip":
        return FileKind.PROJECTOR
    if declared == "adapter":
        return FileKind.ADAPTER
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
    name = _text(metadata, "general.architecture")
    layers = _number(metadata, f"{name}.block_count", 0)
    if not 0 < layers <= _MAX_LAYERS:
        raise ValueError(f"{layers} layers")
    embedding = _number(metadata, f"{name}.embedding_length", 0)
    heads = _numbers(metadata, f"{name}.attention.head_count", 0)
    kv_heads = _numbers(metadata, f"{name}.attention.head_count_kv", max(heads))
    head_width = embedding // max(heads) if max(heads) else 0
    key_length = _number(metadata, f"{name}.attention.key_length", head_width)
    value_length = _number(metadata, f"{name}.attention.value_length", head_width)
    window = _number(metadata, f"{name}.attention.sliding_window", 0)
    return Architecture(
        name=name,
        layers=layers,
        embedding=embedding,
        feed_forward=max(_numbers(metadata, f"{name}.feed_forward_length", 0)),
        kv_width=_per_layer([count * (key_length + value_length) for count in kv_heads], layers),
        vocabulary=header.lengths.get("tokenizer.ggml.tokens", 0),
        tokenizer=_text(metadata, "tokenizer.ggml.model") or "gpt2",
        sliding_window=window,
        sliding_layers=_sliding_layers(metadata, name, layers) if window else 0,
        repack_bytes=sum(
            tensor.size
            for tensor in tensors
            if tensor.type in GGML_TYPES
            and GGML_TYPES[tensor.type].name in _REPACKED
            and not tensor.name.startswith(_NOT_REPACKED)
        ),
    )


def _per_layer(numbers: Sequence[int], layers: int) -> int:
    """The mean over the layers, rounded up: times the layers it is never less than the sum."""
    return numbers[0] if len(numbers) == 1 else -(-sum(numbers) // layers)


def _sliding_layers(metadata: Mapping[str, Value], name: str, layers: int) -> int:
    """How many layers keep a window only; 0, the larger footprint, where that is not known for certain."""
    pattern = metadata.get(f"{name}.attention.sliding_window_pattern")
    if isinstance(pattern, tuple):
        return sum(bool(sliding) for sliding in pattern[:layers])
    every = _FULL_LAYER_EVERY.get(name)
    return layers - layers // every if every else 0


def _text(metadata: Mapping[str, Value], key: str) -> str:
    value = metadata.get(key, "")
    return value if isinstance(value, str) else ""


def _number(metadata: Mapping[str, Value], key: str, default: int) -> int:
    return max(_numbers(metadata, key, default))


def _numbers(metadata: Mapping[str, Value], key: str, default: int) -> tuple[int, ...]:
    """A number, or one for each layer; never empty, never negative."""
    value = metadata.get(key, default)
    written = value if isinstance(value, tuple) and value else (value,)
    numbers = tuple(number for number in written if isinstance(number, int) and 0 <= number <= _MAX_NUMBER)
    if len(numbers) != len(written):
        raise ValueError(f"no usable number in {key[:64]!r}")
    return numbers
