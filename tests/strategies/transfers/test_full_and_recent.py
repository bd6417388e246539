"""The two simple transfers."""

from __future__ import annotations

import pytest

from mai_core.policy.messages import Message, Role
from mai_strategies.transfers.full import Full
from mai_strategies.transfers.recent import Recent
from tests.strategies.transfers.conversations import SYSTEM, request, talk


def spoken(n: int) -> tuple[Message, ...]:
    return talk(*(f"{k}: " + "word " * 20 for k in range(n)))


def test_full_sends_everything_that_fits() -> None:
    messages = spoken(9)
    plan = Full().plan(request(messages, 1000))
    assert plan.messages == messages
    assert plan.receipt.note == "everything was sent"
    assert plan.state is None


def test_full_leaves_out_the_oldest_and_says_so() -> None:
    messages = spoken(29)
    plan = Full().plan(request(messages, 500))
    assert plan.messages[0] == messages[0]
    assert plan.messages[1:] == messages[-(len(plan.messages) - 1) :]
    assert plan.receipt.dropped == len(messages) - len(plan.messages) > 0
    assert plan.receipt.tokens + plan.receipt.tokens_saved == sum(-(-len(m.content) // 4) + 8 for m in messages)
    assert f"the {plan.receipt.dropped} oldest were left out" in plan.receipt.note


def test_pinned_message_of_the_person_is_quoted_where_its_surroundings_are_gone() -> None:
    messages = list(spoken(29))
    messages[3] = Message(role=Role.USER, content="Bergen is the port of departure.", id=3, pinned=True)
    plan = Recent().plan(request(messages, 500))
    assert plan.messages[0].content.startswith(SYSTEM)
    assert "Said earlier by the person:\nBergen is the port of departure." in plan.messages[0].content
    assert plan.messages[1].role is Role.USER


def test_recent_fills_the_share_asked_for() -> None:
    messages = spoken(29)
    half, whole = (Recent(share=share).plan(request(messages, 500)) for share in (0.5, 1.0))
    assert half.tokens <= 250 < whole.tokens <= 500


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_recent_refuses_a_senseless_share(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        Recent(share=share)


@pytest.mark.parametrize("transfer", [Full(), Recent()])
def test_giant_question_is_cut_in_the_middle(transfer: Full | Recent) -> None:
    giant = "Please summarise: " + "lorem ipsum " * 5000 + "Thank you!"
    plan = transfer.plan(request(talk("hi", "hello", giant), 300))
    assert plan.messages[0].content == SYSTEM
    assert plan.messages[-1].content.startswith("Please summarise:")
    assert plan.messages[-1].content.endswith("Thank you!")
    assert "tokens left out ...]" in plan.messages[-1].content
    assert 250 < plan.tokens <= 300
    assert "cut in the middle" in plan.receipt.note


@pytest.mark.parametrize("transfer", [Full(), Recent()])
def test_fails_when_instructions_leave_no_room(transfer: Full | Recent) -> None:
    with pytest.raises(ValueError, match="larger context"):
        transfer.plan(request(talk("a question " * 50, system="rule " * 400), 300))


def test_message_that_was_never_answered_joins_the_next() -> None:
    first, second = Message(role=Role.USER, content="one", id=1), Message(role=Role.USER, content="two", id=2)
    plan = Full().plan(request((first, second), 300))
    assert plan.messages == (Message(role=Role.USER, content="one\n\ntwo", id=2),)


def test_greeting_of_the_assistant_is_quoted() -> None:
    messages = (
        Message(role=Role.ASSISTANT, content="Welcome aboard", id=1),
        Message(role=Role.USER, content="hi", id=2),
    )
    plan = Full().plan(request(messages, 300))
    assert [m.role for m in plan.messages] == [Role.SYSTEM, Role.USER]
    assert "Welcome aboard" in plan.messages[0].content
    assert plan.receipt.kept == 2
