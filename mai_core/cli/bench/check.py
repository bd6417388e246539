"""``mai bench check``: whether strategies keep the laws, and the smallest world in which one does not."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from mai_core.cli.bench.lawtrial import require_worlds, verdicts_of
from mai_core.cli.invocation import Invocation
from mai_core.cli.output import ink, out, print_json, print_table

if TYPE_CHECKING:
    from rich.table import Table

    from mai_core.testing.laws import Verdict
    from mai_core.testing.laws.checking import Plan

__all__ = ["check"]

ALL = "all"


def check(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="STRATEGY...", help="Registered names, module:Class, or all.")
    ] = None,
    laws: Annotated[
        list[str] | None, typer.Option("--law", metavar="NAME", help="Try this law alone; may be repeated.")
    ] = None,
    examples: Annotated[int, typer.Option(help="Worlds in which each law is tried.", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="Another seed tries other worlds; the same one the same.", min=0)] = 0,
    jobs: Annotated[int, typer.Option(help="Processes; 0 for one a core.", min=0)] = 0,
    listed: Annotated[bool, typer.Option("--list", help="List the laws and what they mean.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try strategies on generated worlds, and tell of every law that one breaks the smallest world in which it does.

    The exit status is 1 when a law is broken. Strategies are set up as the settings say.
    """
    require_worlds()
    from mai_core.testing.laws.checking import Plan, cores

    chosen = tuple(_known(law) for law in laws or ())
    if listed:
        _list(chosen, as_json)
        return
    if not names:
        raise typer.BadParameter("name a strategy, or all", param_hint="STRATEGY")
    invocation = Invocation.of(ctx)
    registry = invocation.registry()
    settings = invocation.settings.settings
    wanted = sorted(registry.strategies()) if ALL in names else list(dict.fromkeys(names))
    plan = Plan(
        strategies={name: settings.selection.options.get(name, {}) for name in wanted},
        laws=chosen,
        examples=examples,
        seed=seed,
        blocked=(*settings.plugins.blocked, *invocation.block),
        jobs=jobs or cores(),
    )
    found = verdicts_of(plan, registry)
    if as_json:
        print_json([{"strategy": name, "laws": verdicts} for name, verdicts in found.items()])
    else:
        for name, verdicts in found.items():
            _tell(name, verdicts, plan)
    if any(verdict.outcome.value != "kept" for verdicts in found.values() for verdict in verdicts):
        raise typer.Exit(1)


def _known(law: str) -> str:
    from mai_core.testing.laws import LAWS

    if law not in LAWS:
        near = get_close_matches(law, LAWS, n=1)
        hint = f"did you mean {near[0]}?" if near else "mai bench check --list names them"
        raise typer.BadParameter(f"there is no law {law}; {hint}", param_hint="--law")
    return law


def _list(chosen: Sequence[str], as_json: bool) -> None:
    from mai_core.testing.laws import LAWS

    found = [LAWS[name] for name in chosen or LAWS]
    if as_json:
        print_json([{"law": law.name, "group": law.group, "meaning": law.meaning} for law in found])
        return
    print_table(_laws_view([(law.name, law.group.value, law.meaning) for law in found]))


def _laws_view(rows: Sequence[tuple[str, str, str]]) -> Table:
    from mai_core.cli.tables import table

    made = table("Law", "Group", "Meaning", wrap=("Meaning",), drop=("Group",))
    for name, group, meaning in rows:
        made.add_row(ink((name, "cyan")), group, meaning)
    return made


def _tell(name: str, verdicts: Sequence[Verdict], plan: Plan) -> None:
    console = out()
    by = {outcome: [v for v in verdicts if v.outcome.value == outcome] for outcome in ("kept", "broken", "unjudged")}
    worlds = sum(verdict.examples for verdict in verdicts)
    colour = {"kept": "green", "broken": "red", "unjudged": "yellow"}
    counts = [(f"{len(found)} {outcome}", colour[outcome]) for outcome, found in by.items() if found]
    parts: list[str | tuple[str, str]] = [(name, "bold"), ": "]
    for place, count in enumerate(counts):
        parts += [", " if place else "", count]
    console.print(ink(*parts, f" of {_number(len(verdicts), 'law')}, in {_number(worlds, 'world')}"), soft_wrap=True)
    for verdict in by["broken"]:
        console.print()
        for line in verdict.lines(_again(name, verdict, plan)):
            console.print(ink(line), soft_wrap=True)
    for why in dict.fromkeys(verdict.why for verdict in by["unjudged"]):
        laws = [verdict.law for verdict in by["unjudged"] if verdict.why == why]
        console.print(ink(f"\nnot judged: {why}: {', '.join(laws)}"), soft_wrap=True)


def _number(amount: int, of: str) -> str:
    return f"{amount:,} {of}{'' if amount == 1 else 's'}"


def _again(name: str, verdict: Verdict, plan: Plan) -> str:
    examples = "" if plan.examples == 100 else f" --examples {plan.examples}"
    return f"mai bench check {name} --law {verdict.law} --seed {verdict.seed}{examples}"
