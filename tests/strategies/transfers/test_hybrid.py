"""The transfer in use by default, from the first message to a switch of windows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from mai_core.policy.context import ContextState, TransferPlan
from mai_core.policy.messages import Message, Role
from mai_strategies.transfers.hybrid import Hybrid
from tests.strategies.transfers.conversations import SYSTEM, chatter, count, request, talk

USABLE = 1000


def joined(plan: TransferPlan) -> str:
    return "\n".join(m.content for m in plan.messages)


def test_below_the_trigger_nothing_is_touched() -> None:
    messages = talk(*chatter(10)[:-1])
    plan = Hybrid().plan(request(messages, 4000))
    assert plan.messages is messages
    assert plan.state is None


def test_compresses_in_one_step_to_about_the_target() -> None:
    messages = talk(*chatter(60)[:-1])
    plan = Hybrid().plan(request(messages, USABLE))
    assert 0.35 * USABLE <= plan.tokens <= 0.47 * USABLE
    assert plan.messages[0].content.startswith(f"{SYSTEM}\n\nNotes on ")
    assert plan.messages[1:] == messages[-len(plan.messages) + 1 :]
    receipt = plan.receipt
    assert receipt.kept == len(plan.messages)
    assert receipt.summarised == len(messages) - len(plan.messages)
    assert receipt.dropped == 0
    assert receipt.note.startswith(f"{receipt.kept} of {len(messages)} messages were sent whole, {receipt.summarised} ")


def test_without_instructions_the_notes_become_them() -> None:
    plan = Hybrid().plan(request(talk(*chatter(60)[:-1], system=""), USABLE))
    assert plan.messages[0].role is Role.SYSTEM
    assert plan.messages[0].content.startswith("Notes on ")


def test_last_exchange_stays_whole_even_if_it_is_long() -> None:
    texts = chatter(40)[:-1]
    texts[-3:] = ["tell me all of it", "long " * 400, "and then?"]
    messages = talk(*texts)
    assert Hybrid(recent_share=0.0).plan(request(messages, USABLE)).messages[1:] == messages[-3:]


def test_next_prompts_repeat_the_last_byte_for_byte() -> None:
    texts = chatter(80)
    plan = Hybrid().plan(request(talk(*texts[:99]), USABLE))
    assert plan.state is not None
    for more in (101, 103, 105):
        following = Hybrid().plan(request(talk(*texts[:more]), USABLE, plan.state))
        assert following.messages[: len(plan.messages)] == plan.messages
        answered, asked = following.messages[len(plan.messages) :]
        assert answered == talk(*texts[:more])[-2]
        assert asked.content.endswith(texts[more - 1])
        assert following.state is not None
        assert following.state.summary == plan.state.summary
        plan = following


def test_second_compression_keeps_the_requests_of_the_first() -> None:
    texts = chatter(200)
    texts[4], texts[60] = "From now on, answer in Danish.", "Remember that my name is Ana."
    plan = Hybrid().plan(request(talk(*texts[:99]), USABLE))
    assert "From now on, answer in Danish." in joined(plan)
    later = Hybrid().plan(request(talk(*texts[:199]), USABLE, plan.state))
    assert later.state != plan.state
    first, second = (
        joined(later).index(r) for r in ("From now on, answer in Danish.", "Remember that my name is Ana.")
    )
    assert first < second


def test_requests_outlive_their_messages() -> None:
    """Also when the conversation was shortened behind the transfer's back."""
    texts = chatter(100)
    texts[4] = "From now on, answer in Danish."
    messages = talk(*texts[:99])
    state = Hybrid().plan(request(messages, USABLE)).state
    shortened = (messages[0], *messages[21:], *talk(*texts[:199], system="")[99:])
    assert "From now on, answer in Danish." in joined(Hybrid().plan(request(shortened, USABLE, state)))


def test_a_request_is_noted_once_and_last_said_last() -> None:
    texts = chatter(100)
    texts[4], texts[8], texts[12] = "Always answer in Danish.", "Always answer in Dutch.", "always answer in danish."
    notes = joined(Hybrid().plan(request(talk(*texts[:99]), USABLE)))
    assert notes.lower().count("always answer in danish.") == 1
    assert notes.index("Always answer in Dutch.") < notes.index("always answer in danish.")


