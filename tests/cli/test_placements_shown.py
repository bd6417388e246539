"""A model of several engines: which of them is pinned, what keeps it from running, who offers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from mai_core.cli.models import models_view
from mai_core.cli.switch import obstacle
from mai_core.policy.models import Footprint, LoadPlan, ModelProfile
from mai_core.policy.resources import ResourceSnapshot
from mai_core.policy.selection import Candidate, Rejection, RejectionReason
from mai_core.runtime.status import BackendStatus, ModelRow, Placement, Status


def placed(
    key: str, backend: str, *, runs: bool = True, reason: RejectionReason = RejectionReason.UNAVAILABLE, **more: Any
) -> Placement:
    profile = ModelProfile(key=key, model="m", backend=backend, location=key, size_bytes=2**20, origin="llama-server")
    if runs:
        candidate = Candidate(key=key, model="m", backend=backend, plan=LoadPlan(context=8192), footprint=Footprint(1))
        return Placement(profile=profile, candidate=candidate, **more)
    rejection = Rejection(
        key=key, model="m", backend=backend, reason=reason, message=f"{backend} is off", remedy="start it"
    )
    return Placement(profile=profile, rejection=rejection, **more)


class Rows:
    """Has of ``AsyncMai`` what is looked at."""

    def __init__(self, *placements: Placement, backends: Sequence[BackendStatus] = ()) -> None:
        self._placements, self._backends = placements, tuple(backends)

    async def models(self) -> tuple[ModelRow, ...]:
        return (ModelRow.of(self._placements),)

    async def get_status(self) -> Status:
        resources = ResourceSnapshot((), 0.0, 0.0)
        return Status(current=None, pinned="m", loaded=(), resources=resources, backends=self._backends)


@pytest.mark.parametrize(
    ("placements", "told"),
    [
        ([placed("m", "one"), placed("two/m", "two", runs=False, pinned=True)], "two is off → start it"),
        ([placed("m", "one", pinned=True), placed("two/m", "two", runs=False, pinned=True)], ""),
        ([placed("m", "one", pinned=True), placed("two/m", "two", runs=False)], ""),
        ([placed("m", "one"), placed("two/m", "two")], ""),
    ],
)
async def test_the_placement_that_is_pinned_counts(placements: list[Placement], told: str) -> None:
    said = await obstacle(Rows(*placements), "m")  # type: ignore[arg-type]
    assert said == (f"It cannot run now, so Mai chooses until it can: {told}" if told else "")


async def test_a_model_to_be_fetched_may_be_on_an_engine_that_is_down() -> None:
    wanted = placed("m", "embedded", runs=False, reason=RejectionReason.NOT_INSTALLED, pinned=True)
    down = BackendStatus(name="lms", kind="lmstudio", host="local", remote=False, error="nobody answers")
    gone = BackendStatus(name="ollama", kind="ollama", host="local", remote=False, error="not there", absent=True)
    said = await obstacle(Rows(wanted, backends=(down, gone)), "m")  # type: ignore[arg-type]
    assert said.endswith("; lms cannot be asked for it now: mai status says why")


def table(*placements: Placement, width: int = 120) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(models_view([ModelRow.of(placements)]))
    return captured.get().partition("\n")[2]


def test_who_offers_it_is_in_the_table_of_an_ordinary_terminal() -> None:
    assert "one, two (llama-server)" in table(placed("m", "one"), placed("two/m", "two"))
    places = [placed(f"{n}/m", f"server-number-{n}") for n in range(5)]
    shown = table(*places, width=90)
    assert all(f"server-number-{n}" in shown for n in range(5)), "over several lines if need be"


def test_where_a_model_is_pinned() -> None:
    assert table(placed("m", "one"), placed("two/m", "two", pinned=True)).startswith("m pinned on two ")
    assert table(placed("m", "one", pinned=True), placed("two/m", "two", pinned=True)).startswith("m pinned  ")


def test_what_only_its_server_knows_is_not_said_to_fit() -> None:
    profile = ModelProfile(key="m", backend="box", location="m")
    candidate = Candidate(key="m", plan=LoadPlan(context=8192))
    assert Placement(profile=profile, candidate=candidate).fit == "server decides"
    assert "server decides" in table(Placement(profile=profile, candidate=candidate))
    loaded = Candidate(key="m", plan=LoadPlan(context=8192), is_loaded=True)
    assert Placement(profile=profile, candidate=loaded).fit == "fits"
