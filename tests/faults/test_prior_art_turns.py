"""What users of other systems suffer from in their conversations: each test is named by its place on that list."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from mai_backends.embedded import keeping
from mai_backends.embedded import plugin as embedded
from mai_backends.embedded.backend import EmbeddedBackend
from mai_core import AsyncMai, Paths, PluginRegistry
from mai_core.plugin.ballots import collect_ballots
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.decision import decide
from mai_core.policy.feasibility import Limits, Situation, headroom
from mai_core.policy.features import TaskFeatures
from mai_core.policy.footprint import predict_footprint
from mai_core.policy.messages import GenerationOptions, Message, Role
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind, ResourceSnapshot
from mai_core.policy.selection import Decision, Move
from mai_core.policy.speed import MeasuredSpeed
from mai_core.runtime import keeping as saving
from mai_core.runtime.turn import Loading, Reply, TurnEnd
from mai_core.settings.layers import LoadedSettings
from mai_core.settings.model import BackendSettings, ContextSettings, GenerationSettings, ProbeSettings, Settings
from mai_core.testing.backend import FakeBackend, FakeModel
from mai_core.testing.machine import FakeMachine
from mai_strategies import plugin as strategies
from mai_strategies.greedy_fit import GreedyFit
from mai_strategies.transfers import plugin as transfers
from tests.core.runtime.worlds import Fakes, events_of, model, running

GIB = 2**30
MIB = 2**20
CODE = "Write a Python function that parses a CSV file and returns a list of dicts, with tests."
CHAT = "Hello there, how are you?"


def coder(**script: object) -> FakeModel:
    """A model for code, of little use for anything else."""
    made = model("coder", **script)
    made.profile = replace(made.profile, quality={"default": 0.2, "code": 0.95})
    return made


def calls(backend: FakeBackend, what: str) -> list[str]:
    return [key for done, key in backend.calls if done == what]


async def quiet(mai: AsyncMai) -> None:
    """Until nothing is done in the background."""
    async with asyncio.timeout(10):
        while mai.manager.preparing or mai._background:
            await asyncio.sleep(0.01)


async def test_09_titles_and_summaries_are_left_to_the_model_that_is_there(tmp_path: Path) -> None:
    """open-webui#5299, #6788: naming a chat reloaded the model. Wanted: side tasks load nothing."""
    machine = FakeMachine(total=4 * GIB)
    talker, other = model("talker", 0.6, size_bytes=2 * GIB), coder(size_bytes=2 * GIB)
    talker.profile = replace(talker.profile, max_context=1024)
    async with running(tmp_path, talker, other, machine=machine) as (mai, backend, _):
        await mai.prepare()
        await quiet(mai)
        asked = [f"Remember that item {turn} is blue. " + "Some words about it. " * 40 for turn in range(10)]
        replies = []
        for text in asked:
            replies.append(await mai.process_message(text))
            await quiet(mai)
        assert replies[-1].receipt.tokens_saved > 0, "the conversation was condensed"
        [named] = mai.store.conversations()
        assert named.title.startswith("Remember that item 0 is blue.")
        assert calls(backend, "load") == ["talker"]
        assert set(calls(backend, "generate")) == {"talker"}


async def test_10_a_question_is_judged_without_a_model(tmp_path: Path) -> None:
    """lemonade#2725: a classifier and the model it chose evicted each other. Wanted: judging takes no model at all."""
    machine = FakeMachine(total=4 * GIB)
    models = (model("talker", 0.6, size_bytes=2 * GIB), coder(size_bytes=2 * GIB))
    async with running(tmp_path, *models, machine=machine, preload={"enabled": False}) as (mai, backend, _):
        choices = [(await mai.explain(text)).decision.choice for text in (CHAT, CODE) * 3]
        assert choices == ["talker", "coder"] * 3
        assert backend.calls == []
        await mai.process_message(CODE)
        assert backend.calls == [("load", "coder"), ("generate", "coder")]


def switching(tokens: int) -> Decision:
    """Whether to leave a model that is in use for one a little better, in a conversation of so many tokens."""
    ram = MemoryPool("ram", PoolKind.RAM, 64 * GIB, 48 * GIB)
    mine, theirs = (model(key, quality).profile for key, quality in (("mine", 0.60), ("theirs", 0.65)))
    mine, theirs = (replace(m, max_context=65536) for m in (mine, theirs))
    loaded = LoadedModel(
        instance="i", key="mine", backend="fake", plan=LoadPlan(context=65536), footprint=Footprint(8 * GIB)
    )
    situation = Situation(
        models=(mine, theirs),
        snapshot=ResourceSnapshot((Host(pools=(ram,), cpu=Cpu(8)),), calm_seconds=float("inf")),
        features=TaskFeatures(difficulty=0.5, prompt_tokens=tokens, new_tokens=min(tokens, 40)),
        loaded=(loaded,),
        current="mine",
        speeds={key: MeasuredSpeed(prompt_tps=110.0, generation_tps=20.0) for key in ("mine", "theirs")},
    )
    voters = ((GreedyFit(), 1.0),)
    return decide(
        situation, lambda request: collect_ballots(voters, request, clock=time.perf_counter, budget_seconds=60.0)
    )


