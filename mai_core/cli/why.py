"""``mai why``: a decision as tables a person can read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from mai_core.cli.estimating import known_by
from mai_core.cli.help import new_app
from mai_core.cli.invocation import Invocation, run
from mai_core.cli.output import ago, ink, print_json, print_table, seconds, size, tokens
from mai_core.cli.tables import table
from mai_core.policy.ladder import rung_words
from mai_core.policy.selection import Ballot, Candidate, Decision, Move, Rejection, RejectionReason

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

    from mai_core.policy.context import Receipt
    from mai_core.runtime.turn import Explanation

__all__ = ["app", "why_view"]

app = new_app()

_MOVES = {
    Move.START: "starts",
    Move.STAY: "stays",
    Move.SWITCH: "takes over",
    Move.PIN: "answers",
    Move.NONE: "",
}


@app.command()
def why(
    ctx: typer.Context,
    prompt: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", help="Decide about this prompt without running it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Explain the last choice of model, or try a prompt without running it."""
    invocation = Invocation.of(ctx)

    async def main() -> Explanation:
        async with invocation.mai() as mai:
            return await mai.explain(" ".join(prompt) if prompt else None)

    explanation = run(main)
    if as_json:
        print_json(explanation)
    else:
        print_table(why_view(explanation))


def why_view(explanation: Explanation) -> Group:
    """The decision from its question to what would flip it."""
    from rich.console import Group

    decision = explanation.decision
    parts: list[RenderableType] = [_headline(explanation), "", _turn(decision)]
    if decision.candidates:
        parts += ["", _candidates(decision), *_learnt(decision)]
    for ballot in decision.ballots:
        parts += ["", *_ballot(ballot, len(decision.ballots) > 1)]
    if decision.rejections:
        parts += ["", *_rejections(decision.rejections)]
    if explanation.receipt is not None:
        parts += ["", _receipt(explanation.receipt)]
    if decision.spent:
        parts += ["", ink(("Spent  ", "bold"), decision.spent)]
    if decision.flip is not None:
        change, choice = decision.flip.change, decision.flip.choice
        parts += ["", ink(("Would flip it  ", "bold"), change, (" → ", "dim"), (choice, "cyan"))]
    return Group(*parts)


def _headline(explanation: Explanation) -> Text:
    decision = explanation.decision
    line = ink((decision.choice or "No model", "bold cyan" if decision.choice else "bold red"))
    if moves := _MOVES[decision.move]:
        line.append(f" {moves}")
    line.append(f": {decision.reason}")
    if explanation.dry_run:
        line.append("  (dry run)", "dim")
    elif explanation.made is not None:
        line.append(f"  ({ago(explanation.made)})", "dim")
    if (chosen := decision.candidate(decision.choice)) is not None and chosen.wanted:
        if words := rung_words(chosen.plan, chosen.wanted, chosen.rung):
            line.append(f"\n{words[0].upper()}{words[1:]}", "yellow")
        if chosen.better is not None:
            line.append("; there is room for more by now, and it is loaded anew when it is idle", "yellow")
    if explanation.authors not in ((), (decision.choice,)):
        line.append(f"\nThe reply was written by {', then '.join(explanation.authors)}.", "yellow")
    if decision.doubt_below is not None:
        line.append(f"\nA better model answers where its first words are below {decision.doubt_below:g}", "dim")
        line.append(" (mean log-probability)", "dim")
    if decision.followed and decision.move is not Move.PIN:
        line.append(f"\n{decision.followed}", "dim")
    if decision.favourite and decision.favourite != decision.choice:
        line.append(f"\nThe vote alone would have chosen {decision.favourite}.", "yellow")
    return line


def _turn(decision: Decision) -> Table:
    features = decision.features
    numbers = ("Difficulty", "To read", "New", "Reply")
    made = table("This turn", *numbers, "Needs", right=numbers)
    needs = ", ".join(sorted(c.value for c in features.capabilities)) or "–"
    made.add_row(
        features.kind.value,
        f"{features.difficulty:.2f}",
        tokens(features.prompt_tokens),
        tokens(features.new_tokens),
        tokens(features.reply_tokens),
        needs,
    )
    return made


_COLUMNS: Mapping[str, Callable[[Candidate], str]] = {
    "Quality": lambda c: f"{c.quality:.2f}",
    "Wait": lambda c: seconds(c.wait_seconds),
    "Memory": lambda c: f"{size(c.footprint.total)}{f' ±{c.error:.1%}' if c.basis is not None else ''}",
    "Known": lambda c: c.basis.value if c.basis is not None else "loaded" if c.is_loaded else "–",
    "Speed": lambda c: f"{c.tokens_per_second:.0f}/s",
    "Load": lambda c: seconds(c.load_seconds),
    "Read": lambda c: seconds(c.prefill_seconds),
}


