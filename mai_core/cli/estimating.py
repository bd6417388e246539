"""``mai models --estimate``: what models would take and how fast they would be, also of those not here yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mai_core.cli.output import ink, share, size, to_json, tokens
from mai_core.cli.tables import table
from mai_core.policy.ladder import rung_words
from mai_core.policy.learning import Basis

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from mai_core.policy.appraisal import Appraisal
    from mai_core.policy.learning import Estimate
    from mai_core.policy.models import Footprint

__all__ = ["appraisal_json", "estimate_view", "known_by"]

_KNOWN = {Basis.GUESSED: "guessed from its size", Basis.HEADER: "from its header", Basis.LEARNED: "learned here"}


def known_by(basis: Basis) -> str:
    """How a prediction is known, in words."""
    return _KNOWN[basis]


def appraisal_json(appraisal: Appraisal) -> dict[str, Any]:
    """An appraisal as JSON: bytes by pool, parts and the verdict."""
    return {"key": appraisal.model.key, **to_json(appraisal)}


def estimate_view(appraisals: Iterable[Appraisal]) -> Group:
    """A block for every model: whether it fits, what it takes, of what that is made, how fast it is."""
    from rich.console import Group, RenderableType

    parts: list[RenderableType] = []
    for appraisal in appraisals:
        made = table("what", "value", wrap=("value",), header=False)
        for name, told in _rows(appraisal):
            made.add_row(ink((name, "bold")), told)
        parts += [*([""] if parts else []), _headline(appraisal), made]
    return Group(*parts)


def _headline(appraisal: Appraisal) -> Text:
    model = appraisal.model
    line = ink((model.key, "bold cyan"))
    for detail in (model.quantisation, "" if model.installed else "not installed"):
        line.append(f"  {detail}" if detail else "", "dim")
    return line


def _rows(appraisal: Appraisal) -> Iterable[tuple[str, Text]]:
    yield "Fits now", _verdict(appraisal)
    plan = appraisal.plan
    told = [f"{tokens(plan.context)} context", f"{plan.kv_type.value} cache"]
    told += [f"{plan.parallel} conversations at once"] if plan.parallel > 1 else []
    told += [f"{plan.gpu_layers} layers on GPUs"] if (plan.gpu_layers or 0) > 0 else []
    told += ["all layers on GPUs"] if plan.gpu_layers == -1 else []
    words = rung_words(plan, appraisal.wanted, appraisal.rung) if appraisal.verdict is not None else ""
    yield "Plan", ink(", ".join(told), (f"  {words}" if words else "", "yellow"))
    if appraisal.estimate is not None:
        yield "Takes", _taken(appraisal.estimate)
        learned = "  before what was learned" if appraisal.estimate.basis is Basis.LEARNED else ""
        yield "Parts", ink((_parts(appraisal) + learned, "dim"))
    speed, how = appraisal.speed, "measured here" if appraisal.measured else "expected"
    rates = f"reads {speed.prompt_tps:.0f} tokens/s, writes {speed.generation_tps:.0f} tokens/s"
    yield "Speed", ink(rates, (f"  {how}", "dim"))
    if appraisal.note:
        yield "Note", ink((appraisal.note, "yellow"))


def _verdict(appraisal: Appraisal) -> Text:
    verdict = appraisal.verdict
    if verdict is None:
        return ink(("its server decides", "green"))
    if verdict.fits:
        return ink(("yes", "green"))
    return ink(("no", "red"), f": {size(verdict.short)} short in {verdict.pool}", (f"  {verdict.remedy}", "dim"))


def _taken(estimate: Estimate) -> Text:
    pools = " · ".join(f"{name} {size(amount)}" for name, amount in _pools(estimate.footprint))
    total = f"{size(estimate.footprint.total)} ±{share(estimate.error)}"
    return ink(total, (f"  {known_by(estimate.basis)}", "dim"), f"  {pools}")


def _pools(footprint: Footprint) -> Iterable[tuple[str, int]]:
    named = (("private", footprint.anonymous), ("mapped", footprint.file_backed), *footprint.devices.items())
    return ((name, amount) for name, amount in named if amount)


def _parts(appraisal: Appraisal) -> str:
    """The parts, the largest first."""
    totals = {p.name: p.anonymous + p.file_backed + sum(p.devices.values()) for p in appraisal.parts}
    return " · ".join(f"{name} {size(n)}" for name, n in sorted(totals.items(), key=lambda pair: -pair[1]) if n)