def test_11_reading_a_conversation_again_is_part_of_the_price_of_a_switch() -> None:
    """hermes-agent#88087: a switch cost 408 s of prefill at 45k tokens. Wanted: it is priced, and bounded."""
    short, long = switching(60), switching(45_000)
    assert (short.move, short.choice) == (Move.SWITCH, "theirs")
    assert (long.move, long.choice) == (Move.STAY, "mine")
    assert "costs" in long.reason
    candidate = long.candidate("theirs")
    assert candidate is not None
    assert candidate.prefill_seconds < 90.0, "whoever pins it waits no longer than for what its window holds"


async def test_11_what_was_read_once_stays_at_the_beginning_of_every_prompt(tmp_path: Path) -> None:
    """hermes-agent#88087: prompts that changed in front were read again. Wanted: a prefix that is stable to the byte"""
    prompts: list[list[tuple[Role, str]]] = []

    def reply(messages: Sequence[Message]) -> str:
        prompts.append([(m.role, m.content) for m in messages])
        return f"Answer {len(prompts)}."

    async with running(tmp_path, model("one", reply=reply), preload={"enabled": False}) as (mai, _, _):
        read = 0
        for turn in range(8):
            usage = (await mai.process_message(f"Question {turn}: and what of  spaces \n and ümläuts?")).usage
            assert usage.cached_tokens >= read
            read = usage.prompt_tokens
    assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(prompts))


async def test_15_the_model_is_loaded_while_the_person_types(tmp_path: Path) -> None:
    """llama-swap#156: nothing was loaded before a request came. Wanted: what is typed gets its model ready."""
    models = (model("talker", 0.6), coder(load_seconds=2.0))
    async with running(tmp_path, *models) as (mai, backend, _):
        await mai.process_message(CHAT)
        await mai.prepare(CODE)
        await quiet(mai)
        events = await events_of(mai, CODE)
        end = events[-1]
        assert isinstance(end, TurnEnd)
        assert (end.reply.message.model, [e for e in events if isinstance(e, Loading)]) == ("coder", [])
        assert end.reply.first_token_seconds < 2.0
        assert calls(backend, "load") == ["talker", "coder"]


async def test_16_each_question_goes_to_the_right_model_and_the_person_has_the_last_word(tmp_path: Path) -> None:
    """ollama#17795 (and odysseus#4023): no router, or one that is not trusted. Wanted: automatic, visible, pinnable."""
    async with running(tmp_path, model("talker", 0.6), coder(), preload={"enabled": False}) as (mai, _, _):

        async def answered(text: str) -> str:
            return (await mai.process_message(text)).message.model

        assert [await answered(text) for text in (CHAT, CODE, CHAT, CODE)] == ["talker", "coder", "talker", "coder"]
        assert [m.model for m in (await mai.get_conversation_history()).messages if m.model][-2:] == ["talker", "coder"]
        why = (await mai.explain()).decision
        assert (why.choice, bool(why.reason), {c.key for c in why.candidates}) == ("coder", True, {"talker", "coder"})
        assert why.flip is not None
        await mai.switch("talker")
        assert await answered(CODE) == "talker"
        assert (await mai.explain()).decision.reason == "pinned by you"
        await mai.switch(None)
        assert await answered(CODE) == "coder"


STARTER, SECOND = "smollm2-135m-instruct-q4_1", "qwen2.5-coder-0.5b-instruct-q4_k_m"


@asynccontextmanager
async def real(tmp_path: Path, machine: FakeMachine, *files: Path, context: ContextSettings) -> AsyncIterator[AsyncMai]:
    """All of Mai on the real engine with these weights; how much memory there is, is told by ``machine``."""
    weights = tmp_path / "weights"
    weights.mkdir()
    for file in files:
        (weights / file.name).symlink_to(file)
    options = {"type": "embedded", "scan_other_tools": False, "threads": 1, "models_dirs": [weights]}
    settings = Settings(
        backends={"embedded": BackendSettings(**options)},
        probes={"fake": ProbeSettings(type="fake", machine=machine)},  # type: ignore[call-arg]
        context=context,
        generation=GenerationSettings(temperature=0.0, seed=1, max_tokens=6),
    )
    mai = await AsyncMai.open(
        LoadedSettings(settings),
        paths=Paths.of({"MAI_HOME": str(tmp_path)}),
        environment={},
        registry=PluginRegistry.of(Fakes(), strategies, transfers, embedded),
    )
    async with mai:
        yield mai


