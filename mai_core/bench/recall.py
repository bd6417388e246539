"""Share of the facts told in a long conversation that a context transfer still shows when they are asked for.

python -m mai_core.bench.recall

Facts are planted evenly in a conversation of 200 turns about other things, which hold names and numbers too. A fact
counts as present when its decisive word stands in the prompt of the turn that asks for it. Half of the questions use
words of the fact, half ask in other words. ``fresh`` plans once, when the question is asked; ``grown`` plans every
turn with the state of the turn before, as a running Mai does, so that a compression does not know what will be asked.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mai_core.plugin.interfaces import ContextTransfer
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.context import ContextBudget, ContextState, TransferRequest
from mai_core.policy.messages import Message, Role

__all__ = ["Recall", "conversation", "main", "measure"]

TURNS = 200
SHARES = (0.10, 0.20, 0.30, 0.40, 0.50)


@dataclass(frozen=True, slots=True)
class Fact:
    """What a person tells, the word that must survive, and how it is asked for later."""

    told: str
    key: str
    question: str
    paraphrased: bool


class Recall(NamedTuple):
    """Shares of facts present, of all and of those asked for in other words."""

    all: float
    paraphrased: float


FACTS = (
    Fact("My sister Ilse lives in Tromsø.", "Tromsø", "Where does my sister Ilse live?", False),
    Fact("The staging server listens on port 8471.", "8471", "Which port does the staging server use?", False),
    Fact("We decided to paint the boat teal.", "teal", "What colour did we decide to paint the boat?", False),
    Fact("The invoice for the roof was 3,720 euros.", "3,720", "How much was the invoice for the roof?", False),
    Fact("Our landlord is called Mr Okafor.", "Okafor", "What is our landlord called?", False),
    Fact("The retry limit is set in `net_config.yml`.", "net_config", "Where is the retry limit set?", False),
    Fact("My train to Graz leaves at 06:52.", "06:52", "When does my train to Graz leave?", False),
    Fact("The password hint is the name of my goldfish, Bubbles.", "Bubbles", "What is the password hint?", False),
    Fact("I take my medicine with buttermilk, never with water.", "buttermilk", "How do I take my medicine?", False),
    Fact("The choir rehearses every second Wednesday.", "Wednesday", "When does the choir rehearse?", False),
    Fact("Hazelnuts make my throat swell.", "Hazelnuts", "Is there anything I must not eat?", True),
    Fact("I run a small bakery near the station.", "bakery", "What do I do for a living?", True),
    Fact("Our daughter turned nine in March.", "nine", "How old is our child?", True),
    Fact("The old Volvo finally gave up last week.", "Volvo", "What kind of car did I have?", True),
    Fact("I grew up on a farm outside Dundee.", "Dundee", "Where am I from?", True),
    Fact("Tests fail unless LC_ALL is set to C.", "LC_ALL", "What made the build break?", True),
    Fact("Marco cannot climb stairs since the accident.", "stairs", "What must I consider when inviting Marco?", True),
    Fact("We agreed to meet the notary on 14 June.", "14 June", "What date is the appointment?", True),
    Fact("The greenhouse holds only cacti now.", "cacti", "Which plants do I keep?", True),
    Fact("I am writing a thesis on medieval bridges.", "medieval", "What is my research about?", True),
)

_SUBJECTS = "the manual,a neighbour,this recipe,the museum,my colleague,the weather report,that novel,the city council"
_DOINGS = "mentions,describes,recommends,criticises,compares,explains,lists,questions"
_THINGS = "old clocks,night trains,winter apples,paper maps,wooden toys,river boats,street names,garden tools"
_PLACES = "Lyon,Porto,Ghent,Turku,Basel,Malmö,Cork,Trieste"


def _chat(draw: random.Random, sentences: int) -> str:
    """Talk about nothing to be asked for; two in three sentences hold a name or a number of their own."""
    said = []
    for _ in range(sentences):
        subject, doing, thing, place = (
            draw.choice(words.split(",")) for words in (_SUBJECTS, _DOINGS, _THINGS, _PLACES)
        )
        tail = draw.choice([f" in {place}", f" since {draw.randint(1900, 2020)}", " once more"])
        said.append(f"{subject} {doing} {thing}{tail}.".capitalize().replace(place.lower(), place))
    return " ".join(said)


def conversation(turns: int = TURNS, facts: Sequence[Fact] = FACTS, seed: int = 1) -> tuple[Message, ...]:
    """A conversation of so many exchanges with the facts planted evenly, ready for a last question."""
    draw = random.Random(seed)
    order = draw.sample(list(facts), len(facts))
    at = {round((k + 0.5) * turns / len(order)): fact for k, fact in enumerate(order)}
    messages = [Message(role=Role.SYSTEM, content="You are Mai, a helpful assistant.", pinned=True)]
    for turn in range(turns):
        said = _chat(draw, draw.randint(1, 2))
        if fact := at.get(turn):
            said = f"{said} {fact.told} {_chat(draw, 1)}"
        messages.append(Message(role=Role.USER, content=said, id=2 * turn + 1))
        messages.append(Message(role=Role.ASSISTANT, content=_chat(draw, draw.randint(2, 5)), id=2 * turn + 2))
    return tuple(messages)


def count(text: str) -> int:
    """About four characters a token, as in English prose."""
    return -(-len(text) // 4)


def measure(
    transfer: ContextTransfer, messages: Sequence[Message], share: float, *, grown: bool, facts: Sequence[Fact] = FACTS
) -> Recall:
    """Recall with a window whose usable part is ``share`` of the conversation's tokens."""
    budget = ContextBudget(window=0)
    total = sum(count(m.content) + budget.per_message for m in messages)
    budget = replace(budget, window=int(total * share) + budget.reserve + budget.overhead)
    state = _state_at_the_end(transfer, messages, budget) if grown else None
    found = {fact: fact.key in _shown(transfer, messages, fact.question, budget, state) for fact in facts}
    other = [found[fact] for fact in facts if fact.paraphrased]
    return Recall(sum(found.values()) / len(found), sum(other) / max(1, len(other)))


