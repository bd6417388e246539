"""What is said of a pinned model that cannot answer is what keeps it from answering, no more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import SMALL, decision

from mai_core.cli.turnview import TurnView
from mai_core.policy.selection import Rejection, RejectionReason
from mai_core.runtime.turn import ModelChosen


@pytest.mark.parametrize(
    ("pinned", "why"),
    [("box/m", "box is off"), ("m", "too large here"), ("only-in-lm-studio", "no engine that answers has it")],
)
def test_why_a_pinned_model_does_not_answer(pinned: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    rejections = (
        Rejection(key="m", reason=RejectionReason.MEMORY, message="too large here"),
        Rejection(key="box/m", reason=RejectionReason.UNAVAILABLE, message="box is off"),
    )
    made = replace(decision(pinned=pinned), rejections=rejections)
    TurnView(markdown=False).show(ModelChosen(made))
    assert capsys.readouterr().err == f"{pinned} cannot answer, {SMALL.key} does: {why}\n"
