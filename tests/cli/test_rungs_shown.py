"""How far a model came down the ladder, and who is kept out, where a person looks."""

from __future__ import annotations

from dataclasses import replace

from fakes import LOADED
from rich.console import Console, RenderableType

from mai_core.cli.models import models_view
from mai_core.cli.status import status_view
from mai_core.cli.why import why_view
from mai_core.policy.features import TaskFeatures
from mai_core.policy.ladder import rungs_of
from mai_core.policy.models import Footprint, KvType, LoadPlan, ModelProfile
from mai_core.policy.resources import ResourceSnapshot
from mai_core.policy.selection import Candidate, Decision, Move, Ranked, Rejection, RejectionReason, Rung
from mai_core.runtime.status import ModelRow, Placement, Status
from mai_core.runtime.turn import Explanation

SHORT = LoadPlan(context=2048)
PROFILE = ModelProfile(key="m", backend="embedded", location="m", size_bytes=1, max_context=4096)
LOW = Candidate(key="m", plan=SHORT, footprint=Footprint(1), wanted=8192, rung=Rung.SMALLER_CONTEXT)
WORDS = "smaller context: 2,048 of 8,192 tokens, memory is short"


def shown(view: RenderableType) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(view)
    return captured.get()


def explained(candidate: Candidate) -> str:
    decision = Decision(
        move=Move.START,
        choice="m",
        reason="the only one",
        ranking=(Ranked("m", 0.5, ""),),
        favourite="m",
        features=TaskFeatures(),
        candidates=(candidate,),
    )
    return shown(why_view(Explanation(decision=decision)))


def test_why_says_on_which_rung_the_choice_runs_and_that_there_is_room_again() -> None:
    assert "\nSmaller context: 2,048 of 8,192 tokens, memory is short\n" in explained(LOW)
    assert "memory is short; there is room for more by now" in explained(replace(LOW, better=LoadPlan(context=8192)))
    assert "context:" not in explained(replace(LOW, wanted=0)), "what others chose is no lack of memory"


def test_models_say_it_of_each() -> None:
    def row(candidate: Candidate) -> str:
        return shown(models_view([ModelRow.of([Placement(profile=PROFILE, candidate=candidate)])]))

    assert "smaller context  2,048 of 8,192 tokens, memory is short" in row(LOW)
    assert "fits  2,048 of 8,192 tokens" in row(replace(LOW, rung=Rung.FULL, is_loaded=True))
    assert "tokens" not in row(replace(LOW, rung=Rung.FULL, plan=LoadPlan(context=8192)))
    offloaded = replace(LOW, rung=Rung.PARTIAL_OFFLOAD, plan=LoadPlan(context=8192, gpu_layers=12))
    assert "partial offload  12 layers on the GPU" in row(offloaded)


def status(**facts: object) -> str:
    made = {"current": "m", "pinned": None, "loaded": (LOADED,), "resources": ResourceSnapshot((), 0.0, 0.0)} | facts
    return shown(status_view(Status(**made)))  # type: ignore[arg-type]


def test_status_says_it_of_what_is_loaded_and_who_is_kept_out() -> None:
    assert f"m  {WORDS}" in status(rungs={"m": WORDS})
    assert "memory is short" not in status()
    out = Rejection(key="ill", reason=RejectionReason.HEALTH, message="it failed 3 times", remedy="mai switch ill")
    assert "Kept out" in status(kept_out=(out,))
    assert "it failed 3 times" in status(kept_out=(out,))
    assert "mai switch ill" in status(kept_out=(out,))


def test_the_rungs_of_what_mai_has_loaded_are_those_below_what_the_model_could_have() -> None:
    low = replace(LOADED, key="m", plan=SHORT)
    assert rungs_of([low], [PROFILE], 8192) == {"m": "smaller context: 2,048 of 4,096 tokens, memory is short"}
    assert rungs_of([replace(low, plan=LoadPlan(context=4096))], [PROFILE], 8192) == {}
    assert rungs_of([replace(low, owned=False)], [PROFILE], 8192) == {}
    packed = replace(low, plan=LoadPlan(context=4096, kv_type=KvType.Q8_0))
    assert rungs_of([packed], [], 4096) == {"m": "quantised cache (q8_0): 4,096 tokens, memory is short"}
