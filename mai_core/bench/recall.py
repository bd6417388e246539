"""Share of the facts told in a long conversation that a context transfer still shows when they are asked for.

    python -m mai_core.bench.recall [--transfers hybrid,recent] [--filler FILE] [--model FILE.gguf]

A fact counts as known when the prompt of the turn that asks for it holds its decisive word, after what it corrects if
it does. Two situations: ``switch`` plans once, with a small window, when the question is asked, as after a change to a
smaller model; ``grown`` plans every turn with the state of the turn before, as a Mai that has always had the small
window does, so that no compression knew what would be asked. With ``--model`` the model answers each question, and
the decisive word must stand in its answer.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mai_core.bench.talks import FACTS, KINDS, TURNS, Fact, conversation, paragraphs
from mai_core.plugin.interfaces import ContextTransfer
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.context import ContextBudget, ContextState, TransferPlan, TransferRequest
from mai_core.policy.messages import Message, Role

__all__ = ["Known", "budget_for", "main", "measure", "prompts", "table"]

SHARES = (0.10, 0.20, 0.30, 0.40, 0.50)
BY_KIND = 0.20
"""The share whose figures are given kind by kind."""

Known = Mapping[Fact, bool]
Count = Callable[[str], int]


def count(text: str) -> int:
    """About four characters a token, as in English prose."""
    return -(-len(text) // 4)


def budget_for(messages: Sequence[Message], share: float, count: Count = count) -> ContextBudget:
    """A window whose usable part is ``share`` of what the conversation takes."""
    budget = ContextBudget(window=0)
    total = sum(count(m.content) + budget.per_message for m in messages)
    return replace(budget, window=int(total * share) + budget.reserve + budget.overhead)


def measure(
    transfer: ContextTransfer, messages: Sequence[Message], share: float, *, grown: bool, facts: Sequence[Fact] = FACTS
) -> Known:
    """Which facts the prompts that ask for them show, judged by what stands before the question."""
    found = {}
    for fact, plan in prompts(transfer, messages, budget_for(messages, share), grown=grown, facts=facts):
        shown = "\n".join(m.content for m in plan.messages).removesuffix(fact.question)
        found[fact] = fact.known_from(shown)
    return found


def prompts(
    transfer: ContextTransfer,
    messages: Sequence[Message],
    budget: ContextBudget,
    *,
    grown: bool,
    count: Count = count,
    facts: Sequence[Fact] = FACTS,
) -> Iterable[tuple[Fact, TransferPlan]]:
    """For each fact, the plan of a turn after ``messages`` that asks for it."""
    state: ContextState | None = None
    sizes = [count(m.content) for m in messages]
    if grown:
        for end, message in enumerate(messages, start=1):
            if message.role is Role.USER:
                state = transfer.plan(_request(messages[:end], sizes[:end], budget, count, state)).state
    for fact in facts:
        asked = (*messages, Message(role=Role.USER, content=fact.question, id=messages[-1].id + 1))
        request = _request(asked, [*sizes, count(fact.question)], budget, count, state)
        yield fact, transfer.plan(request if grown else replace(request, switched="chat"))


def _request(
    messages: Sequence[Message], sizes: Sequence[int], budget: ContextBudget, count: Count, state: ContextState | None
) -> TransferRequest:
    return TransferRequest(
        messages=tuple(messages), tokens=tuple(sizes), budget=budget, count=count, state=state, switched=""
    )


def table(transfers: Mapping[str, ContextTransfer], talks: Sequence[Sequence[Message]]) -> str:
    """Percentages of facts known over all ``talks``, by window, and for one window by kind of fact."""
    lines = [f"{'window / conversation':<26}" + "".join(f"{share:>8.0%}" for share in SHARES)]
    kinds = [f"{f'at {BY_KIND:.0%}, by kind':<26}" + "".join(f"{kind:>11}" for kind in KINDS)]
    for name, transfer in transfers.items():
        for grown in (False, True):
            label = f"{name:<18}{'grown' if grown else 'switch':<8}"
            known = {share: [measure(transfer, talk, share, grown=grown) for talk in talks] for share in SHARES}
            lines.append(label + "".join(f"{_percent(known[share]):>8.0f}" for share in SHARES))
            kinds.append(label + "".join(f"{_percent(known[BY_KIND], kind):>11.0f}" for kind in KINDS))
    return "\n".join([*lines, "", *kinds])


def _percent(known: Sequence[Known], kind: str = "") -> float:
    judged = [is_known for talk in known for fact, is_known in talk.items() if kind in ("", fact.kind)]
    return 100.0 * sum(judged) / max(1, len(judged))


def main() -> None:
    """Print the tables for the transfers named, or for every registered one."""
    parser = argparse.ArgumentParser(prog="python -m mai_core.bench.recall", description=__doc__.split("\n")[0])
    parser.add_argument("--transfers", default="", help="names, with commas; all registered ones by default")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--seeds", type=int, default=3, help="how many conversations (default 3)")
    parser.add_argument("--filler", type=Path, help="a text or CSV file to take the replies from")
    parser.add_argument("--model", type=Path, help="a GGUF file: let it answer, and judge its answers")
    parser.add_argument("--share", type=float, default=0.15, help="window / conversation with --model (default 0.15)")
    chosen = parser.parse_args()
    registry = PluginRegistry.discover()
    names = [n for n in chosen.transfers.split(",") if n] or sorted(registry.transfers())
    transfers = {name: registry.transfer(name) for name in names}
    prose = paragraphs(chosen.filler) if chosen.filler else ()
    talks = [conversation(chosen.turns, seed=seed + 1, prose=prose) for seed in range(chosen.seeds)]
    size = sum(count(m.content) for talk in talks for m in talk) // len(talks)
    print(f"{len(FACTS)} facts in {chosen.turns} turns of about {size:,} tokens; percent known when asked for")
    if chosen.model is None:
        print(table(transfers, talks))
    else:
        from mai_core.bench.answers import answers

        asyncio.run(answers(registry, chosen.model.resolve(), transfers, talks[0], chosen.share))


if __name__ == "__main__":
    main()