def asked_for(number: int) -> TransferPlan:
    """The plan of a conversation with so many standing requests, in a window of a thousand tokens."""
    texts = chatter(number + 10)
    for k in range(0, 2 * number, 2):
        texts[k] = f"Always answer question {k} with the word number{k}, unless it is raining in Bergen."
    return Hybrid().plan(request(talk(*texts[:-1]), USABLE))


def test_requests_take_the_place_of_everything_else_before_one_is_lost() -> None:
    plan = asked_for(38)
    assert all(f"number{k}, unless it is raining in Bergen." in joined(plan) for k in range(0, 76, 2))
    assert "did not fit" not in plan.receipt.note


def test_requests_that_do_not_fit_are_shortened_before_one_is_lost() -> None:
    plan = asked_for(50)
    assert all(f"- Always answer question {k} with" in joined(plan) for k in range(0, 100, 2))
    assert plan.tokens <= USABLE
    assert "did not fit" not in plan.receipt.note


def test_too_many_requests_lose_the_oldest_and_say_so() -> None:
    plan = asked_for(150)
    assert "question 0 " not in joined(plan)
    assert "question 298 " in joined(plan)
    assert "of the oldest requests did not fit" in plan.receipt.note


def test_what_contradicts_an_earlier_request_is_told_after_it() -> None:
    texts = chatter(60)
    texts[4], texts[8], texts[40] = "Call me Ann.", "Always answer in Danish.", "Call me Bob instead."
    texts[60] = "You don't need to answer in Danish any more."
    notes = joined(Hybrid().plan(request(talk(*texts[:119]), USABLE)))
    order = [
        notes.index(text) for text in ("Call me Ann.", "in Danish.", "Call me Bob instead.", "in Danish any more.")
    ]
    assert order == sorted(order)


def test_a_request_is_told_after_an_older_one_it_contradicts_though_that_has_to_do_with_the_question() -> None:
    """Shown whole, the older would be read last: after the notes that hold the newer."""
    texts = chatter(60)
    texts[4] = "Call me Ann when we speak of the zeppelin museum in Friedrichshafen."
    texts[40], texts[118] = "Call me Bob instead.", "What about the zeppelin museum in Friedrichshafen?"
    plan = Hybrid().plan(request(talk(*texts[:119]), 3 * USABLE))
    notes = plan.messages[0].content
    assert not any(m.content.endswith(texts[4]) for m in plan.messages[1:])
    assert notes.index("Call me Ann") < notes.index("Call me Bob")


def test_what_is_taken_back_at_once_is_gone() -> None:
    texts = chatter(100)
    texts[4], texts[6], texts[8] = "Always answer in Danish.", "Oh, and never use tables.", "Forget that, please."
    first = Hybrid().plan(request(talk(*texts[:7]), 60))
    assert "never use tables" in joined(first)
    for known in (None, first.state):
        plan = Hybrid().plan(request(talk(*texts[:119]), USABLE, known))
        assert "- Always answer in Danish." in joined(plan)
        assert "- Oh, and never use tables." not in joined(plan)


def test_larger_window_brings_the_whole_conversation_back() -> None:
    messages = talk(*chatter(60)[:-1])
    state = Hybrid().plan(request(messages, USABLE)).state
    plan = Hybrid().plan(request(messages, 10 * USABLE, state))
    assert plan.messages == messages
    assert plan.state is None


def test_larger_window_shows_more_even_if_not_everything() -> None:
    messages = talk(*chatter(300)[:-1])
    small = Hybrid().plan(request(messages, 800))
    large = Hybrid().plan(request(messages, 6000, small.state))
    assert large.tokens > 3 * small.tokens
    assert Hybrid().plan(request(messages, 6000, large.state)).messages == large.messages


def test_smaller_window_compresses_at_once() -> None:
    messages = talk(*chatter(300)[:-1])
    state = Hybrid().plan(request(messages, 6000)).state
    assert Hybrid().plan(request(messages, 800, state)).tokens <= 0.5 * 800


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_giant_question_is_cut_no_more_than_it_must_be() -> None:
    texts = chatter(20)[:8]
    giant = "Please read this. " + "lorem ipsum dolor " * 3000 + "What does it say?"
    messages = talk(*texts, giant)
    plan = Hybrid().plan(request(messages, USABLE))
    assert 0.97 * USABLE <= plan.tokens <= USABLE, "all of the window is used"
    assert plan.messages[-1].content.startswith("Please read this.")
    assert plan.messages[-1].content.endswith("What does it say?")
    sent = count(plan.messages[-1].content)
    left_out, size = map(number, re.findall(r"[\d,]+(?= of|(?= tokens were))", plan.receipt.note)[-2:])
    assert size == count(giant)
    assert abs(left_out - (size - sent)) <= 20
    assert f"[... {left_out:,} tokens left out ...]" in plan.messages[-1].content
    again = Hybrid().plan(request(messages, USABLE, plan.state))
    assert again.messages == plan.messages, "another attempt at the same turn reads the same"


