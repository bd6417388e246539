"""What comes back when it is asked for: recall before the question, whole exchanges of the middle, digests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mai_core.plugin.interfaces import ContextTransfer
from mai_core.policy.context import ContextState, TransferPlan, TransferRequest
from mai_core.policy.messages import Message, Role, ToolCall
from mai_strategies.transfers.hits import find
from mai_strategies.transfers.hybrid import Hybrid
from mai_strategies.transfers.prompt import Conversation
from mai_strategies.transfers.recall import HEADING
from mai_strategies.transfers.relevance import Relevance
from tests.strategies.transfers.conversations import chatter, count, request, talk

USABLE = 1600
both = pytest.mark.parametrize("transfer", [Hybrid(), Relevance()], ids=["hybrid", "relevance"])


def joined(plan: TransferPlan) -> str:
    return "\n".join(m.content for m in plan.messages)


def after(transfer: ContextTransfer, texts: list[str], question: str, **more: object) -> TransferPlan:
    """The plan of a turn that asks ``question``, one turn after a compression that did not know it would be asked."""
    first = transfer.plan(request(talk(*texts), USABLE))
    assert first.state is not None
    asked = request(talk(*texts, "I see.", question), USABLE, first.state)
    plan = transfer.plan(replace(asked, **more))  # type: ignore[arg-type]
    assert plan.messages[: len(first.messages)] == first.messages
    return plan


def long_ago(*told: str) -> list[str]:
    """A long conversation in which these were said, with other things between."""
    texts = chatter(160)[:-1]
    for k, text in enumerate(told):
        texts[20 + 40 * k] = text
    return texts


@both
def test_what_was_left_out_comes_back_before_the_question(transfer: ContextTransfer) -> None:
    plan = after(transfer, long_ago("Ilse lives in Tromsø with two cats."), "Where does Ilse live, do you remember?")
    last = plan.messages[-1].content
    assert last.startswith(HEADING)
    assert "- User: Ilse lives in Tromsø with two cats." in last
    assert last.endswith("\n\nWhere does Ilse live, do you remember?")
    assert "quoted for this question" in plan.receipt.note


@both
def test_what_came_back_stays(transfer: ContextTransfer) -> None:
    texts = long_ago("Ilse lives in Tromsø with two cats.")
    plan = after(transfer, texts, "Where does Ilse live?")
    further = talk(*texts, "I see.", "Where does Ilse live?", "In Tromsø.", "And the zebra?")
    following = transfer.plan(request(further, USABLE, plan.state))
    assert following.messages[: len(plan.messages)] == plan.messages
    assert "quoted for this question" not in following.receipt.note


@both
def test_of_what_was_corrected_the_newest_comes_last(transfer: ContextTransfer) -> None:
    texts = long_ago("The puppy is to be called Waldo.", "The puppy is to be called Pickle after all.")
    shown = joined(after(transfer, texts, "What is the puppy to be called?"))
    assert shown.rindex("Pickle") > shown.rfind("Waldo")


@both
def test_a_correction_in_plain_sight_is_said_again_after_what_it_corrects(transfer: ContextTransfer) -> None:
    texts = long_ago("The puppy is to be called Waldo.")
    texts[-3] = "The puppy is to be called Pickle after all."
    plan = after(transfer, texts, "What is the puppy to be called?")
    assert "Waldo" in plan.messages[-1].content
    assert texts[-3] in [m.content for m in plan.messages]
    assert plan.messages[-1].content.rindex("Pickle") > plan.messages[-1].content.rindex("Waldo")


@both
@pytest.mark.parametrize("question", ["Thanks!", "Zebra?", "Is any of the like like some of the like?"])
def test_nothing_comes_back_for_small_talk(transfer: ContextTransfer, question: str) -> None:
    assert after(transfer, long_ago(), question).messages[-1].content == question


@both
def test_an_answer_comes_with_its_question(transfer: ContextTransfer) -> None:
    texts = long_ago("Which glue did the luthier recommend?")
    texts[21] = "Hide glue, warmed slowly. It can be undone."
    assert "Hide glue, warmed slowly." in joined(after(transfer, texts, "Again, which glue did the luthier recommend?"))


@both
def test_a_needle_in_a_very_long_message(transfer: ContextTransfer) -> None:
    haystack = "Nothing else happened on that day. " * 400
    texts = long_ago(f"{haystack}The safe opens with 7-33-19. {haystack}")
    assert "7-33-19" in joined(after(transfer, texts, "How does the safe open?"))


@both
def test_the_index_is_asked_first(transfer: ContextTransfer) -> None:
    texts = long_ago("Hazelnuts make my throat swell, sadly.")

    def search(text: str, limit: int) -> list[tuple[int, float]]:
        return [(21, 9.0), (10**6, 8.0)]

    plan = after(transfer, texts, "What must I not eat, sadly?", search=search)
    assert "Hazelnuts" in plan.messages[-1].content


@both
def test_an_index_that_finds_nothing_is_made_up_for(transfer: ContextTransfer) -> None:
    texts = long_ago("イルゼはトロムソに住んでいます。")
    plan = after(transfer, texts, "イルゼはどこに住んでいますか?", search=lambda text, limit: ())
    assert "トロムソ" in joined(plan)


@both
def test_a_model_that_takes_over_is_shown_more(transfer: ContextTransfer) -> None:
    names = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gro")
    texts = long_ago(*(f"About the ledger rate {name} had a view, but it took a while to be told." for name in names))
    question = "Who had a view about the ledger rate?"
    stayed, switched = (after(transfer, texts, question, switched=kind).messages[-1] for kind in ("", "chat"))
    assert switched.content.count("\n- ") > stayed.content.count("\n- ") > 0


def test_messages_of_the_kind_of_task_come_first_after_a_switch() -> None:
    texts = chatter(30)[:-1]
    texts[10], texts[20], texts[-1] = "x = 1; y = 2; ledger = rate(17);", "A ledger with rate.", "And the ledger rate?"
    best = {
        kind: find(Conversation(replace(request(talk(*texts), 9000), switched=kind)), range(1, 50)).found[0].index
        for kind in ("", "chat", "code")
    }
    assert best == {"": 21, "chat": 21, "code": 11}


CODE = "```python\ndef bind(ledger):\n    return ledger.bound\n```"


def test_who_takes_over_for_code_is_shown_the_code_though_the_question_names_nothing_of_it() -> None:
    texts = long_ago("Bind it, please.")
    texts[21] = CODE
    question = "Now write the test."
    for kind, shown in (("", False), ("chat", False), ("code", True)):
        plan = Hybrid().plan(replace(request(talk(*texts[:-1], question), USABLE), switched=kind))
        assert (CODE in joined(plan)) is shown
        after_a_compression = after(Hybrid(), texts, question, switched=kind)
        assert (CODE in joined(after_a_compression)) is shown


def test_relevant_exchanges_of_the_middle_stay_whole_and_gaps_are_told() -> None:
    texts = long_ago("How do I bind the ledger?")
    texts[21] = "```python\ndef bind(ledger):\n    return ledger.bound\n```"
    texts[-1] = "Show me how to bind the ledger once more."
    for transfer in (Hybrid(), Relevance()):
        plan = transfer.plan(request(talk(*texts), USABLE))
        assert texts[21] in [m.content for m in plan.messages]
        assert "messages left out ...]\n\n" in joined(plan)


def test_relevance_quotes_nothing_but_requests() -> None:
    texts = long_ago("From now on, answer in Danish.")
    plan = Relevance().plan(request(talk(*texts), USABLE))
    assert "From now on, answer in Danish." in plan.messages[0].content
    assert "Said earlier:" not in joined(plan)
    assert plan.receipt.dropped > 0
    assert plan.receipt.summarised == 0


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_relevance_refuses_a_senseless_share(share: float) -> None:
    with pytest.raises(ValueError, match="recent_share"):
        Relevance(recent_share=share)


def test_a_summary_is_wanted_before_the_next_compression_and_used_by_it() -> None:
    texts = chatter(160)
    plan = Hybrid().plan(request(talk(*texts[:59]), 4000))
    assert plan.receipt.note == "everything was sent"
    wanted = plan.wanted
    assert wanted is not None
    assert wanted.messages == plan.messages
    assert wanted.covers == 59
    digest = "The person keeps a quokka called Bertram.\nWe agreed on Thursday."
    state = ContextState(digest=digest, digested=60)
    again = Hybrid().plan(request(talk(*texts[:61]), 4000, state))
    assert again.messages == talk(*texts[:61])
    assert again.wanted is None
    assert again.state == state
    compressed = Hybrid().plan(request(talk(*texts[:159]), 4000, state))
    assert "In short:\n- The person keeps a quokka called Bertram.\n- We agreed on Thursday." in joined(compressed)
    assert "Said earlier:" in joined(compressed)
    assert "that a model wrote in part" in compressed.receipt.note
    assert compressed.state is not None
    assert compressed.state.digest == digest


def test_a_new_summary_changes_no_prompt_before_the_next_compression() -> None:
    texts = chatter(160)
    plan = Hybrid().plan(request(talk(*texts[:159]), USABLE))
    assert plan.state is not None
    digested = replace(plan.state, digest="We agreed on a quokka.", digested=158)
    following = Hybrid().plan(request(talk(*texts[:161]), USABLE, digested))
    assert following.messages[: len(plan.messages)] == plan.messages
    assert "quokka" not in joined(following)


def test_no_summary_is_wanted_where_none_is_used() -> None:
    texts = chatter(160)[:59]
    assert Hybrid(summaries=False).plan(request(talk(*texts), 3000)).wanted is None
    assert Relevance().plan(request(talk(*texts), 3000)).wanted is None


def test_no_summary_is_wanted_while_the_next_compression_is_far_off() -> None:
    texts = chatter(160)
    for end in range(1, 80, 2):
        plan = Hybrid().plan(request(talk(*texts[:end]), 4000))
        assert (plan.wanted is not None) == (plan.tokens >= 1400), plan.tokens


def with_tools(turns: int) -> TransferRequest:
    """Every third turn calls two tools; the last one has just been answered by them."""
    texts, messages = chatter(turns), list[Message]()

    def say(role: Role, content: str, calls: tuple[ToolCall, ...] = (), answers: str = "") -> None:
        made = Message(role=role, content=content, id=len(messages) + 1, tool_calls=calls, tool_call_id=answers)
        messages.append(made)

    for turn in range(turns):
        say(Role.USER, texts[2 * turn])
        if turn % 3 == (turns - 1) % 3:
            calls = tuple(ToolCall(id=f"call-{k}", name="look_up", arguments='{"x": 1}') for k in range(2))
            say(Role.ASSISTANT, "", calls)
            say(Role.TOOL, "forty-two " * 30, answers="call-0")
            say(Role.TOOL, "nothing", answers="call-1")
        if turn < turns - 1:
            say(Role.ASSISTANT, texts[2 * turn + 1])
    return request(messages, USABLE)


@pytest.mark.parametrize("usable", [40, 80, 150, 400, 1600])
@both
def test_calls_and_their_results_stay_together(transfer: ContextTransfer, usable: int) -> None:
    asked = with_tools(80)
    plan = transfer.plan(replace(asked, budget=replace(asked.budget, window=usable + 528)))
    open_calls: set[str] = set()
    for message in plan.messages:
        if message.role is Role.TOOL:
            assert message.tool_call_id in open_calls
            open_calls.remove(message.tool_call_id)
        else:
            assert not open_calls
            open_calls = {call.id for call in message.tool_calls}
    assert not open_calls


def test_a_long_result_is_cut_rather_than_parted_from_its_call() -> None:
    asked = with_tools(3)
    messages = (*asked.messages[:-2], replace(asked.messages[-1], content="forty-two " * 3000))
    asked = request(messages, 900)
    plan = Hybrid().plan(replace(asked, budget=replace(asked.budget, window=60 + 528)))
    assert [m.role for m in plan.messages[-2:]] == [Role.ASSISTANT, Role.TOOL]
    assert "tokens left out ...]" in plan.messages[-1].content


def test_a_call_whose_results_are_not_sent_is_not_sent_as_a_call() -> None:
    conversation = Conversation(with_tools(6))
    call = next(i for i in conversation.turns if conversation.request.messages[i].tool_calls)
    for sent in ([call - 1, call], [call - 1, call, call + 1], [call + 1], [call + 2]):
        prompt = conversation.compose(sent)
        assert not any(m.tool_calls for m in prompt.messages)
        assert not any(m.role is Role.TOOL for m in prompt.messages)
        assert prompt.tokens >= sum(count(m.content) for m in prompt.messages)


def test_a_result_is_not_sent_as_one_when_its_call_is_quoted_at_the_head() -> None:
    call = ToolCall(id="call-0", name="look_up")
    conversation = Conversation(
        request(
            [
                Message(role=Role.USER, content="How many?", id=1),
                Message(role=Role.ASSISTANT, content="I look.", id=2, tool_calls=(call,)),
                Message(role=Role.USER, content="Quickly, please.", id=3),
                Message(role=Role.TOOL, content="forty-two", id=4, tool_call_id=call.id),
                Message(role=Role.USER, content="Well?", id=5),
            ],
            USABLE,
        )
    )
    prompt = conversation.compose([1, 2, 3, 4])
    assert [m.role for m in prompt.messages] == [Role.SYSTEM, Role.USER]
    assert "Said earlier by the assistant:\nI look." in prompt.messages[0].content
    assert "Returned earlier by a tool:\nforty-two" in prompt.messages[1].content


def test_what_came_back_never_takes_a_prompt_over_the_window() -> None:
    texts = chatter(160)
    plan = Hybrid().plan(request(talk(*texts[:159]), USABLE))
    assert plan.state is not None
    larger = replace(plan.state, recalled=((159, "word " * 2 * USABLE),))
    assert Hybrid().plan(request(talk(*texts[:161]), USABLE, larger)).tokens <= USABLE