def leave_room(machine: FakeMachine, mai: AsyncMai, key: str, context: int, *, beside: int) -> None:
    """Let as much be available as a model takes, and ``beside`` bytes more than that."""
    profile = next(m for m in mai._parts.catalog.models if m.key == key)
    wanted = predict_footprint(profile, LoadPlan(context=context)).ram + beside
    reading = machine.reading()
    machine.others = machine.total - wanted - headroom(Host(pools=reading.pools), Limits())


def talk(exchanges: int) -> Iterator[Message]:
    """A conversation of about 40 tokens times ``exchanges``."""
    for n in range(exchanges):
        yield Message(role=Role.USER, content=f"Item {n} of the list costs {n * 37 % 101} coins. Please note it.")
        yield Message(role=Role.ASSISTANT, content=f"I have noted that item {n} costs {n * 37 % 101} coins.")


@pytest.mark.weights
async def test_12_what_was_read_is_kept_when_a_model_makes_way_and_comes_back(
    tmp_path: Path, starter_gguf: Path, second_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama.cpp#28998, #26676, ollama#17247, llama-swap#1064: a swap lost the KV cache. Wanted: kept, and verified."""
    for name, value in {"LEAST_GAIN": float("-inf"), "LONGEST_HOLD_UP": float("inf")}.items():
        monkeypatch.setattr(keeping, name, value)  # whether it is worth it depends on how fast this machine is
    for name in ("SAVE_SECONDS", "RESTORE_SECONDS"):
        monkeypatch.setattr(saving, name, 60.0)
    machine = FakeMachine()
    context = ContextSettings(window=2048, minimum=2048)
    async with real(tmp_path, machine, starter_gguf, second_gguf, context=context) as mai:
        conversation = await mai.new_conversation()
        for message in talk(4):
            mai.store.append(conversation, message)

        async def asked(key: str, question: str) -> Reply:
            await mai.switch(key, here_only=True)
            reply = await mai.process_message(question)
            assert reply.message.model == key
            return reply

        first = await asked(STARTER, "What does item 3 cost?")
        assert first.usage.prompt_tokens > 120
        leave_room(machine, mai, SECOND, 2048, beside=-MIB)
        await asked(SECOND, "And item 4?")
        assert [m.key for m in (await mai.get_status()).loaded] == [SECOND], "the first one had to go"
        back = await asked(STARTER, "And item 5?")
        assert back.usage.cached_tokens >= first.usage.prompt_tokens, "it read again what it had read"


@pytest.mark.weights
async def test_13_what_a_model_is_not_shown_is_told_and_never_cut_off_silently(
    tmp_path: Path, starter_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ollama#14259, #8531: silent truncation, the system prompt first. Wanted: it stays, a receipt says the rest."""
    sent: list[tuple[str, Sequence[Message]]] = []
    generate = EmbeddedBackend.generate

    def listened(
        self: EmbeddedBackend, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncIterator[GenerationEvent]:
        sent.append((instance, messages))
        return generate(self, instance, messages, options)

    monkeypatch.setattr(EmbeddedBackend, "generate", listened)
    machine = FakeMachine()
    system = "You are Quillon, who keeps the list of a market. You are brief."
    async with real(tmp_path, machine, starter_gguf, context=ContextSettings(system_prompt=system, reserve=64)) as mai:
        await mai.models()
        leave_room(machine, mai, STARTER, 1024, beside=MIB)
        conversation = await mai.new_conversation()
        mai.store.append(conversation, Message(role=Role.USER, content="Always name prices in coins."))
        mai.store.append(conversation, Message(role=Role.ASSISTANT, content="I will."))
        for message in talk(60):
            mai.store.append(conversation, message)
        reply = await mai.process_message("What does item 3 cost?")
        [(instance, messages)] = sent
        backend = mai._parts.backends["embedded"]
        [window] = [m.plan.context for m in await backend.loaded()]
        counted = sum(await backend.count_tokens(instance, [m.content for m in messages]))
        assert window == 1024 < 122 * 20, "or this proves nothing"
        assert counted <= reply.usage.prompt_tokens <= window - 64, "the engine read all that was sent"
        assert messages[0].role is Role.SYSTEM
        assert messages[0].content.startswith(system)
        assert messages[-1].content.endswith("What does item 3 cost?")
        assert "Always name prices in coins." in "\n".join(m.content for m in messages)
        assert reply.receipt.summarised + reply.receipt.dropped > 0
        assert (await mai.explain()).receipt == reply.receipt
        machine.others += sum(m.footprint.anonymous for m in await backend.loaded())
        reply = await mai.process_message("Sum these up: " + "12 and 17 and 91 and 5. " * 200)
        assert "larger than the window and was cut" in reply.receipt.note
        assert sent[-1][1][0].content.startswith(system)
