"""The check sees a single misspelt field, wherever it is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.standins.lmstudio.exercise import exercise
from tests.standins.lmstudio.frames import Frame, Heard, Listener, check

IN_MODEL_ROWS = (
    *("type", "modelKey", "format", "displayName", "publisher", "path", "sizeBytes", "indexedModelIdentifier"),
    *("deviceIdentifier", "paramsString", "architecture", "quantization", "maxContextLength"),
)
FIELDS = [
    *(f"system.listDownloadedModels.returns[].{name}" for name in (*IN_MODEL_ROWS, "vision", "trainedForToolUse")),
    *(
        f"llm.listLoaded.returns[].{name}"
        for name in (*IN_MODEL_ROWS, "identifier", "instanceReference", "ttlMs", "lastUsedTime", "contextLength")
    ),
    *(f"llm.loadModel.creationParameter.{name}" for name in ("modelKey", "identifier", "ttlMs", "loadConfigStack")),
    *(f"llm.loadModel.toClientPacket.{name}" for name in ("type", "info", "progress", "info.identifier", "info.ttlMs")),
    *(f"llm.getOrLoad.creationParameter.{name}" for name in ("identifier", "loadTtlMs", "loadConfigStack")),
    *(f"llm.getOrLoad.toClientPacket.{name}" for name in ("type", "info", "progress", "identifier", "info.path")),
    *(f"llm.predict.creationParameter.{name}" for name in ("modelSpecifier", "history", "predictionConfigStack")),
    "llm.predict.creationParameter.modelSpecifier.query",
    "llm.predict.creationParameter.modelSpecifier.query.identifier",
    "llm.predict.creationParameter.history.messages",
    "llm.predict.creationParameter.history.messages[].role",
    "llm.predict.creationParameter.history.messages[].content[].text",
    "llm.predict.creationParameter.predictionConfigStack.layers[].layerName",
    "llm.predict.creationParameter.predictionConfigStack.layers[].config.fields[].key",
    *(f"llm.predict.toClientPacket.{name}" for name in ("type", "progress", "details", "fragment", "stats")),
    *(
        f"llm.predict.toClientPacket.fragment.{name}"
        for name in ("content", "tokensCount", "containsDrafted", "reasoningType", "isStructural")
    ),
    "llm.predict.toClientPacket.details.cachedTokenCount",
    *(f"llm.predict.toClientPacket.{name}" for name in ("modelInfo", "loadModelConfig", "predictionConfig")),
    *(
        f"llm.predict.toClientPacket.stats.{name}"
        for name in ("stopReason", "promptTokensCount", "predictedTokensCount", "tokensPerSecond", "totalTimeSec")
    ),
    "llm.predict.toClientPacket.modelInfo.contextLength",
    "llm.predict.toClientPacket.toolCallId",
    "llm.predict.toClientPacket.name",
    "llm.predict.toClientPacket.content",
    *(f"llm.predict.toClientPacket.toolCallRequest.{name}" for name in ("type", "name", "arguments", "id")),
    "llm.predict.toClientPacket.rawContent",
    "llm.predict.toServerPacket.type",
    "llm.predict.error.displayData.code",
    "llm.predict.error.displayData.query",
    "llm.loadModel.error.displayData.path",
    "llm.unloadModel.parameter.identifier",
    "llm.unloadModel.error.title",
    "llm.unloadModel.error.rootTitle",
    "llm.unloadModel.error.displayData.totalLoadedModels",
    "llm.getModelInfo.parameter.throwIfNotFound",
    "llm.getModelInfo.returns.quantization.bits",
    "llm.getLoadConfig.returns.fields[].key",
    "llm.estimateModelUsage.parameter.modelKey",
    "llm.estimateModelUsage.returns.passesGuardrails",
    "llm.estimateModelUsage.returns.memory.totalBytes",
    "llm.getInstanceProcessingState.returns.queued",
    "llm.tokenize.returns.tokens",
    "llm.countTokens.returns.tokenCount",
    "llm.applyPromptTemplate.returns.formatted",
    "embedding.embedString.parameter.modelSpecifier",
    "embedding.embedString.parameter.inputString",
    "embedding.embedString.returns.embedding",
    *(f"system.authentication.{name}" for name in ("authVersion", "clientIdentifier", "clientPasskey")),
]


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return exercise()


def test_everything_the_stand_in_says_keeps_to_the_schema(frames: list[Frame]) -> None:
    assert len(frames) > 150
    assert list(check(frames)) == []


@pytest.mark.parametrize("place", FIELDS)
def test_a_misspelt_field_is_seen(frames: list[Frame], place: str) -> None:
    mutated = _misspelt(frames, place)
    assert mutated is not None, "no frame has this field"
    assert any(check(mutated))


def test_every_field_of_every_frame_is_watched(frames: list[Frame]) -> None:
    """Values of settings are any JSON, and arguments of tools are the model's own: only they are not watched."""
    free = (".fields[].value", ".arguments.")
    unseen = []
    for place in sorted(_places(frames)):
        if any(part in place for part in free):
            continue
        mutated = _misspelt(frames, place)
        assert mutated is not None
        if not any(check(mutated)):
            unseen.append(place)
    assert unseen == []


