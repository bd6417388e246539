"""The laws every context transfer keeps.

A transfer may join messages, quote one in another and write text of its own, so the laws look for what was said in
the text that is sent, not for the messages themselves.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from mai_core.plugin.interfaces import ContextTransfer
from mai_core.plugin.shape import KINDS, misfit
from mai_core.policy.context import TransferPlan, TransferRequest
from mai_core.policy.messages import Message, Role
from mai_core.testing.conformance.laws import holds
from mai_core.testing.worlds import count_words, transfer_requests

__all__ = ["TransferConformance"]


WORDS = 24
"""Tokens in which a few words fit beside the remark that the rest was left out."""


class TransferConformance:
    """Subclass it as ``TestMine`` and override ``make``."""

    def make(self) -> ContextTransfer:
        """A fresh transfer, as settings would construct it."""
        raise NotImplementedError("override make() to return your transfer")

    def test_has_the_members_of_a_transfer(self) -> None:
        """Its class can be registered."""
        assert misfit(type(self.make()), KINDS["transfers"], "under test") == ""

    def test_never_exceeds_the_budget(self) -> None:
        """``tokens`` is at least what the messages take, and at most what there is room for."""

        def law(request: TransferRequest) -> None:
            if plan := self.plan(request):
                each = request.budget.per_message
                taken = sum(count_words(message.content) + each for message in plan.messages)
                assert taken <= plan.tokens, f"the messages take {taken} tokens, the plan says {plan.tokens}"
                assert plan.tokens <= request.budget.usable, f"{plan.tokens} of {request.budget.usable} tokens"

        holds(law, request=transfer_requests())

    def test_pinned_messages_always_stay(self) -> None:
        """Word for word, however small the window."""

        def law(request: TransferRequest) -> None:
            if plan := self.plan(request):
                for message in request.messages:
                    assert not message.pinned or said(plan, message), f"left out: {message}"

        holds(law, request=transfer_requests())

    def test_the_last_message_is_answered(self) -> None:
        """It comes last, with its end whenever words fit beside what must stay, and whole when there is ample room."""

        def law(request: TransferRequest) -> None:
            if plan := self.plan(request):
                last = request.messages[-1]
                assert plan.messages[-1].role is last.role
                if beside_the_pinned(request) >= WORDS:
                    assert last.content.split()[-1] in plan.messages[-1].content
                if ample(request, needed(request)):
                    assert last.content in plan.messages[-1].content, "the last message was cut though there is room"

        holds(law, request=transfer_requests())

    def test_gives_up_only_when_what_must_be_sent_does_not_fit(self) -> None:
        """``ValueError`` when pinned messages do not fit; never when they and the last one amply do."""

        def law(request: TransferRequest) -> None:
            plan = self.plan(request)
            pinned = sum(t for m, t in zip(request.messages, request.tokens, strict=True) if m.pinned)
            if pinned > request.budget.usable:
                assert plan is None, "pinned messages do not fit, and no ValueError was raised"
            if ample(request, needed(request)):
                assert plan is not None, "ValueError though pinned messages and the last one fit"

        holds(law, request=transfer_requests())

    def test_sends_everything_when_there_is_ample_room(self) -> None:
        """And its receipt says that nothing was left out."""

        def law(request: TransferRequest) -> None:
            if ample(request, range(len(request.messages))):
                plan = self.make().plan(request)
                assert all(said(plan, message) for message in request.messages)
                assert (plan.receipt.dropped, plan.receipt.summarised) == (0, 0)

        holds(law, request=transfer_requests())

    def test_the_receipt_accounts_for_every_message(self) -> None:
        """Kept, summarised and dropped ones are all there are."""

        def law(request: TransferRequest) -> None:
            if plan := self.plan(request):
                receipt = plan.receipt
                parts = (receipt.kept, receipt.summarised, receipt.dropped)
                assert min(parts) >= 0, f"{receipt}"
                assert sum(parts) == len(request.messages), f"{receipt} of {len(request.messages)} messages"

        holds(law, request=transfer_requests())

    def test_messages_stay_in_order(self) -> None:
        """Those with an id of the conversation, and each at most once."""

        def law(request: TransferRequest) -> None:
            if plan := self.plan(request):
                known = {message.id for message in request.messages}
                ids = [message.id for message in plan.messages if message.id in known]
                assert ids == sorted(set(ids)), f"sent in the order {ids}"

        holds(law, request=transfer_requests())

    def test_is_deterministic_and_changes_nothing_it_is_given(self) -> None:
        """The same request, the same plan; a new instance, the same plan."""

        def law(request: TransferRequest) -> None:
            before = copy.deepcopy(request)
            first = self.plan(request)
            assert self.plan(request) == first
            assert request == before

        holds(law, request=transfer_requests())

    def test_prompts_are_append_only_between_compressions(self) -> None:
        """While its state stays the same, the next prompt begins with this one: the engine's cache then serves it."""

        def law(request: TransferRequest) -> None:
            if plan := self.plan(request):
                following = self.plan(grown(request, plan))
                if following is not None and plan.state is not None and following.state == plan.state:
                    assert following.messages[: len(plan.messages)] == plan.messages

        holds(law, request=transfer_requests())

    def plan(self, request: TransferRequest) -> TransferPlan | None:
        """A new transfer's plan; None when it says that nothing fits."""
        try:
            return self.make().plan(request)
        except ValueError:
            return None


def said(plan: TransferPlan, message: Message) -> bool:
    """Whether what the message says is sent, in a message of its own or in another."""
    return any(message.content in sent.content for sent in plan.messages)


def needed(request: TransferRequest) -> list[int]:
    """Positions of instructions, pinned messages and the last one."""
    last = len(request.messages) - 1
    return [i for i, m in enumerate(request.messages) if m.pinned or m.role is Role.SYSTEM or i == last]


def beside_the_pinned(request: TransferRequest) -> int:
    """Tokens that are left for the last message when all that must stay is sent, each with a label."""
    each = request.budget.per_message + 8
    return request.budget.usable - sum(request.tokens[i] + each for i in needed(request)[:-1])


def ample(request: TransferRequest, positions: list[int] | range) -> bool:
    """Whether these fit twice, with room for labels: then no way of counting can find that they do not."""
    each = request.budget.per_message + 8
    return 2 * sum(request.tokens[i] + each for i in positions) + 16 <= request.budget.usable * request.budget.target


def grown(request: TransferRequest, plan: TransferPlan) -> TransferRequest:
    """The next turn of a conversation: answered, and asked again."""
    last = request.messages[-1].id
    added = (
        Message(role=Role.ASSISTANT, content="so it is", id=last + 1),
        Message(role=Role.USER, content="and then", id=last + 2),
    )
    return replace(
        request,
        messages=request.messages + added,
        tokens=request.tokens + tuple(count_words(message.content) for message in added),
        state=plan.state,
    )