def _shown(
    transfer: ContextTransfer,
    messages: Sequence[Message],
    question: str,
    budget: ContextBudget,
    state: ContextState | None,
) -> str:
    asked = (*messages, Message(role=Role.USER, content=question, id=messages[-1].id + 1))
    plan = transfer.plan(_request(asked, budget, state))
    return "\n".join(m.content for m in plan.messages[:-1])


def _state_at_the_end(
    transfer: ContextTransfer, messages: Sequence[Message], budget: ContextBudget
) -> ContextState | None:
    state = None
    for end, message in enumerate(messages, start=1):
        if message.role is Role.USER:
            state = transfer.plan(_request(messages[:end], budget, state)).state
    return state


def _request(messages: Sequence[Message], budget: ContextBudget, state: ContextState | None) -> TransferRequest:
    sizes = tuple(count(m.content) for m in messages)
    return TransferRequest(messages=tuple(messages), tokens=sizes, budget=budget, count=count, state=state)


def table(transfers: Mapping[str, ContextTransfer], seeds: Sequence[int] = (1, 2, 3)) -> str:
    """Percentages of facts present, averaged over conversations; in brackets those asked for in other words."""
    talks = [conversation(seed=seed) for seed in seeds]
    lines = ["window / conversation   " + "".join(f"{share:>12.0%}" for share in SHARES)]
    for name, transfer in transfers.items():
        for grown in (False, True):
            cells = []
            for share in SHARES:
                recalls = [measure(transfer, talk, share, grown=grown) for talk in talks]
                whole, other = (100 * sum(values) / len(talks) for values in zip(*recalls, strict=True))
                cells.append(f"{whole:.0f} ({other:.0f})")
            lines.append(f"{name:<15} {'grown' if grown else 'fresh':<8}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    """Print the table for every registered transfer."""
    registry = PluginRegistry.discover()
    facts = f"{len(FACTS)} facts in {TURNS} turns"
    print(f"{facts}; percent present when asked for (asked for in other words)")
    print(table({name: registry.transfer(name) for name in sorted(registry.transfers())}))


if __name__ == "__main__":
    main()
