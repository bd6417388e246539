"""What was predicted of a model in memory, beside what was seen."""

from __future__ import annotations

import io

from rich.console import Console

from mai_core.cli.status import status_view
from mai_core.policy.learning import Basis, Estimate
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan
from mai_core.policy.resources import ResourceSnapshot
from mai_core.runtime.status import Held, Status

MIB = 2**20
KEY = "qwen2.5-coder-0.5b-instruct-q4_k_m"


def shown(held: dict[str, Held], width: int = 120) -> str:
    plan, footprint = LoadPlan(context=8192), Footprint(1210 * MIB, 1100 * MIB)
    loaded = LoadedModel(key=KEY, backend="b", instance="i", plan=plan, footprint=footprint, owned=True)
    status = Status(current=KEY, pinned=None, loaded=(loaded,), resources=ResourceSnapshot((), 0.0, 0.0), held=held)
    console = Console(file=io.StringIO(), width=width)
    console.print(status_view(status))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


HELD = Held.of(Estimate(Footprint(2200 * MIB), Footprint(2300 * MIB), 0.0154, Basis.LEARNED), Footprint(2310 * MIB))


def test_the_estimate_its_error_and_its_deviation_are_shown() -> None:
    told = shown({KEY: HELD})
    for words in ("2.1 GiB ±1.5%", "learned", "+5.0%"):
        assert words in told
        assert words not in shown({})


def test_eighty_columns_have_room_for_it() -> None:
    told = shown({KEY: HELD}, 80)
    for words in (KEY, "2.1 GiB ±1.5%", "learned"):
        assert words in told
