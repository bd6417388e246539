"""What the prompter tells a transfer, and what it remembers of its plans."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest

from mai_core.plugin.interfaces import ContextTransfer
from mai_core.policy.context import Receipt, SummaryWanted, TransferPlan, TransferRequest
from mai_core.policy.messages import Message, Role, ToolCall
from mai_core.policy.models import LoadedModel, LoadPlan
from mai_core.runtime.prompting import Prompter
from mai_core.runtime.store import Store
from mai_core.settings.model import ContextSettings
from mai_core.testing.backend import FakeBackend, FakeModel
from mai_strategies.transfers.hybrid import Hybrid
from mai_strategies.transfers.recent import Recent
from tests.pictures import image

MODEL = FakeModel.named("small")


@dataclass
class Watching:
    """Sends everything, wants a summary, and keeps the requests it got and what their search found."""

    name: ClassVar[str] = "watching"
    seen: list[TransferRequest] = field(default_factory=list)
    found: list[int] = field(default_factory=list)

    def plan(self, request: TransferRequest) -> TransferPlan:
        self.seen.append(request)
        assert request.search is not None
        self.found = [id for id, _ in request.search(request.messages[-1].content, 5)]
        wanted = SummaryWanted(messages=request.messages, instruction="", tokens=9, covers=request.messages[-1].id)
        return TransferPlan(messages=request.messages, tokens=1, receipt=Receipt(), wanted=wanted)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "mai.db", now=itertools.count(1.0).__next__)
    yield opened
    opened.close()


def said(store: Store, *told: Message) -> str:
    name = store.new_conversation().id
    for message in told:
        store.append(name, message)
    return name


def user(content: str) -> Message:
    return Message(role=Role.USER, content=content)


def reply(content: str, model: str = "small") -> Message:
    return Message(role=Role.ASSISTANT, content=content, model=model)


async def prompted(store: Store, name: str, watching: Watching, keep: bool = True) -> tuple[Prompter, LoadedModel]:
    backend = FakeBackend.of(MODEL)
    instance = await backend.load(MODEL.profile, LoadPlan(context=2048))
    prompter = Prompter(watching, ContextSettings(), store)
    await prompter.prompt(name, store.conversation(name).messages, instance, backend, keep=keep)
    return prompter, instance


async def test_a_transfer_can_search_its_conversation_and_no_other(store: Store) -> None:
    said(store, user("Ilse lives in Bergen."))
    name = said(store, user("Ilse lives in Tromsø."), reply("How nice."), user("Where does Ilse live?"))
    await prompted(store, name, watching := Watching())
    assert watching.found[0] in (1, 3)
    assert set(watching.found) == {1, 3}


async def test_an_index_that_cannot_be_read_costs_no_turn(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    name = said(store, user("Where does Ilse live?"))
    messages = store.conversation(name).messages
    backend = FakeBackend.of(MODEL)
    instance = await backend.load(MODEL.profile, LoadPlan(context=2048))
    prompter = Prompter(watching := Watching(), ContextSettings(), store)
    store._connection.execute("CREATE TABLE words (broken)")
    await prompter.prompt(name, messages, instance, backend)
    assert watching.found == []
    assert "the index cannot be searched" in caplog.text


@pytest.mark.parametrize(
    ("writer", "question", "switched"),
    [
        ("small", "Write a python function.", ""),
        ("large", "Write a python function that sorts.", "code"),
        ("large", "Hello again", "chat"),
        ("", "Hello", ""),
    ],
)
async def test_a_transfer_hears_what_another_model_takes_over_for(
    store: Store, writer: str, question: str, switched: str
) -> None:
    name = said(store, user("Hi"), reply("Hello.", writer), user(question))
    await prompted(store, name, watching := Watching())
    assert watching.seen[0].switched == switched


async def test_the_calls_of_a_message_are_counted(store: Store) -> None:
    call = ToolCall(id="1", name="look_up", arguments="one two three four")
    called = Message(role=Role.ASSISTANT, content="", model="small", tool_calls=(call,))
    name = said(store, user("Hi"), called, Message(role=Role.TOOL, content="nothing", tool_call_id="1"))
    await prompted(store, name, watching := Watching())
    assert watching.seen[0].tokens[2] >= 5


async def test_a_wanted_summary_is_told_once_and_for_the_model_that_read_the_prompt(store: Store) -> None:
    name = said(store, user("Hi"))
    prompter, _ = await prompted(store, name, Watching())
    wanted = prompter.wanted(name, "small")
    assert wanted is not None
    assert wanted.covers == 1
    assert prompter.wanted(name, "small") is None
    prompter, _ = await prompted(store, name, Watching())
    assert prompter.wanted(name, "large") is None


async def test_a_look_ahead_wants_nothing(store: Store) -> None:
    name = said(store, user("Hi"))
    prompter, _ = await prompted(store, name, Watching(), keep=False)
    assert prompter.wanted(name, "small") is None


@pytest.mark.parametrize("transfer", [Hybrid(), Recent()])
@pytest.mark.parametrize("window", [1024, 2048, 8192])
async def test_the_image_of_the_question_is_shown_however_much_is_left_out(
    store: Store, transfer: ContextTransfer, window: int
) -> None:
    old = [
        replace(user(f"{n}: " + "what do you see here? " * 20), images=(image(f"{n}.png"),))
        if n % 2 == 0
        else reply("I see a cat. " * 20)
        for n in range(40)
    ]
    asked = replace(user("and in this one?"), images=(image("now.png", 900, 900),))
    name = said(store, *old, asked)
    backend = FakeBackend.of(MODEL)
    instance = await backend.load(MODEL.profile, LoadPlan(context=window))
    for sees in (True, False):
        prompter = Prompter(transfer, ContextSettings(), store, sees=lambda key, sees=sees: sees)  # type: ignore[misc]
        plan = await prompter.prompt(name, store.conversation(name).messages, instance, backend)
        shown = [one.name for message in plan.messages for one in message.images]
        assert shown[-1:] == ["now.png"] * sees
        assert plan.messages[-1].content == ("and in this one?" if sees else "[image: now.png]\nand in this one?")
        assert all(not message.images or message.role is Role.USER for message in plan.messages)
        told = "in words for want of room" if sees else "in words: small cannot see"
        assert told in plan.receipt.note
        again = await prompter.prompt(name, store.conversation(name).messages, instance, backend)
        assert again.messages == plan.messages, "another attempt at the same turn"
