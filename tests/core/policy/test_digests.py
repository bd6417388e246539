"""What of a model's summary may stand for a conversation."""

from __future__ import annotations

import pytest

from mai_core.policy.digests import accepted

SOURCE = (
    "My sister Ilse lives in Tromsø. The invoice for the roof was 3,720 euros, due on 14 June. Can you explain how "
    "tides work? Tides follow the moon. We decided to paint the boat teal, and I still have to order the paint for it."
)
GOOD = "The person's sister Ilse lives in Tromsø. The invoice was 3,720 euros."


def test_keeps_what_was_said_a_sentence_a_line() -> None:
    assert accepted(GOOD, SOURCE) == "The person's sister Ilse lives in Tromsø.\nThe invoice was 3,720 euros."


@pytest.mark.parametrize(
    "invented",
    ["The bill was 4,720 euros.", "Her sister Ilse lives in Oslo.", "It is due on 15 June.", "They met Aunt Rosalind."],
)
def test_leaves_out_names_and_numbers_nobody_said(invented: str) -> None:
    assert accepted(f"{GOOD} {invented}", SOURCE) == accepted(GOOD, SOURCE)


def test_takes_lists_and_drops_their_preamble_and_marks() -> None:
    listed = "Here is the summary you wanted:\n\n- The invoice was **3,720 euros**.\n2. They paint the boat teal."
    assert accepted(listed, SOURCE) == "The invoice was 3,720 euros.\nThey paint the boat teal."


def test_says_nothing_twice() -> None:
    assert accepted(f"{GOOD} {GOOD}", SOURCE) == accepted(GOOD, SOURCE)


def test_leaves_out_the_sentence_the_limit_cut() -> None:
    assert accepted(f"{GOOD} And the boat is to be", SOURCE, is_whole=False) == accepted(GOOD, SOURCE)


def test_refuses_a_loop() -> None:
    assert accepted("They paint the boat teal and then " * 40, SOURCE * 20) == ""


@pytest.mark.parametrize("summary", ["", "  \n ", "Ok.", SOURCE], ids=range(4))
def test_refuses_what_is_empty_or_no_shorter(summary: str) -> None:
    assert accepted(summary, SOURCE) == ""
