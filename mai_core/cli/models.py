"""``mai models``: every model there is, and how it fits this machine now."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mai_core.cli.estimating import appraisal_json, estimate_view
from mai_core.cli.help import new_app
from mai_core.cli.invocation import Invocation, run
from mai_core.cli.output import error_line, ink, note, print_json, print_table, size, to_json, tokens
from mai_core.cli.status import host_name, tell_of_faults
from mai_core.cli.tables import table
from mai_core.errors import MaiError
from mai_core.policy.appraisal import Asked
from mai_core.policy.ladder import rung_words
from mai_core.policy.models import KvType
from mai_core.policy.selection import RejectionReason

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from mai_core.policy.appraisal import Appraisal
    from mai_core.runtime.status import ModelRow, Placement, Status

__all__ = ["app", "models_view", "row_json"]

app = new_app()

# What a rejection is called where a person reads it; JSON keeps the reason itself.
_REJECTED = {
    RejectionReason.MEMORY: "does not fit",
    RejectionReason.CONTEXT: "context too short",
    RejectionReason.CAPABILITY: "cannot do this",
    RejectionReason.HEALTH: "failed lately",
    RejectionReason.NOT_INSTALLED: "not on this disk",
    RejectionReason.BROKEN: "broken",
    RejectionReason.PRIVACY: "not allowed",
    RejectionReason.UNKNOWN_HOST: "unknown machine",
    RejectionReason.NOT_CHAT: "no chat model",
    RejectionReason.UNAVAILABLE: "not reachable",
    RejectionReason.BUDGET: "budget spent",
}

_COLOURS = {
    "fits": "green",
    "smaller context": "yellow",
    "quantised cache": "yellow",
    "partial offload": "yellow",
    "slow": "yellow",
    "server decides": "green",
}


@app.command()
def models(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL|SOURCE", help="With --estimate: models, or what mai pull takes.", show_default=False
        ),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="What each would take and how fast it would be.")
    ] = False,
    context: Annotated[
        int, typer.Option("--context", min=0, metavar="TOKENS", help="Estimate with this context.", show_default=False)
    ] = 0,
    kv: Annotated[
        KvType | None, typer.Option("--kv", metavar="TYPE", help="Estimate with this cache: f16, q8_0 or q4_0.")
    ] = None,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, metavar="N", help="Estimate with so many conversations at once.")
    ] = 1,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Also those that would have to be fetched.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Every model there is, and how it fits this machine now."""
    invocation = Invocation.of(ctx)
    if estimate:
        _estimate(invocation, names or (), Asked(context=context, kv_type=kv, parallel=parallel), as_json)
        return
    if names or context or kv is not None or parallel > 1:
        raise typer.BadParameter("models, --context, --kv and --parallel are for --estimate")

    async def main() -> tuple[tuple[ModelRow, ...], Status]:
        async with invocation.mai() as mai:
            return await mai.models(), await mai.get_status()

    rows, status = run(main)
    shown = [row for row in rows if everything or row.best.profile.installed]
    if as_json:
        print_json([row_json(row) for row in shown])
        return
    if shown:
        print_table(models_view(shown))
    elif not rows and any(backend.error and not backend.absent for backend in status.backends):
        note("No engine offers a model.")
    else:
        note("No model is on this disk yet. The first question fetches a small one; or see mai models --all, mai pull.")
    if any(not row.best.profile.installed for row in shown):
        note("mai pull KEY fetches one.")
    hidden = len(rows) - len(shown)
    if hidden and shown:
        note(f"{hidden} more can be fetched: mai models --all")
    tell_of_faults(status.backends)