def _candidates(decision: Decision) -> Table:
    made = table(
        *("#", f"Order ({decision.arbiter or 'arbiter'})", "On", "Utility", *_COLUMNS),
        right=("#", "Utility", *_COLUMNS),
        drop=("Read", "Load", "Speed", "On", "Known", "Memory", "Wait", "Quality"),
    )
    places = {ranked.key: (place, ranked.utility) for place, ranked in enumerate(decision.ranking, 1)}

    def order(candidate: Candidate) -> tuple[int, str]:
        return places.get(candidate.key, (len(places) + 1, 0.0))[0], candidate.key

    for c in sorted(decision.candidates, key=order):
        place, utility = places.get(c.key, (0, 0.0))
        made.add_row(
            str(place or "–"),
            ink((c.key, "bold cyan" if c.key == decision.choice else "cyan"), (" ●", "green") if c.is_loaded else ""),
            ink((_place(c), "dim")),
            f"{utility:.3f}" if place else "–",
            *(shown(c) for shown in _COLUMNS.values()),
        )
    return made


def _learnt(decision: Decision) -> Iterable[Text]:
    """What this person's own outcomes have to do with the quality of each candidate, where that can be seen."""
    kind = decision.features.kind.value
    told = [c for c in decision.candidates if c.outcomes or abs(c.learnt) >= 0.005]
    for c in sorted(told, key=lambda c: (c.key != decision.choice, -c.quality)):
        whose = f"of which {c.outcomes} {'was' if c.outcomes == 1 else 'were'} with it" if c.outcomes else "with others"
        line = ink(("Quality  ", "bold"), (c.key, "cyan"), f" {c.quality:.2f}: {c.quality - c.learnt:.2f} beforehand, ")
        yield line.append(f"{c.learnt:+.2f} from your own outcomes in {kind}, {whose}")


def _place(candidate: Candidate) -> str:
    """The engine, and the machine where that is another one."""
    return candidate.backend + ("" if candidate.host == "local" else f" on {candidate.host}")


def _ballot(ballot: Ballot, weighted: bool) -> Iterable[RenderableType]:
    remarks = [f"weight {ballot.share:.2f}" if ballot.share else f"weight {ballot.weight:g}"] if weighted else []
    remarks += ["followed"] if ballot.share and ballot.weight else []
    remarks += [f"{ballot.seconds * 1e6:.0f} µs"] if ballot.seconds else []
    fault = (f"  lost its vote: {ballot.fault}", "red") if ballot.fault else ""
    yield ink((ballot.strategy, "bold"), (f"  {' · '.join(remarks)}", "dim"), fault)
    made = table("place", "model", "score", "reason", right=("place", "score"), wrap=("reason",), header=False)
    for place, proposal in enumerate(sorted(ballot.proposals, key=lambda p: -p.score), 1):
        made.add_row(ink((str(place), "dim")), ink((proposal.key, "cyan")), f"{proposal.score:.3f}", proposal.reason)
    if ballot.proposals:
        yield made


def _rejections(rejections: Iterable[Rejection]) -> Iterable[RenderableType]:
    made = table("Rejected", "Why", "What would help", wrap=("Why", "What would help"))
    absent = 0
    for rejection in rejections:
        if rejection.reason is RejectionReason.NOT_INSTALLED:
            absent += 1
        else:
            made.add_row(ink((rejection.key, "dim")), _why_not(rejection), ink((rejection.remedy, "dim")))
    if made.row_count:
        yield made
    if absent:
        known = "1 known model is" if absent == 1 else f"{absent} known models are"
        yield ink((f"{known} not on this disk: mai models --all", "dim"))


def _why_not(rejection: Rejection) -> Text:
    """Of one for want of memory also how far its prediction may be off, and how it is known."""
    if rejection.basis is None:
        return ink(rejection.message)
    return ink(rejection.message, (f"  ±{rejection.error:.1%}, {known_by(rejection.basis)}", "dim"))


def _receipt(receipt: Receipt) -> Text:
    kept, read = _counted(receipt.kept, "message"), _counted(receipt.tokens, "token")
    line = ink(("Context  ", "bold"), f"{kept} whole, {read}")
    if receipt.summarised or receipt.dropped:
        line.append(f"; {receipt.summarised} summarised, {receipt.dropped} left out")
        line.append(f", {_counted(receipt.tokens_saved, 'token')} saved")
    if receipt.note:
        line.append(f"  {receipt.note}", "dim")
    return line


def _counted(amount: int, thing: str) -> str:
    return f"1 {thing}" if amount == 1 else f"{tokens(amount)} {thing}s"
