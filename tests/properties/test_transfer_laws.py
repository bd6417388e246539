"""What holds for every context transfer, whatever the conversation, the window and the state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mai_core.plugin.interfaces import ContextTransfer
from mai_core.policy.context import ContextBudget, ContextState, TransferPlan, TransferRequest, calls_text
from mai_core.policy.messages import Message, Role, ToolCall
from mai_strategies.transfers.cut import marker
from mai_strategies.transfers.full import Full
from mai_strategies.transfers.hybrid import Hybrid
from mai_strategies.transfers.notes import REQUESTS, TITLE
from mai_strategies.transfers.prompt import LABELS, SEPARATOR
from mai_strategies.transfers.recent import Recent
from mai_strategies.transfers.relevance import Relevance
from mai_strategies.transfers.requests import explicit_requests

TRANSFERS: list[ContextTransfer] = [
    Full(),
    Recent(),
    Hybrid(),
    Hybrid(recent_share=0.0),
    Hybrid(recent_share=1.0),
    Relevance(),
    Relevance(recent_share=0.0),
]
NAMES = ["full", "recent", "hybrid", "hybrid-notes", "hybrid-recent", "relevance", "relevance-only"]
all_transfers = pytest.mark.parametrize("transfer", TRANSFERS, ids=NAMES)
lawful = settings(max_examples=60, deadline=None)
hybrids = pytest.mark.parametrize("transfer", TRANSFERS[2:], ids=NAMES[2:])


@dataclass(frozen=True)
class Counter:
    """Tokens by characters, as an engine's estimate does it; concatenation never adds."""

    characters: int

    def __call__(self, text: str) -> int:
        return -(-len(text) // self.characters)


PROSE = "the harbour tariff in Bergen is 42 kroner; never mind, ask Ada about load_plan() and decide. Why? 港 ü"
phrases = st.lists(st.sampled_from(PROSE.split()), min_size=1, max_size=12).map(" ".join)
lengths = st.sampled_from([1, 1, 1, 1, 2, 2, 4, 30])
texts = st.builds(lambda phrase, times: ". ".join([phrase] * times), phrases, lengths) | st.text(max_size=40)
roles = st.sampled_from([Role.USER, Role.ASSISTANT, Role.USER, Role.ASSISTANT, Role.TOOL, Role.SYSTEM])
budgets = st.builds(
    ContextBudget,
    window=st.integers(0, 3000),
    reserve=st.integers(0, 200),
    overhead=st.integers(0, 20),
    per_message=st.integers(0, 10),
    trigger=st.floats(0.1, 1.0),
    target=st.floats(0.0, 1.0),
)
counters = st.integers(1, 5).map(Counter)
states = st.none() | st.builds(
    ContextState,
    covered=st.integers(-1, 45),
    kept=st.lists(st.integers(0, 45), max_size=20).map(tuple),
    summary=st.just("") | texts,
    cut=st.lists(st.tuples(st.integers(0, 45), st.integers(-1, 300)), max_size=3).map(tuple),
    recalled=st.lists(st.tuples(st.integers(0, 45), texts), max_size=3).map(tuple),
    digest=st.just("") | texts,
    digested=st.integers(-1, 45),
)
searches = st.none() | st.lists(st.tuples(st.integers(-1, 45), st.floats(0.0, 20.0)), max_size=9).map(
    lambda found: lambda text, limit: tuple(found[:limit])
)


@st.composite
def conversations(draw: st.DrawFn, *, strict: bool) -> tuple[Message, ...]:
    """Tagged messages, so that each can be told apart in a prompt; strict ones alternate and end with the person."""
    system = draw(st.booleans())
    count = draw(st.integers(1, 40))
    if strict:
        sequence = [Role.SYSTEM] * system + [(Role.USER, Role.ASSISTANT)[i % 2] for i in range(count | 1)]
    else:
        sequence = draw(st.lists(roles, min_size=1, max_size=40))
    pins = draw(st.lists(st.booleans(), min_size=len(sequence), max_size=len(sequence)))
    few = draw(st.integers(1, 8))
    messages = []
    for i, (role, pin) in enumerate(zip(sequence, pins, strict=True)):
        pinned = role is Role.SYSTEM or (pin and i % few == 0 and not strict)
        messages.append(Message(role=role, content=f"#{i}# {draw(texts)}", id=i, pinned=pinned))
    return tuple(messages)


@st.composite
def requests(draw: st.DrawFn, *, strict: bool = False) -> TransferRequest:
    messages, count = draw(conversations(strict=strict)), draw(counters)
    return TransferRequest(
        messages=messages,
        tokens=tuple(count(m.content) for m in messages),
        budget=draw(budgets),
        count=count,
        state=draw(states),
        search=draw(searches),
        switched=draw(st.sampled_from(["", "chat", "code", "math"])),
    )


def plan(transfer: ContextTransfer, request: TransferRequest) -> TransferPlan:
    """The plan, or an abandoned example when even the minimum does not fit, which is checked on its own."""
    try:
        return transfer.plan(request)
    except ValueError:
        assume(False)
        raise


def whole_text(plan: TransferPlan) -> str:
    return "\0".join(m.content for m in plan.messages)


def is_pinned(message: Message) -> bool:
    return message.pinned or message.role is Role.SYSTEM


@all_transfers
@lawful
@given(request_=requests())
def test_never_exceeds_the_budget(transfer: ContextTransfer, request_: TransferRequest) -> None:
    done = plan(transfer, request_)
    measured = sum(request_.count(m.content) + request_.budget.per_message for m in done.messages)
    assert measured <= done.tokens <= request_.budget.usable
    assert done.receipt.tokens == done.tokens


@all_transfers
@lawful
@given(request_=requests(), slack=st.floats(0.2, 1.0))
def test_never_exceeds_the_budget_by_the_models_own_count(
    transfer: ContextTransfer, request_: TransferRequest, slack: float
) -> None:
    """``count`` is an upper bound: the tokenizer finds fewer."""
    request_ = replace(request_, tokens=tuple(int(t * slack) for t in request_.tokens))
    assert plan(transfer, request_).tokens <= request_.budget.usable


@all_transfers
@lawful
@given(request_=requests())
def test_pinned_and_last_are_always_there(transfer: ContextTransfer, request_: TransferRequest) -> None:
    done = plan(transfer, request_)
    text = whole_text(done)
    last = request_.messages[-1]
    for message in filter(is_pinned, request_.messages[:-1]):
        assert message.content in text
    if is_pinned(last):
        assert last.content in text
    else:
        assert done.messages[-1].id == last.id
        assert done.messages[-1].content.endswith(last.content) or "tokens left out ...]" in done.messages[-1].content


@all_transfers
@lawful
@given(request_=requests())
def test_order_is_kept(transfer: ContextTransfer, request_: TransferRequest) -> None:
    done = plan(transfer, request_)
    turns = [m.id for m in done.messages if m.role is not Role.SYSTEM]
    assert turns == sorted(set(turns))
    assert set(turns) <= {m.id for m in request_.messages}


@all_transfers
@lawful
@given(request_=requests())
def test_strict_templates_accept_it(transfer: ContextTransfer, request_: TransferRequest) -> None:
    done = plan(transfer, request_)
    sent = [m.role for m in done.messages]
    assert Role.SYSTEM not in sent[1:]
    spoken = [role for role in sent if role is not Role.SYSTEM]
    assert not any(a is b and a in (Role.USER, Role.ASSISTANT) for a, b in pairwise(spoken))
    if spoken and any(m.role is Role.USER for m in request_.messages):
        # Only a reply to be continued whose message does not fit beside it may stand alone.
        assert spoken[0] is Role.USER or request_.messages[-1].role is not Role.USER


@all_transfers
@lawful
@given(request_=requests(strict=True))
def test_below_the_trigger_nothing_changes(transfer: ContextTransfer, request_: TransferRequest) -> None:
    total = sum(request_.tokens) + request_.budget.per_message * len(request_.messages)
    window = int(total / request_.budget.trigger) + 2 + request_.budget.reserve + request_.budget.overhead
    request_ = replace(request_, budget=replace(request_.budget, window=window))
    done = transfer.plan(request_)
    assert done.messages == request_.messages
    assert done.tokens == total
    assert done.state is None or (done.state.covered, done.state.kept) == (0, ())
    assert done.receipt.kept == len(request_.messages)
    assert done.receipt.tokens_saved == done.receipt.dropped == done.receipt.summarised == 0


@all_transfers
@lawful
@given(request_=requests())
def test_the_same_request_gets_the_same_plan(transfer: ContextTransfer, request_: TransferRequest) -> None:
    assert plan(transfer, request_) == plan(transfer, request_)


@all_transfers
@lawful
@given(request_=requests())
def test_fails_only_when_pinned_and_marker_do_not_fit(transfer: ContextTransfer, request_: TransferRequest) -> None:
    count, each, messages = request_.count, request_.budget.per_message, request_.messages
    turns = [i for i, m in enumerate(messages) if m.role is not Role.SYSTEM]
    pinned = [i for i, m in enumerate(messages) if is_pinned(m)]
    least = sum(request_.tokens[i] + each + count(SEPARATOR + LABELS.get(messages[i].role, "")) for i in pinned)
    if turns and turns[-1] not in pinned:
        size = request_.tokens[turns[-1]]
        least += min(size, count(marker(size))) + each + count(SEPARATOR)
    if least <= request_.budget.usable:
        assert transfer.plan(request_).messages


@all_transfers
@lawful
@given(request_=requests())
def test_receipt_accounts_for_every_message(transfer: ContextTransfer, request_: TransferRequest) -> None:
    receipt = plan(transfer, request_).receipt
    assert receipt.kept + receipt.summarised + receipt.dropped == len(request_.messages)
    assert min(receipt.kept, receipt.summarised, receipt.dropped, receipt.tokens_saved) >= 0
    assert receipt.note
    assert "\n" not in receipt.note


@st.composite
def with_tools(draw: st.DrawFn) -> TransferRequest:
    """Calls with some or all of their results, answered late, repeated ids among them, and any state."""
    messages = list[Message]()
    for turn in range(draw(st.integers(1, 12))):
        messages.append(Message(role=Role.USER, content=draw(texts), id=len(messages) + 1))
        calls = tuple(ToolCall(id=f"call-{k}", name="look_up") for k in range(draw(st.integers(0, 3))))
        messages.append(Message(role=Role.ASSISTANT, content=f"{turn}", id=len(messages) + 1, tool_calls=calls))
        if calls and draw(st.booleans()) and draw(st.booleans()):
            messages.append(Message(role=Role.USER, content=draw(texts), id=len(messages) + 1))
        for call in calls:
            result = Message(role=Role.TOOL, content=draw(texts), id=len(messages) + 1, tool_call_id=call.id)
            messages.append(result)
        if calls and draw(st.booleans()):
            messages.append(Message(role=Role.ASSISTANT, content=draw(texts), id=len(messages) + 1))
    count = draw(counters)
    return TransferRequest(
        messages=tuple(messages),
        tokens=tuple(count(m.content + calls_text(m)) for m in messages),
        budget=draw(budgets),
        count=count,
        state=draw(states),
    )


@all_transfers
@lawful
@given(request_=with_tools())
def test_a_call_is_sent_with_its_results_and_a_result_with_its_call(
    transfer: ContextTransfer, request_: TransferRequest
) -> None:
    done = plan(transfer, request_)
    assert done.tokens <= request_.budget.usable
    called = list[str]()
    for message in done.messages:
        if message.role is Role.TOOL:
            assert message.tool_call_id in called
            called.remove(message.tool_call_id)
        called += [call.id for call in message.tool_calls]
    assert not called


@lawful
@given(request_=requests(strict=True))
def test_recent_sends_the_longest_suffix_that_fits(request_: TransferRequest) -> None:
    done = plan(Recent(), request_)
    head = 1 if request_.messages[0].role is Role.SYSTEM else 0
    costs = [t + request_.budget.per_message for t in request_.tokens]
    fitting = [
        first
        for first in range(head, len(costs), 2)
        if sum(costs[:head]) + sum(costs[first:]) <= request_.budget.usable
    ]
    if fitting:
        assert done.messages == request_.messages[:head] + request_.messages[min(fitting) :]


Speech = Callable[[int], tuple[str, str]]


def grow(
    transfer: ContextTransfer, budget: ContextBudget, system: str, turns: int, speech: Speech
) -> list[TransferPlan]:
    """The plans of a conversation that grows by one exchange a turn."""
    count, state, plans = Counter(4), None, list[TransferPlan]()
    messages = [Message(role=Role.SYSTEM, content=system, pinned=True)]
    for turn in range(turns):
        question, answer = speech(turn)
        messages.append(Message(role=Role.USER, content=question, id=2 * turn + 1))
        sizes = tuple(count(m.content) for m in messages)
        request = TransferRequest(messages=tuple(messages), tokens=sizes, budget=budget, count=count, state=state)
        plans.append(transfer.plan(request))
        state = plans[-1].state
        messages.append(Message(role=Role.ASSISTANT, content=answer, id=2 * turn + 2))
    return plans


def compressions(plans: list[TransferPlan]) -> list[int]:
    """The turns whose prompt does not begin with the prompt before."""
    return [
        turn
        for turn, (before, after) in enumerate(pairwise(plans), start=1)
        if after.messages[: len(before.messages)] != before.messages
    ]


grown = given(
    usable=st.integers(900, 3000),
    pinned_share=st.floats(0.0, 0.35),
    sizes=st.lists(st.integers(4, 80), min_size=8, max_size=8),
    phrase=st.lists(phrases, min_size=5, max_size=5),
)


@hybrids
@settings(max_examples=15, deadline=None)
@grown
def test_prompts_only_grow_between_rare_compressions(
    transfer: ContextTransfer, usable: int, pinned_share: float, sizes: list[int], phrase: list[str]
) -> None:
    budget = ContextBudget(window=usable + 528)
    system = "You are Mai. " + "Be kind. " * int(usable * pinned_share * 4 / 9)

    def speech(turn: int) -> tuple[str, str]:
        return (f"{turn} {phrase[turn % 5]}"[: sizes[turn % 8]], f"{turn}: {phrase[turn % 3]}. " * 2)

    plans = grow(transfer, budget, system, 80, speech)
    steps = compressions(plans)
    assert all(after - before >= 3 for before, after in pairwise(steps))
    for turn in steps:
        state = plans[turn].state
        assert state is not None
        assert state != plans[turn - 1].state
    for before, after in pairwise(plans):
        if after.messages[: len(before.messages)] == before.messages:
            assert len(after.messages) == len(before.messages) + 2


ASKED = [
    "Always answer in French.",
    "From now on, call me Captain.",
    "Remember that my name is Ana.",
    "Never use emojis.",
    "Antworte immer auf Deutsch.",
    "Keep your answers short.",
]


@hybrids
@settings(max_examples=15, deadline=None)
@given(
    usable=st.integers(900, 2500),
    at=st.lists(st.integers(0, 60), min_size=6, max_size=6, unique=True),
    phrase=st.lists(phrases, min_size=5, max_size=5),
)
def test_requests_survive_every_compression(
    transfer: ContextTransfer, usable: int, at: list[int], phrase: list[str]
) -> None:
    asked = dict(zip(at, ASKED, strict=True))

    def speech(turn: int) -> tuple[str, str]:
        return (asked.get(turn, f"{turn} {phrase[turn % 5]}"), f"{turn}: {phrase[turn % 3]}. " * 3)

    plans = grow(transfer, ContextBudget(window=usable + 528), "You are Mai.", 120, speech)
    assert len(compressions(plans)) >= 2
    for turn, done in enumerate(plans):
        text = whole_text(done)
        for first, request in asked.items():
            assert first > turn or request in text


@hybrids
@settings(max_examples=10, deadline=None)
@given(
    share=st.sampled_from([0.05, 0.10, 0.20]),
    asked=st.dictionaries(st.integers(0, 35), st.sampled_from(ASKED), min_size=1, max_size=6),
    phrase=st.lists(phrases, min_size=5, max_size=5),
    long=st.integers(1, 60),
)
def test_requests_are_sent_whenever_they_fit_beside_the_question(
    transfer: ContextTransfer, share: float, asked: dict[int, str], phrase: list[str], long: int
) -> None:
    """In windows of a twentieth or a tenth of the conversation, at every turn, with the state of the turn before."""
    count, state, messages = Counter(4), None, [Message(role=Role.SYSTEM, content="You are Mai.", pinned=True)]
    said = [asked.get(turn, f"{turn} {phrase[turn % 5]}") for turn in range(45)]
    said[40] = f"{phrase[0]} " * long
    assume(not explicit_requests(said[40]))
    replies = [f"{turn}: {phrase[turn % 3]}. " * (turn % 7) for turn in range(45)]
    total = sum(count(text) + 8 for text in (*said, *replies))
    budget = ContextBudget(window=int(total * share) + 528)
    heard: list[str] = []
    for turn in range(45):
        messages.append(Message(role=Role.USER, content=said[turn], id=2 * turn + 1))
        sizes = tuple(count(m.content) for m in messages)
        request = TransferRequest(messages=tuple(messages), tokens=sizes, budget=budget, count=count, state=state)
        done = transfer.plan(request)
        state = done.state
        if turn in asked:
            heard = [*(text for text in heard if text != asked[turn]), asked[turn]]
        least = sum(count(f"\n- {text}") for text in heard) + count(SEPARATOR + TITLE + "\n" + REQUESTS) + 8
        if sizes[0] + sizes[-1] + 16 + least <= budget.usable:
            assert all(text in whole_text(done) for text in heard)
            last_heard = [whole_text(done).rindex(text) for text in heard]
            assert last_heard == sorted(last_heard), "what was asked for last stands last"
        messages.append(Message(role=Role.ASSISTANT, content=replies[turn], id=2 * turn + 2))


@hybrids
@settings(max_examples=15, deadline=None)
@given(windows=st.lists(st.integers(900, 6000), min_size=40, max_size=40), phrase=phrases)
def test_switching_between_windows_keeps_every_law(transfer: ContextTransfer, windows: list[int], phrase: str) -> None:
    """The budget changes under a state at every turn, as it does when another model is loaded."""
    count, state = Counter(4), None
    messages = [Message(role=Role.SYSTEM, content="You are Mai.", pinned=True)]
    for turn, window in enumerate(windows):
        messages.append(Message(role=Role.USER, content=f"{turn} {phrase} " * 4, id=2 * turn + 1))
        sizes, budget = tuple(count(m.content) for m in messages), ContextBudget(window=window)
        request = TransferRequest(messages=tuple(messages), tokens=sizes, budget=budget, count=count, state=state)
        done = transfer.plan(request)
        assert done.tokens <= budget.usable
        assert done.messages[-1] == messages[-1]
        if sum(sizes) + 8 * len(sizes) <= int(budget.usable * budget.trigger):
            assert done.messages == request.messages
            assert done.state is None
        state = done.state
        messages.append(Message(role=Role.ASSISTANT, content=f"{turn}! {phrase} " * 6, id=2 * turn + 2))
