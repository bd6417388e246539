"""What the backend asks of a server, what it tells of it, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import replace

import pytest
from openai_serving import QUESTION, backend_for, end_of, reply, text_of

from mai_core.errors import AccessDenied, BackendUnavailable, MaiError, ModelFileError, SettingsError
from mai_core.plugin.interfaces import StatusNote
from mai_core.policy.messages import Message, ReasoningDelta, Role, StopReason, TextDelta, Tool, ToolCall
from mai_core.policy.models import Capability, LoadPlan
from tests.standins.openai import Flavour, OpenAIStandIn, StandInModel
from tests.standins.openai.models import REPLY

SECRET = "sk-not-for-anyone-4711"
PLAN = LoadPlan(context=512)


async def test_the_key_is_sent_and_seen_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MINE", SECRET)
    monkeypatch.setenv("TEAM", f"{SECRET}-team")
    caplog.set_level(logging.DEBUG)
    shown: list[object] = []
    with OpenAIStandIn(key=SECRET) as stand_in:
        backend = backend_for(stand_in.url, api_key="env:MINE", headers={"X-Team": "env:TEAM", "X-Plain": "7"})
        (model,) = await backend.models()
        assert text_of(await reply(backend))
        assert stand_in.headers["authorization"] == f"Bearer {SECRET}"
        assert (stand_in.headers["x-team"], stand_in.headers["x-plain"]) == (f"{SECRET}-team", "7")
        # A server that repeats the key in what it says, while it lives and when it is gone.
        stand_in.refusals = [(500, {}, {"error": {"message": f"cannot do it for {SECRET}"}})]
        with pytest.raises(MaiError) as caught:
            await reply(backend)
        assert "***" in str(caught.value)
        shown += [caught.value, caught.value.detail]
        stand_in.stop()
        for call in (backend.models(), reply(backend)):
            with pytest.raises(MaiError) as caught:
                await call
            shown += [caught.value, caught.value.detail]
        shown += [backend, vars(backend), backend.note, vars(backend)["_options"], model]
        await backend.close()
    said = "\n".join(
        [*(f"{thing!r} {thing}" for thing in shown), caplog.text, *(repr(r.__dict__) for r in caplog.records)]
    )
    assert SECRET not in said
    assert "env:MINE" not in repr(vars(backend)["_options"])


async def test_a_wrong_key_is_told_by_where_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", SECRET)
    with OpenAIStandIn(key="another") as stand_in:
        backend = backend_for(stand_in.url, api_key="env:MINE")
        for call in (backend.models(), reply(backend)):
            with pytest.raises(AccessDenied, match="refuses the key from env:MINE") as caught:
                await call
            assert SECRET not in str(caught.value)
        assert list(await backend.loaded()) == []
        await backend.close()
        keyless = backend_for(stand_in.url)
        with pytest.raises(AccessDenied, match=r"wants a key; .*backends\.mine\.api_key"):
            await keyless.models()
        await keyless.close()


async def test_a_key_that_is_not_there_is_a_fault_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINE", raising=False)
    backend = backend_for("http://127.0.0.1:1", api_key="env:MINE")
    with pytest.raises(SettingsError, match="MINE is not set"):
        await backend.models()
    await backend.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": "127.0.0.1:8080"}, "base_url: should begin with http"),
        ({"base_url": f"http://me:{SECRET}@host/v1"}, "no key or token belongs in the settings"),
        ({"base_url": "http://host/v1?key=x"}, "should end with the path"),
        ({"api_key": SECRET}, "no key or token belongs in the settings"),
        ({"headers": {"authorization": f"Bearer {SECRET}"}}, "no key or token belongs in the settings"),
        ({"base_ulr": "http://host"}, 'did you mean "base_url"'),
        ({"retries": -1}, "retries"),
        ({"continues": "perhaps"}, "continues"),
        ({"models": {"a": {"context": 0}}}, "models.a.context"),
        ({"models": {"a": {"prices": {"in": -1}}}}, "prices.in"),
        ({"deadlines": {"load": 0}}, "deadlines.load"),
    ],
)
def test_settings_that_say_nothing_sensible(options: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        backend_for(str(options.pop("base_url", "http://host/v1")), **options)
    assert said in str(caught.value)
    assert str(caught.value).startswith("backends.mine")
    assert SECRET not in f"{caught.value} {caught.value.__context__}"


async def test_the_key_goes_to_no_other_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", SECRET)
    with OpenAIStandIn() as elsewhere, OpenAIStandIn(key=SECRET) as stand_in:
        stand_in.redirect = f"http://localhost:{elsewhere.port}"
        backend = backend_for(stand_in.url, api_key="env:MINE")
        for call in (backend.models(), reply(backend)):
            with pytest.raises(BackendUnavailable, match="sends callers on"):
                await call
        assert elsewhere.calls == []
        await backend.close()


async def test_no_proxy_on_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        assert await backend.models()
        await backend.close()


async def test_what_is_no_such_server_is_told_so() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<h1>Hi</h1>\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        backend = backend_for(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(BackendUnavailable, match=r"no OpenAI-compatible server: .*check base_url"):
            await backend.models()
        await backend.close()


async def test_a_server_without_a_list_has_what_the_settings_say() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        backend = backend_for(url, models=["gpt"])
        assert [(model.key, model.fault) for model in await backend.models()] == [("gpt", "")]
        await backend.close()
        bare = backend_for(url)
        with pytest.raises(BackendUnavailable, match="no /v1/models"):
            await bare.models()
        await bare.close()


async def test_hosts() -> None:
    here, there = backend_for("http://localhost:1/v1"), backend_for("https://gpu-box:8000/v1")
    assert (here.host, here.remote) == ("local", False)
    assert (there.host, there.remote) == ("gpu-box", True)
    clear = backend_for("http://gpu-box/v1", api_key="env:X")
    assert "unencrypted" in clear.note
    assert "unencrypted" not in there.note
    assert isinstance(clear, StatusNote)


@pytest.mark.parametrize(
    ("flavour", "loaded_before", "context", "price"),
    [
        (Flavour.LLAMA_SERVER, True, 600, 0.0),
        (Flavour.VLLM, True, 600, 0.0),
        (Flavour.LLAMA_SWAP, False, 8192, 0.0),
        (Flavour.LM_STUDIO, False, 4800, 0.0),
        (Flavour.LITELLM, None, 600, 1.0),
        (Flavour.OPENAI, None, 8192, 0.0),
    ],
)
async def test_what_each_kind_of_server_tells(
    flavour: Flavour, loaded_before: bool | None, context: int, price: float
) -> None:
    """None: such a server cannot say what is in memory, so nothing is claimed, also after a load."""
    with OpenAIStandIn([StandInModel(key="team/tiny", context=600)], flavour=flavour) as stand_in:
        backend = backend_for(stand_in.url)
        (model,) = await backend.models()
        assert (model.key, model.max_context, model.price_in) == ("team/tiny", context, price)
        assert bool(await backend.loaded()) is bool(loaded_before)
        asked = len(stand_in.calls)
        loaded = await backend.load(model, PLAN)
        warmed = [body for path, body in stand_in.calls[asked:] if "chat" in path]
        assert len(warmed) == (1 if loaded_before is False else 0)
        assert all(body["max_tokens"] == 1 for body in warmed)
        assert not loaded.owned
        assert [entry.key for entry in await backend.loaded()] == ([] if loaded_before is None else ["team/tiny"])
        if flavour is Flavour.LM_STUDIO:
            assert loaded.plan.context == 600
        if flavour is Flavour.LLAMA_SWAP:
            assert [entry.expires_in for entry in await backend.loaded()] == [300.0]
        await backend.close()


async def test_a_server_that_cannot_tell_what_is_loaded_is_not_asked() -> None:
    with OpenAIStandIn(flavour=Flavour.LITELLM) as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        asked = len(stand_in.calls)
        assert list(await backend.loaded()) == []
        assert len(stand_in.calls) == asked
        await backend.close()


async def test_what_only_embeds_is_left_out() -> None:
    models = [StandInModel(key="talks"), StandInModel(key="embeds", embeds=True)]
    with OpenAIStandIn(models, flavour=Flavour.LM_STUDIO) as stand_in:
        backend = backend_for(stand_in.url)
        assert [model.key for model in await backend.models()] == ["talks"]
        await backend.close()


async def test_a_turn_need_not_wait_to_hear_what_is_loaded() -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        await backend.loaded()
        times = []
        for _ in range(20):
            began = time.perf_counter()
            await backend.loaded()
            times.append(time.perf_counter() - began)
        assert min(times) < 0.01
        await backend.close()


async def test_the_settings_choose_and_correct() -> None:
    models = {"a": {"context": 700, "prices": {"in": 3, "out": 9}, "capabilities": ["tools"]}, "gone": None}
    with OpenAIStandIn([StandInModel(key="a"), StandInModel(key="b")]) as stand_in:
        backend = backend_for(stand_in.url, models=models)
        a, gone = await backend.models()
        assert (a.key, a.max_context, a.price_in, a.price_out) == ("a", 700, 3.0, 9.0)
        assert a.capabilities == {Capability.TOOLS}
        assert gone.fault
        assert (await backend.load(a, PLAN)).plan.context == 700
        for absent in (gone, replace(a, key="b", location="b")):
            with pytest.raises(ModelFileError):
                await backend.load(absent, PLAN)
        assert [entry.key for entry in await backend.loaded()] == ["a"]
        await backend.close()


@pytest.mark.parametrize("flavour", [Flavour.LLAMA_SERVER, Flavour.VLLM])
async def test_thoughts_calls_and_usage_pass_through(flavour: Flavour) -> None:
    model = StandInModel(key="tiny", thoughts="hm hm", calls=(("add", '{"a": 1, "b": [2]}'), ("stop", "{}")))
    with OpenAIStandIn([model], flavour=flavour) as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        tools = (Tool(name="add", description="adds", parameters={"type": "object"}), Tool(name="stop"))
        schema = {"type": "object", "required": ["x"]}
        events = await reply(backend, tools=tools, json_schema=schema, stop=("END",), seed=7)
        assert [event for event in events if isinstance(event, ReasoningDelta)] == [
            ReasoningDelta("hm"),
            ReasoningDelta(" hm"),
        ]
        calls = [event for event in events if isinstance(event, ToolCall)]
        assert [(call.id, call.name, json.loads(call.arguments)) for call in calls] == [
            ("call-0", "add", {"a": 1, "b": [2]}),
            ("call-1", "stop", {}),
        ]
        assert end_of(events).stop is StopReason.TOOLS
        body = stand_in.calls[-1][1]
        assert body["response_format"]["json_schema"]["schema"] == schema
        assert (body["stop"], body["seed"], body["stream_options"]) == (["END"], 7, {"include_usage": True})
        assert [tool["function"]["name"] for tool in body["tools"]] == ["add", "stop"]
        asked = [*QUESTION, Message(role=Role.ASSISTANT, content="", tool_calls=tuple(calls))]
        answered = [*asked, Message(role=Role.TOOL, content="3", tool_call_id="call-0")]
        usage = end_of(await reply(backend, messages=answered)).usage
        assert usage.prompt_tokens > 0
        assert usage.completion_tokens > 0
        assert usage.cached_tokens == (0 if flavour is Flavour.LLAMA_SERVER else 2)
        sent = stand_in.calls[-1][1]["messages"]
        assert sent[1]["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a": 1, "b": [2]}'}
        assert sent[2] == {"role": "tool", "content": "3", "tool_call_id": "call-0"}
        await backend.close()


@pytest.mark.parametrize("flavour", list(Flavour))
@pytest.mark.parametrize("given", ["Once upon a time a dragon", "Once upon a time a dra"])
async def test_a_broken_off_answer_goes_on_without_a_seam(flavour: Flavour, given: str) -> None:
    """Where the server continues it is let to; else it is asked to, begins anew, and what it repeats is dropped."""
    with OpenAIStandIn([StandInModel(key="tiny")], flavour=flavour) as stand_in:
        backend = backend_for(stand_in.url)
        (model,) = await backend.models()
        await backend.load(model, PLAN)
        events = await reply(backend, messages=[*QUESTION, Message(role=Role.ASSISTANT, content=given)], max_tokens=0)
        assert given + text_of(events) == REPLY
        body = stand_in.calls[-1][1]
        natively = flavour in (Flavour.LLAMA_SERVER, Flavour.VLLM)
        assert body["messages"][-1]["role"] == ("assistant" if natively else "user")
        assert ("continue_final_message" in body) is (flavour is Flavour.VLLM)
        await backend.close()


@pytest.mark.parametrize("resident", [False, True])
async def test_what_is_behind_a_router_is_made_use_of(resident: bool) -> None:
    """Its window, its tokenizer and its way to go on, whoever had it loaded."""
    with OpenAIStandIn([StandInModel(key="team/tiny", context=600)], flavour=Flavour.LLAMA_SWAP) as stand_in:
        stand_in.behind = Flavour.LLAMA_SERVER
        stand_in.loaded = {"team/tiny"} if resident else set()
        backend = backend_for(stand_in.url)
        (model,) = await backend.models()
        loaded = (await backend.loaded())[0] if resident else await backend.load(model, PLAN)
        assert loaded.plan.context == 600
        assert list(await backend.count_tokens(loaded.instance, ["one two three"])) == [3]
        given = Message(role=Role.ASSISTANT, content="Once upon")
        await reply(backend, loaded.instance, messages=[*QUESTION, given])
        body = stand_in.calls[-1][1]
        assert body["messages"][-1] == {"role": "assistant", "content": "Once upon"}
        assert body["chat_template_kwargs"] == {"enable_thinking": False}
        await backend.close()


@pytest.mark.parametrize(("continues", "role"), [("yes", "assistant"), ("no", "user")])
async def test_the_settings_know_better_whether_a_server_continues(continues: str, role: str) -> None:
    with OpenAIStandIn(flavour=Flavour.OPENAI) as stand_in:
        backend = backend_for(stand_in.url, continues=continues)
        await reply(backend, messages=[*QUESTION, Message(role=Role.ASSISTANT, content="Once")])
        assert stand_in.calls[-1][1]["messages"][-1]["role"] == role
        await backend.close()


async def test_tokens_are_counted_where_the_server_counts_and_estimated_elsewhere() -> None:
    texts = ["", "one two three", "word " * 50]
    for flavour, exact in ((Flavour.LLAMA_SERVER, True), (Flavour.VLLM, True), (Flavour.OPENAI, False)):
        with OpenAIStandIn(flavour=flavour) as stand_in:
            backend = backend_for(stand_in.url)
            await backend.models()
            none, few, many = await backend.count_tokens("tiny", texts)
            assert none == 0
            assert (few, many) == (3, 51) if exact else (few >= 3 and many >= 50)
            asked = [path for path, _ in stand_in.calls if path.endswith("/tokenize")]
            assert len(asked) == (2 if exact else 0)
            await backend.close()


async def test_a_tokenizer_that_is_not_there_is_looked_for_once() -> None:
    with OpenAIStandIn(flavour=Flavour.LLAMA_SWAP) as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        for _ in range(3):
            assert (await backend.count_tokens("tiny", ["one two"]))[0] >= 2
        assert len([path for path, _ in stand_in.calls if path.endswith("/tokenize")]) == 1
        await backend.close()


async def test_usage_a_server_does_not_tell_is_estimated() -> None:
    with OpenAIStandIn(flavour=Flavour.OPENAI) as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        refusal = {"error": {"message": "Unrecognized request argument supplied: stream_options"}}
        stand_in.refusals = [(400, {}, refusal)]
        usage = end_of(await reply(backend)).usage
        assert usage.prompt_tokens > 0
        assert 0 < usage.completion_tokens <= 12
        assert usage.completion_seconds > 0
        await backend.close()


async def test_connections_are_used_again() -> None:
    with OpenAIStandIn() as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        for _ in range(3):
            await reply(backend)
        assert len(vars(stand_in)["_exchanges"]) == 1
        await backend.close()


async def test_replies_under_way_end_with_close() -> None:
    with OpenAIStandIn([StandInModel(key="tiny", token_seconds=0.05)]) as stand_in:
        backend = backend_for(stand_in.url)
        await backend.models()
        answering = asyncio.ensure_future(reply(backend, max_tokens=0))
        while not stand_in.generating:
            await asyncio.sleep(0.01)
        await backend.close()
        with pytest.raises(MaiError):
            await asyncio.wait_for(answering, 20)
        with pytest.raises(BackendUnavailable, match="closed"):
            await backend.models()


async def test_two_backends_of_one_type_do_not_know_each_other() -> None:
    with OpenAIStandIn() as one, OpenAIStandIn(flavour=Flavour.VLLM) as two:
        backends = [backend_for(one.url), backend_for(two.url)]
        assert [(await b.models())[0].origin for b in backends] == ["llama-server", "vLLM"]
        first = await reply(backends[0])
        assert isinstance(first[0], TextDelta)
        assert not [path for path, _ in two.calls if "chat" in path]
        for backend in backends:
            await backend.close()
