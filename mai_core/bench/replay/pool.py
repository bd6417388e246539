"""The models that compete, and the prompts that all of them answered: a table without holes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mai_core.bench.replay.cells import TableError
from mai_core.bench.replay.curves import Point
from mai_core.bench.replay.tables import Prompt, RatedModel, Table

__all__ = ["Pool", "choose"]

# Of the prompts a model has to have answered to be chosen by itself; the prompts it did not are left out for all.
COVERAGE = 0.99
BASE = "base"


@dataclass(frozen=True, slots=True)
class Pool:
    """Prompts in the order of their ids, models in that of their names; rows of the rest are prompts, columns models.

    left_out   models with answers that do not compete, and why
    """

    name: str
    prompts: tuple[Prompt, ...]
    models: tuple[RatedModel, ...]
    correct: tuple[tuple[float, ...], ...]
    cost: tuple[tuple[float, ...], ...]
    tokens: tuple[tuple[float, ...], ...]
    priced: bool = False
    left_out: tuple[tuple[str, str], ...] = ()

    def at(self, places: Sequence[int]) -> Pool:
        """The same models on some of the prompts."""
        return replace(
            self,
            prompts=tuple(self.prompts[i] for i in places),
            correct=tuple(self.correct[i] for i in places),
            cost=tuple(self.cost[i] for i in places),
            tokens=tuple(self.tokens[i] for i in places),
        )

    @property
    def singles(self) -> tuple[Point, ...]:
        """What always choosing the same model comes to, model by model."""
        count = len(self.prompts)
        costs = (sum(column) / count for column in zip(*self.cost, strict=True))
        correct = (sum(column) / count for column in zip(*self.correct, strict=True))
        return tuple(map(Point, costs, correct))

    @property
    def cheapest(self) -> int:
        """The model that costs least."""
        singles = self.singles
        return min(range(len(singles)), key=lambda m: (singles[m].cost, -singles[m].accuracy))

    @property
    def best(self) -> int:
        """The model that is right most often, the cheaper of equals."""
        singles = self.singles
        return max(range(len(singles)), key=lambda m: (singles[m].accuracy, -singles[m].cost))


def choose(
    table: Table,
    names: Sequence[str] = (),
    *,
    kinds: Sequence[str] = (),
    fits: Callable[[RatedModel], str] | None = None,
    coverage: float = COVERAGE,
) -> Pool:
    """The pool of the models named, or of all that converse and answered nearly every prompt.

    ``kinds`` are those allowed, all but base models without any; ``fits`` says why a model cannot run, and nothing when
    it can. Raises ``TableError`` for a name that is not in the table, and for a pool of fewer than two.
    """
    known = {model.name: model for model in table.models}
    unknown = [name for name in names if name not in known]
    if unknown:
        unsized = [name for name in unknown if name in table.unsized]
        why = "no parameters are known, so nothing tells its cost" if unsized else f"not one of {', '.join(known)}"
        raise TableError(f"{(unsized or unknown)[0]}: {why}")
    left_out: dict[str, str] = dict.fromkeys(table.unsized, "its parameters are not known")
    chosen: list[RatedModel] = []
    for model in table.models:
        share = len(table.answers[model.name]) / len(table.prompts)
        if names and model.name not in names:
            continue
        if fits is not None and (why := fits(model)):
            left_out[model.name] = why
        elif not names and (model.kind not in kinds if kinds else model.kind == BASE):
            left_out[model.name] = f"is of the kind {model.kind or 'unknown'}"
        elif not names and share < coverage:
            left_out[model.name] = f"answered {share:.0%} of the prompts"
        else:
            chosen.append(model)
    if len(chosen) < 2:
        reasons = "; ".join(f"{name} {why}" for name, why in sorted(left_out.items())[:4])
        raise TableError(f"{table.name}: {len(chosen)} models left to choose among, two are needed ({reasons})")
    answers = [table.answers[model.name] for model in chosen]
    prompts = sorted(
        (p for p in table.prompts if all(p.prompt_id in of_model for of_model in answers)), key=lambda p: p.prompt_id
    )
    if not prompts:
        raise TableError(f"{table.name}: no prompt that all of {', '.join(m.name for m in chosen)} answered")
    given = [[of_model[p.prompt_id] for of_model in answers] for p in prompts]
    return Pool(
        table.name,
        tuple(prompts),
        tuple(chosen),
        tuple(tuple(a.correct for a in row) for row in given),
        tuple(tuple(a.cost for a in row) for row in given),
        tuple(tuple(a.tokens for a in row) for row in given),
        table.priced,
        tuple(sorted(left_out.items())),
    )
