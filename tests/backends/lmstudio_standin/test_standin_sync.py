"""The real sync SDK on a healthy stand-in."""

from __future__ import annotations

import json
from collections.abc import Callable

import lmstudio
import pytest

from tests.standins.lmstudio import LMStudioStandIn, StandInModel, ToolUse

KEY = "qwen2.5-0.5b-instruct"


def test_the_sdk_finds_it_by_its_greeting(standin: LMStudioStandIn) -> None:
    assert lmstudio.Client.is_valid_api_host(standin.host)


def test_downloaded_models_are_listed_typed(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    listed = {model.model_key: model.info for model in client.list_downloaded_models()}
    assert set(listed) == set(standin.models)
    assert listed["vision-7b"].vision
    assert listed[KEY].max_context_length == 32768
    assert listed[KEY].size_bytes == standin.models[KEY].size_bytes


def test_raw_rows_carry_the_quantisation(client: lmstudio.Client) -> None:
    rows = client.system.remote_call("listDownloadedModels")
    assert {row["quantization"]["name"] for row in rows} == {"Q4_K_M"}


def test_a_load_has_progress_its_own_identifier_context_and_ttl(
    standin: LMStudioStandIn, client: lmstudio.Client
) -> None:
    progress: list[float] = []
    config = lmstudio.LlmLoadModelConfig(context_length=2048, flash_attention=True)
    handle = client.llm.load_new_instance(KEY, "mai-1", ttl=90, config=config, on_load_progress=progress.append)
    instance = standin.instances["mai-1"]
    assert (instance.key, instance.context, instance.ttl) == (KEY, 2048, 90)
    assert instance.config == {"llm.load.llama.flashAttention": True}
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert handle.get_info().context_length == 2048
    assert handle.get_load_config().flash_attention
    (row,) = client.llm.remote_call("listLoaded")
    assert (row["identifier"], row["ttlMs"], row["contextLength"]) == ("mai-1", 90_000, 2048)


def test_another_load_of_a_key_is_another_instance(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    first, second = client.llm.load_new_instance(KEY), client.llm.load_new_instance(KEY)
    assert first.identifier != second.identifier
    second.unload()
    assert list(standin.instances) == [first.identifier]


def test_jit_takes_what_is_loaded_as_it_is_and_its_loads_make_way(
    standin: LMStudioStandIn, client: lmstudio.Client
) -> None:
    client.llm.load_new_instance(KEY, "explicit", config={"contextLength": 1024})
    assert client.llm.model(KEY, config={"contextLength": 9999}).identifier == "explicit"
    assert standin.instances["explicit"].context == 1024
    client.llm.model("vision-7b")
    client.embedding.model("nomic-embed")
    assert set(standin.instances) == {"explicit", "nomic-embed"}


def test_a_streamed_reply_has_fragments_and_true_counts(client: lmstudio.Client) -> None:
    stream = client.llm.model(KEY).respond_stream("hello")
    fragments = [fragment.content for fragment in stream]
    result = stream.result()
    assert "".join(fragments) == result.content
    assert result.stats.stop_reason == "eosFound"
    assert result.stats.predicted_tokens_count == len(fragments)
    assert result.stats.prompt_tokens_count is not None
    assert result.stats.time_to_first_token_sec is not None


def test_prompt_progress_is_told(client: lmstudio.Client) -> None:
    progress: list[float] = []
    client.llm.model(KEY).respond("hello", on_prompt_processing_progress=progress.append)
    assert progress == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_limits_and_stop_strings_end_a_reply(client: lmstudio.Client) -> None:
    model = client.llm.model(KEY)
    short = model.respond("hello", config={"maxTokens": 3})
    assert (short.stats.stop_reason, short.stats.predicted_tokens_count) == ("maxPredictedTokensReached", 3)
    cut = model.respond("hello", config=lmstudio.LlmPredictionConfig(stop_strings=["well"]))
    assert cut.stats.stop_reason == "stopStringFound"
    assert cut.content == "Hello from the stand-in. I am "


def test_the_window_ends_a_reply_where_it_may_not_slide(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    standin.load(KEY, "small", context=24)
    config = lmstudio.LlmPredictionConfig(context_overflow_policy="stopAtLimit")
    full = client.llm.model("small").respond("hello", config=config)
    assert full.stats.stop_reason == "contextLengthReached"
    with pytest.raises(lmstudio.LMStudioServerError, match="context length"):
        client.llm.model("small").respond("hello " * 100, config=config)


def test_a_structured_reply_fits_its_schema(client: lmstudio.Client) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
    result = client.llm.model(KEY).respond("who?", response_format=schema)
    assert result.parsed == {"name": "text", "age": 1}


def test_tools_are_called_and_answered(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    def reply(messages: list[dict[str, object]]) -> str | ToolUse:
        if messages[-1]["role"] == "tool":
            return f"The sum is {messages[-1]['content']}."
        return ToolUse("add", {"a": 2, "b": 40})

    standin.models["caller"] = StandInModel(key="caller", reply=reply)

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    said: list[object] = []
    done = client.llm.model("caller").act("2 + 40?", [add], on_message=said.append)
    assert done.rounds == 2
    assert "The sum is 42." in str(said[-1])


def test_reasoning_is_marked(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    standin.models["thinker"] = StandInModel(key="thinker", reply="<think>hm</think>yes")
    kinds = [(part.reasoning_type, part.content) for part in client.llm.model("thinker").respond_stream("?")]
    assert kinds == [
        ("reasoningStartTag", "<think>"),
        ("reasoning", "hm"),
        ("reasoningEndTag", "</think>"),
        ("none", "yes"),
    ]


def test_tokens_are_counted_and_templates_applied(client: lmstudio.Client) -> None:
    model = client.llm.model(KEY)
    assert model.count_tokens("one two three") == len(model.tokenize("one two three")) == 3
    chat = lmstudio.Chat("be brief")
    chat.add_user_message("hello")
    assert model.apply_prompt_template(chat).endswith("<|im_start|>assistant\n")


def test_an_embedding_is_the_same_for_the_same_text(client: lmstudio.Client) -> None:
    model = client.embedding.model("nomic-embed")
    assert model.embed("one") == model.embed("one") != model.embed("two")


def test_the_estimate_counts_the_window_and_the_guardrail(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    from lmstudio._sdk_models import LlmChannelLoadModelCreationParameter as Parameter

    def ask(context: int) -> dict[str, object]:
        fields = [{"key": "llm.load.contextLength", "value": context}]
        stack = {"layers": [{"layerName": "apiOverride", "config": {"fields": fields}}]}
        asked = Parameter._from_any_api_dict({"modelKey": KEY, "loadConfigStack": stack})
        return dict(client.llm.remote_call("estimateModelUsage", asked))

    small, large = ask(1024), ask(32768)
    assert small["memory"]["totalBytes"] < large["memory"]["totalBytes"]  # type: ignore[index]
    standin.memory = small["memory"]["totalBytes"]  # type: ignore[index]
    assert ask(1024)["passesGuardrails"]
    assert not ask(32768)["passesGuardrails"]


def test_an_unfinished_reply_is_continued(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    chat = lmstudio.Chat()
    chat.add_user_message("hello")
    chat.add_assistant_response("Hello from the")
    assert client.llm.model(KEY).respond(chat).content.startswith(" stand-in.")


def test_idle_models_go_after_their_ttl(
    standin: LMStudioStandIn, client: lmstudio.Client, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    client.llm.load_new_instance(KEY, "short", ttl=1)
    standin.instances["short"].last_used -= 2
    assert client.llm.list_loaded() == []


def test_somebody_else_may_load_and_unload(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    standin.load("vision-7b", "theirs", context=8192)
    assert [each.identifier for each in client.llm.list_loaded()] == ["theirs"]
    standin.instances.pop("theirs")
    assert client.llm.list_loaded() == []


def test_what_was_asked_is_recorded(standin: LMStudioStandIn, client: lmstudio.Client) -> None:
    client.llm.model(KEY).respond(json.dumps("hi"))
    assert [endpoint for endpoint, _ in standin.calls] == ["getOrLoad", "predict"]