def _estimate(invocation: Invocation, names: Sequence[str], asked: Asked, as_json: bool) -> None:
    """One that cannot be told does not keep the others from being shown; it is named, and the command fails."""
    import asyncio

    async def main() -> tuple[list[Appraisal], list[MaiError]]:
        async with invocation.mai() as mai:
            asking = [mai.estimate((name,), asked) for name in names] or [mai.estimate((), asked)]
            answers = await asyncio.gather(*asking, return_exceptions=True)
        if defects := [a for a in answers if isinstance(a, BaseException) and not isinstance(a, MaiError)]:
            raise defects[0]
        found = [a for answer in answers if not isinstance(answer, BaseException) for a in answer]
        return found, [answer for answer in answers if isinstance(answer, MaiError)]

    appraisals, errors = run(main)
    if as_json:
        print_json([appraisal_json(appraisal) for appraisal in appraisals])
    elif appraisals:
        print_table(estimate_view(appraisals))
    elif not errors:
        note("No model is on this disk yet. Name one: mai models --estimate KEY (mai models --all lists some).")
    for error in errors:
        print(error_line(error), file=sys.stderr)
    if errors:
        raise typer.Exit(1)


def row_json(row: ModelRow) -> dict[str, Any]:
    """A row as JSON: the model, and its placements with the ``fit`` a person sees."""
    placements = [{**to_json(placement), "fit": placement.fit} for placement in row.placements]
    return {"model": row.model, "fit": row.best.fit, "pinned": row.pinned, "placements": placements}


def models_view(rows: Iterable[ModelRow]) -> Table:
    """The table of models; on a narrow terminal only the columns one chooses by."""
    made = table(
        *("Model", "Tier", "Size", "Context", "Fit now", "From", "Host"),
        right=("Size", "Context"),
        wrap=("Fit now", "From"),
        drop=("Host", "From", "Context", "Tier"),
    )
    for row in sorted(rows, key=_place):
        best = row.best.profile
        marks = ((" ●", "green") if row.loaded else "", (f" {_pin(row)}", "yellow") if row.pinned else "")
        made.add_row(
            ink((row.model, "cyan" if row.best.candidate else "dim"), *marks),
            best.tier.value,
            size(best.size_bytes),
            tokens(row.loaded.plan.context if row.loaded else best.max_context),
            _fit(row.best),
            ", ".join(_offers(row.placements)),
            ", ".join(dict.fromkeys(host_name(p.profile.host, remote=p.profile.remote) for p in row.placements)),
        )
    return made


def _pin(row: ModelRow) -> str:
    """``pinned``, and on which backends where that is not on all it has."""
    places = [p.profile.backend for p in row.placements if p.pinned]
    return "pinned" if len(places) == len(row.placements) else f"pinned on {', '.join(places)}"


def _offers(placements: Iterable[Placement]) -> Iterator[str]:
    """Who offers it, and whose files they are, said once of neighbours that agree."""
    for origin, group in groupby(placements, key=lambda p: p.profile.origin):
        shown = [(p.profile.backend, " ●" if p.loaded else "") for p in group]
        whose = "" if origin in ("", *(backend for backend, _ in shown)) else f" ({origin})"
        yield ", ".join(backend + mark for backend, mark in shown) + whose


def _place(row: ModelRow) -> tuple[bool, bool, bool, int, int, str]:
    """What can answer now comes first, then by size."""
    best = row.best.profile
    cannot = row.best.candidate is None
    return not best.installed, cannot, best.remote, best.tier.rank, best.size_bytes, row.model


def _fit(placement: Placement) -> Text:
    if placement.candidate is not None:
        fit, candidate = (placement.fit, _COLOURS[placement.fit]), placement.candidate
        words = rung_words(candidate.plan, candidate.wanted, candidate.rung) if candidate.wanted else ""
        if placement.fit in ("fits", "server decides") and not words:
            return ink(fit)
        return ink(fit, (f"  {words.partition(': ')[2] or f'{tokens(candidate.plan.context)} context'}", "dim"))
    if placement.rejection is None:
        return ink((placement.fit, "dim"))
    reason = placement.rejection.reason
    if reason is RejectionReason.NOT_INSTALLED:
        return ink((_REJECTED[reason], "dim"))
    why = " → ".join(text for text in (placement.rejection.message, placement.rejection.remedy) if text)
    return ink((_REJECTED[reason], "red"), (f"  {why}", "dim"))
