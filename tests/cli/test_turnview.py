"""A reply is read whole: what is to be said of it comes before or after it, and names what matters."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace

import pytest
from fakes import LARGE, REMOTE, SMALL, decision

from mai_core.cli.turnview import TurnView
from mai_core.errors import BackendUnavailable, MaiError, ModelCrashed, ModelStruggles
from mai_core.policy.messages import TextDelta
from mai_core.policy.selection import Rejection, RejectionReason
from mai_core.policy.struggle import Struggle
from mai_core.runtime.turn import FellBack, Loading, ModelChosen, Retracted, TurnEvent

OFF = "lms: nobody answers at 127.0.0.1:1234"
CRASH = FellBack(SMALL.key, ModelCrashed("the model's process ended (signal 9)"), LARGE.key)
TOLD = f"{SMALL.key}: the model's process ended (signal 9)"


def shown(*events: TurnEvent | str) -> str:
    """Both outputs in one place, as ``2>&1`` or ``tee`` puts them."""
    page = io.StringIO()
    with redirect_stdout(page), redirect_stderr(page), TurnView(markdown=False) as view:
        for event in events:
            view.show(TextDelta(event) if isinstance(event, str) else event)
    return page.getvalue()


@pytest.mark.parametrize(
    ("pinned", "why"),
    [
        ("box/m", f"{OFF} → start it"),
        ("only", "too large here → free 1 GiB"),
        ("m", f"embedded: too large here; {OFF}"),
    ],
)
def test_why_a_pinned_model_does_not_answer(pinned: str, why: str) -> None:
    memory = Rejection(
        key="m",
        model="m",
        backend="embedded",
        reason=RejectionReason.MEMORY,
        message="too large here",
        remedy="free 1 GiB",
    )
    down = Rejection(
        key="box/m",
        model="m",
        backend="lms",
        reason=RejectionReason.UNAVAILABLE,
        message=OFF,
        remedy="start it",
    )
    others = (replace(memory, key="other/m", model="other/m"), replace(memory, key="only", model="only"))
    assert (
        shown(ModelChosen(replace(decision(pinned=pinned), rejections=(*others, memory, down))))
        == f"{pinned} cannot answer, {SMALL.key} does: {why}\n"
    )


def test_a_takeover_before_the_first_word_is_told_at_once() -> None:
    assert shown(CRASH, Loading(LARGE.key, 0.5), "An answer.") == f"{TOLD}; {LARGE.key} takes over\nAn answer.\n"


def test_a_takeover_in_mid_answer_is_told_after_it() -> None:
    assert (
        shown("Half an\nans", CRASH, Loading(LARGE.key, 0.5), "wer\nand the rest.")
        == f"Half an\nanswer\nand the rest.\n{TOLD}; {LARGE.key} took over\n"
    )


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([replace(CRASH, next=SMALL.key)], f"{TOLD}; it was started again"),
        (
            [replace(CRASH, next=SMALL.key), FellBack(SMALL.key, MaiError("no memory"), LARGE.key)],
            f"{TOLD}; {LARGE.key} took over",
        ),
        (
            [CRASH, FellBack(LARGE.key, BackendUnavailable(OFF), REMOTE.key)],
            f"{TOLD}; {LARGE.key}: {OFF}; {REMOTE.key} took over",
        ),
    ],
)
def test_only_who_went_on_is_said_to_have_taken_over(events: Sequence[TurnEvent], told: str) -> None:
    assert shown("Half an ans", *events, "wer.", " More.") == f"Half an answer. More.\n{told}\n"


def test_a_loop_stays_where_it_was_written_plainly_and_the_takeover_is_told() -> None:
    loops = FellBack(SMALL.key, ModelStruggles(f"{SMALL.key} went round in circles", Struggle.LOOPED), LARGE.key)
    assert (
        shown("Again. Again. Again.", Retracted(14), loops, " And on.")
        == f"Again. Again. Again. And on.\n{SMALL.key} went round in circles; {LARGE.key} took over\n"
    )


def test_a_failure_nobody_takes_over_from_is_left_to_the_error_that_follows() -> None:
    assert shown("Half an ans", CRASH, FellBack(LARGE.key, ModelCrashed("it ended"), None)) == "Half an ans\n"


def test_that_an_answer_leaves_the_machine_is_told_at_the_end_of_the_line() -> None:
    leaves = f"{REMOTE.key} answers from api.example.com: this conversation leaves your machine."
    assert shown(
        ModelChosen(decision()), "Half an ", replace(CRASH, next=REMOTE.key), "answer\nand", " more\nlines"
    ) == (f"Half an answer\n{leaves}\nand more\nlines\n{TOLD}; {REMOTE.key} took over\n")
