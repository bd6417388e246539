"""What was predicted of a model in memory, beside what was seen."""

from __future__ import annotations

import io

from rich.console import Console

from mai_core.cli.status import status_view
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan
from mai_core.policy.resources import ResourceSnapshot
from mai_core.runtime.status import Held, Status

MIB = 2**20


def shown(held: dict[str, Held]) -> str:
    plan = LoadPlan(context=8192)
    loaded = LoadedModel(key="m", backend="b", instance="i", plan=plan, footprint=Footprint(210 * MIB), owned=True)
    status = Status(current="m", pinned=None, loaded=(loaded,), resources=ResourceSnapshot((), 0.0, 0.0), held=held)
    console = Console(file=io.StringIO(), width=120)
    console.print(status_view(status))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_prediction_and_its_deviation_are_shown() -> None:
    assert "200 MiB +5.0%" in shown({"m": Held(Footprint(200 * MIB), Footprint(210 * MIB), 0.05)})
    assert "+5.0%" not in shown({})
