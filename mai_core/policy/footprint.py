"""Bytes a model takes, by part and by pool, for one way of loading it.

The formulas are llama.cpp's own where its source gives them, and fitted to its log and to the memory of its process
where it does not; unless told otherwise, for a conversation that fills its context.

What is assumed: weights are mapped, the cache is where its layers are, flash attention is on, one batch is computed at
a time. The engine: llama.cpp as of xllamacpp 2026.10, https://github.com/ggml-org/llama.cpp/tree/master/src
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from mai_core.policy.activations import compute_bytes, padded
from mai_core.policy.architecture import Architecture, LayerGroup
from mai_core.policy.models import Addition, Footprint, LoadPlan, ModelProfile
from mai_core.policy.remembering import remembered

__all__ = ["DEVICE", "Part", "footprint_parts", "kv_cache_bytes", "predict_footprint"]

MIB = 1024 * 1024
DEVICE = "gpu"
# A worker with the engine and no model, in private and in mapped memory (CPython 3.11, xllamacpp 2026.10, x86-64).
PROCESS_ANONYMOUS = 13 * MIB
PROCESS_FILES = 20 * MIB
# The tokenizer's tables by entry of the vocabulary and by merge, and the tables of Unicode that merging needs. Fitted
# to eight vocabularies of 2,000 to 250,000 entries that were built for it.
TOKEN = 222
MERGE = 205
MERGING = 2 * MIB
# Nothing is known of the header: the cache of a dense 8 B model without grouped queries, scaled by the root of size.
UNKNOWN_KV_PER_TOKEN = 256 * 1024
# One logit, and the candidates a sampler sorts, for every entry of the vocabulary.
OUTPUT = 4 + 12
# States of windows and of recurrent layers kept for going back: so many at most, each so many tokens after the last.
CHECKPOINTS = 4
CHECKPOINT_SPACING = 8192
# Ways of loading whose footprints are remembered: those of a hundred models beside GPUs that are filled layer by layer.
REMEMBERED = 16384


@dataclass(frozen=True, slots=True)
class Part:
    """What one thing takes, as its ``name`` tells: ``process``, ``vocabulary``, ``weights``, ``repacked weights``,
    ``cache``, ``state``, ``checkpoints``, ``compute``, ``output``, ``projector``, ``adapter``, ``draft model``."""

    name: str
    anonymous: int = 0
    file_backed: int = 0
    devices: Mapping[str, int] = field(default_factory=dict)


def kv_cache_bytes(model: Architecture, plan: LoadPlan) -> int:
    """Keys and values of all layers and conversations.

    A conversation has cells for its context; of layers with a window for that and one batch, both padded
    (llama_kv_cache_iswa: ``GGML_PAD(min(n_ctx, n_swa + n_ubatch), 256)``).
    """
    return int(sum(group.count * _cache_of_layer(group, plan) for group in model.groups))


def _cache_of_layer(group: LayerGroup, plan: LoadPlan) -> float:
    cells = padded(plan.context)
    if group.window:
        cells = min(cells, padded(group.window + plan.batch))
    return cells * plan.parallel * group.width * plan.kv_type.bytes_per_element


def predict_footprint(
    model: ModelProfile, plan: LoadPlan, *, device: str | Mapping[str, float] = DEVICE, filled: int | None = None
) -> Footprint:
    """What loading ``model`` by ``plan`` takes: the sum of ``footprint_parts``.

    Reckoned once for each way of loading: whoever looks for the plan that fits asks for the same ones turn after turn.
    """
    return _predicted(model, plan, device if isinstance(device, str) else tuple(device.items()), filled)


@remembered(REMEMBERED)
def _predicted(
    model: ModelProfile, plan: LoadPlan, device: str | tuple[tuple[str, float], ...], filled: int | None
) -> Footprint:
    shares = device if isinstance(device, str) else dict(device)
    return _summed(footprint_parts(model, plan, device=shares, filled=filled))


def _summed(parts: Iterable[Part]) -> Footprint:
    anonymous = mapped = 0
    devices: dict[str, int] = {}
    for part in parts:
        anonymous += part.anonymous
        mapped += part.file_backed
        for name, size in part.devices.items():
            devices[name] = devices.get(name, 0) + size
    return Footprint(anonymous, mapped, devices)


def footprint_parts(
    model: ModelProfile, plan: LoadPlan, *, device: str | Mapping[str, float] = DEVICE, filled: int | None = None
) -> tuple[Part, ...]:
    """What loading ``model`` by ``plan`` takes, thing by thing; the parts add up to the footprint.

    ``device`` names the GPU that gets the layers the plan puts on one, or several GPUs with the share each gets. A plan
    that leaves the layers to the backend is judged as if there were no device. ``filled`` is the length in tokens of
    the longest prompt so far, for what is taken by then; without it, what will be taken once the context is full. A
    model without a readable header gets a cautious guess from its size; nothing is said of one of unknown size.
    """
    if not model.size_bytes:
        return ()
    shape = model.architecture
    if shape is None:
        return _guessed(model, plan, _shares(device))
    filled = plan.context if filled is None else min(filled, plan.context)
    placed = _Placed.of(shape, plan, _shares(device))
    compute = compute_bytes(shape, plan, filled)
    parts = [
        Part("process", PROCESS_ANONYMOUS, PROCESS_FILES),
        Part("vocabulary", _vocabulary(shape)),
        _weights(model, shape, placed),
        _kept("cache", shape, placed, [_cache_of_layer(group, plan) for group in shape.groups]),
        Part("compute", compute, devices=dict.fromkeys(placed.ranges, compute)),
        Part("output", OUTPUT * shape.vocabulary * plan.parallel),
    ]
    if any(group.state for group in shape.groups):
        states = [float(group.state * plan.parallel) for group in shape.groups]
        parts.append(_kept("state", shape, placed, states))
    if again := _checkpoints(shape, plan, filled):
        parts.append(Part("checkpoints", again))
    if shape.repack_bytes and not placed.ranges:
        parts.append(Part("repacked weights", shape.repack_bytes))
    parts += [_added(addition, placed) for addition in model.additions]
    if model.draft is not None:
        parts.append(_drafting(model.draft, plan, device, filled))
    return tuple(parts)


def _added(addition: Addition, placed: _Placed) -> Part:
    """A file that is copied, not mapped: to the first device there is (clip_model_loader), adapters like the layers.

    What a projector works in is known to the engine alone once it sees an image: a quarter of its weights is assumed.
    """
    size = addition.size_bytes + (addition.size_bytes // 4 if addition.name == "projector" else 0)
    device = next(iter(placed.ranges), None)
    return Part(addition.name, size) if device is None else Part(addition.name, devices={device: size})


def _drafting(draft: ModelProfile, plan: LoadPlan, device: str | Mapping[str, float], filled: int) -> Part:
    """A second model in the same process, with a cache for the same tokens and all or none of its layers on devices."""
    plan = replace(plan, gpu_layers=-1 if plan.gpu_layers else plan.gpu_layers)
    parts = footprint_parts(replace(draft, draft=None), plan, device=device, filled=filled)
    taken = _summed(part for part in parts if part.name != "process")
    return Part("draft model", taken.anonymous, taken.file_backed, taken.devices)


def _vocabulary(shape: Architecture) -> int:
    """The tables of the tokenizer (llama_vocab): texts with their numbers both ways, and merges by their two texts."""
    merging = shape.tokenizer == "gpt2"
    merges = shape.merges or (shape.vocabulary if merging else 0)
    return TOKEN * shape.vocabulary + MERGE * merges + (MERGING if merging else 0)


def _checkpoints(shape: Architecture, plan: LoadPlan, filled: int) -> int:
    """What the server copies to go back to, where the cache itself forgets (server_prompt_checkpoint), in main memory:
    one at the end of a prompt and one a batch before, others in a long prompt."""
    states = sum(group.count * group.state for group in shape.groups)
    windows = [group for group in shape.groups if group.window]
    if not states and not windows:
        return 0
    early = max(0, filled - plan.batch)
    between = min(CHECKPOINTS - 2, filled // CHECKPOINT_SPACING)
    copies = (1 if filled else 0) + (1 if early else 0) + between
    size = float(copies * states)
    for group in windows:
        cells = min(filled, group.window) + min(early, group.window) + between * group.window
        size += group.count * cells * group.width * plan.kv_type.bytes_per_element
    return int(size * plan.parallel)


@dataclass(frozen=True, slots=True)
class _Placed:
    """Which layers each device holds, as a range of their numbers; that of the output is one past the last layer.

    The engine gives devices the output and the last layers, and several devices each its share of them in a row
    (llama_model::load_tensors: ``i_gpu_start = n_layer + 1 - n_gpu_layers``).
    """

    ranges: Mapping[str, range]

    @classmethod
    def of(cls, shape: Architecture, plan: LoadPlan, shares: Mapping[str, float]) -> _Placed:
        end = shape.layers + 1
        wanted = plan.gpu_layers or 0
        count = end if wanted < 0 else min(wanted, end)
        ranges, start, gone = {}, end - count, 0.0
        whole = sum(shares.values())
        for name, share in shares.items():
            gone += share
            stop = end - count + round(count * gone / whole)
            if stop > start:
                ranges[name] = range(start, stop)
            start = stop
        return cls(ranges)


def _shares(device: str | Mapping[str, float]) -> Mapping[str, float]:
    return {device: 1.0} if isinstance(device, str) else device


def _kept(name: str, shape: Architecture, placed: _Placed, of_group: list[float]) -> Part:
    """What layers keep of conversations, there where they are."""
    whole = sum(group.count * size for group, size in zip(shape.groups, of_group, strict=True))
    devices = {}
    for device, layers in placed.ranges.items():
        held = [layer for layer in layers if layer < shape.layers]
        if shape.order:
            devices[device] = int(sum(of_group[shape.order[layer]] for layer in held))
        else:
            devices[device] = int(whole * len(held) / shape.layers)
    return Part(name, int(whole) - sum(devices.values()), devices=devices)


def _weights(model: ModelProfile, shape: Architecture, placed: _Placed) -> Part:
    """Weights are mapped from their file, and copied to devices: what is there needs no main memory any more."""
    table = shape.weights
    if table is None:
        each = model.size_bytes / (shape.layers + 1)
        away = {device: int(each * len(layers)) for device, layers in placed.ranges.items()}
        return Part("weights", 0, model.size_bytes - sum(away.values()), away)
    away, twice = {}, 0
    for device, layers in placed.ranges.items():
        away[device] = sum(table.layers[layer] for layer in layers if layer < shape.layers)
        if shape.layers in layers:
            twice = table.input if table.tied else 0
            away[device] += table.output + twice
    return Part("weights", 0, table.total + twice - sum(away.values()), away)


def _guessed(model: ModelProfile, plan: LoadPlan, shares: Mapping[str, float]) -> tuple[Part, ...]:
    """Of a model without a readable header: all of it on a device, or nothing."""
    scale = max(1.0, (model.size_bytes / 5e9) ** 0.5)
    cache = int(UNKNOWN_KV_PER_TOKEN * scale * plan.context * plan.parallel)
    compute, copied = 128 * MIB, model.size_bytes // 5
    if plan.gpu_layers is None or plan.gpu_layers >= 0:
        return (
            Part("weights", 0, model.size_bytes),
            Part("repacked weights", copied),
            Part("cache", cache),
            Part("compute", compute),
        )
    whole = sum(shares.values())
    return (
        Part("weights", devices={name: int(model.size_bytes * share / whole) for name, share in shares.items()}),
        Part("cache", devices={name: int(cache * share / whole) for name, share in shares.items()}),
        Part("compute", compute, devices=dict.fromkeys(shares, compute)),
    )