def test_what_was_asked_for_survives_beside_and_within_a_giant() -> None:
    texts = ["Always answer in French.", "Oui.", *chatter(10)]
    giant = "lorem ipsum dolor " * 3000 + "\n\nAlways cite the page. " + "Lorem ipsum dolor " * 60 + "What is it?"
    plan = Hybrid().plan(request(talk(*texts, giant), 150))
    assert plan.tokens <= 150
    assert "Always answer in French." in joined(plan)
    assert "Always cite the page." in joined(plan)


def test_a_message_that_leaves_no_room_for_what_was_asked_for_gives_way() -> None:
    asked = "From now on, answer in at most two short sentences and never use a table."
    texts = [asked, "So be it.", *chatter(10), "lorem " * 640 + "What is it?"]
    plan = Hybrid().plan(request(talk(*texts), USABLE))
    assert asked in joined(plan)
    assert "tokens left out ...]" in plan.messages[-1].content
    assert plan.tokens >= 0.97 * USABLE


def test_old_giant_is_summarised() -> None:
    giant = "The ledger names Mr Holm in 1931. " + "Nothing else happened on that day. " * 3000
    texts = [giant, "I see.", *chatter(3), "Who is named in the ledger?"]
    assert "Mr Holm" in joined(Hybrid().plan(request(talk(*texts), USABLE)))


def test_large_instructions_do_not_cause_a_compression_at_every_turn() -> None:
    system, texts = "Be precise. " * 180, chatter(60)
    state, steps, before = None, 0, None
    for turn in range(60):
        plan = Hybrid().plan(request(talk(*texts[: 2 * turn + 1], system=system), USABLE, state))
        steps += before is not None and plan.messages[: len(before)] != before
        before, state = plan.messages, plan.state
    assert 1 <= steps <= 30


def test_reply_to_be_continued_stays_with_its_question() -> None:
    messages = talk(*chatter(60))
    plan = Hybrid().plan(request(messages, USABLE))
    assert plan.messages[-2:] == messages[-2:]


def test_answer_that_was_never_given() -> None:
    texts = chatter(60)[:-1]
    messages = (*talk(*texts), Message(role=Role.USER, content="hello?", id=500))
    plan = Hybrid().plan(request(messages, USABLE))
    assert plan.messages[-1].content == f"{texts[-1]}\n\nhello?"
    assert plan.messages[-2].role is Role.ASSISTANT


def test_messages_without_ids_are_planned_without_a_state() -> None:
    messages = tuple(replace(m, id=0) for m in talk(*chatter(60)[:-1]))
    plan = Hybrid().plan(request(messages, USABLE))
    assert plan.state is None
    assert plan.tokens < 0.5 * USABLE


@pytest.mark.parametrize(
    "state",
    [
        ContextState(covered=10**6),
        ContextState(covered=50, kept=(1, 2, 999)),
        ContextState(covered=-1, summary="x" * 9999),
    ],
)
def test_state_of_something_else_does_no_harm(state: ContextState) -> None:
    messages = talk(*chatter(60)[:-1])
    plan = Hybrid().plan(request(messages, USABLE, state))
    assert plan.tokens <= 0.7 * USABLE
    assert plan.messages[-1] == messages[-1]


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_refuses_a_senseless_share(share: float) -> None:
    with pytest.raises(ValueError, match="recent_share"):
        Hybrid(recent_share=share)


def seconds(work: Callable[[], object]) -> float:
    """Processor time of the best of several runs: other processes on the machine do not count."""
    best = float("inf")
    for _ in range(7):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def test_speed() -> None:
    """A thousand messages: aims 50 ms to compress and 1 ms below the trigger, doubled for slow machines."""
    asked = request(talk(*chatter(500)[:-1]), 7664)
    assert len(asked.messages) == 1000
    assert seconds(lambda: Hybrid().plan(asked)) < 0.100
    roomy = replace(asked, budget=replace(asked.budget, window=10**6))
    assert seconds(lambda: Hybrid().plan(roomy)) < 0.002