@pytest.mark.parametrize("value", [True, "many", None, [], 1.5])
def test_a_value_of_another_type_is_seen(frames: list[Frame], value: object) -> None:
    mutated = _changed(frames, "system.listDownloadedModels.returns[].sizeBytes", lambda parent, key: {key: value})
    assert mutated is not None
    assert any(check(mutated))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llm.load.contxtLength", 2048),
        ("llm.load.contextLength", "long"),
        ("llm.load.llama.flashAttention", "auto"),
        ("llm.prediction.temprature", 0.5),
        ("llm.prediction.temperature", "hot"),
        ("llm.prediction.maxPredictedTokens", 100),
    ],
)
def test_a_misspelt_or_mistyped_setting_is_seen(frames: list[Frame], key: str, value: object) -> None:
    place = "llm.predict.creationParameter.predictionConfigStack.layers[].config.fields"
    field = {"key": key, "value": value}
    mutated = _changed(frames, place, lambda parent, name: {name: [field]})
    assert mutated is not None
    assert any(key in violation for violation in check(mutated))


def _misspelt(frames: list[Frame], place: str) -> list[Frame] | None:
    return _changed(frames, place, lambda parent, key: {f"{key}x": parent[key]})


def _changed(frames: list[Frame], place: str, change: Any) -> list[Frame] | None:
    """The frames, with the field of the first frame that has it changed."""
    namespace, rest = place.split(".", 1)
    listener = Listener()
    for number, frame in enumerate(frames):
        message = copy.deepcopy(frame.message)
        heard = listener.hear(replace(frame, message=message))
        prefix = f"{heard.endpoint}.{heard.side}" if heard.endpoint else heard.side
        if heard.namespace != namespace or not f"{rest}.".startswith((f"{prefix}.", f"{prefix}[")):
            continue
        if _change(heard.data, rest[len(prefix) :], change):
            return [*frames[:number], replace(frame, message=message), *frames[number + 1 :]]
    return None


def _change(value: Any, path: str, change: Any) -> bool:
    if path.startswith("[]"):
        return isinstance(value, list) and any(_change(inner, path[2:], change) for inner in value)
    step = path.removeprefix(".")
    key, rest = step, ""
    for position, sign in enumerate(step):
        if sign in ".[":
            key, rest = step[:position], step[position:]
            break
    if not isinstance(value, dict) or key not in value:
        return False
    if rest:
        return _change(value[key], rest, change)
    new = change(value, key)
    del value[key]
    value.update(new)
    return True


def _places(frames: list[Frame]) -> set[str]:
    listener = Listener()
    return {place for frame in frames for place in _in(listener.hear(frame))}


def _in(heard: Heard) -> Iterator[str]:
    prefix = f"{heard.endpoint}.{heard.side}" if heard.endpoint else heard.side
    if heard.side != "message":
        yield from _below(heard.data, f"{heard.namespace}.{prefix}")


def _below(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{place}.{key}"
            yield from _below(inner, f"{place}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _below(inner, f"{place}[]")
