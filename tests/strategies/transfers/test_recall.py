"""What is told long ago and asked for now is mostly still there."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from mai_core.bench.recall import Known, measure, table
from mai_core.bench.talks import FACTS, Fact, conversation, paragraphs, reference
from mai_core.plugin.interfaces import ContextTransfer
from mai_core.policy.messages import Role
from mai_strategies.transfers.full import Full
from mai_strategies.transfers.hybrid import Hybrid
from mai_strategies.transfers.recent import Recent
from mai_strategies.transfers.relevance import Relevance

TALK = conversation(120)


def share(known: Known, *kinds: str) -> float:
    judged = [is_known for fact, is_known in known.items() if not kinds or fact.kind in kinds]
    return sum(judged) / len(judged)


def test_every_fact_is_planted_once_and_every_key_is_unique() -> None:
    text = "\n".join(m.content for m in TALK)
    assert [text.count(fact.told) for fact in FACTS] == [1] * len(FACTS)
    assert all(fact.known_from(text) for fact in FACTS)
    for fact in FACTS:
        # In what is told at first and afterwards, but nowhere around.
        rest = text
        for own in FACTS:
            rest = rest.replace(own.told, "").replace(own.first or own.told, "")
        assert fact.key not in rest


def test_results_follow_their_calls() -> None:
    results = [k for k, m in enumerate(TALK) if m.role is Role.TOOL]
    assert len(results) == 3
    assert all(TALK[k - 1].tool_calls[0].id == TALK[k].tool_call_id for k in results)


def test_a_correction_counts_only_after_what_it_corrects() -> None:
    fact = Fact("corrected", "", "Pickle", "", outdated="Waldo")
    assert fact.known_from("Waldo, no: Pickle")
    assert fact.known_from("Pickle")
    assert not fact.known_from("Pickle, no: Waldo")
    assert not fact.known_from("Waldo")


@pytest.mark.parametrize("grown", [False, True], ids=["switch", "grown"])
@pytest.mark.parametrize("transfer", [Hybrid(), Relevance()], ids=["hybrid", "relevance"])
def test_remembers_far_more_than_the_recent_messages(transfer: ContextTransfer, grown: bool) -> None:
    known, recent = (measure(t, TALK, 0.15, grown=grown) for t in (transfer, Recent()))
    assert share(recent) <= 0.25
    assert share(known) >= 0.7
    assert share(known, "passing", "corrected", "code", "buried", "tool") >= 0.9


def test_everything_is_there_when_everything_fits() -> None:
    assert share(measure(Full(), TALK, 1.5, grown=False)) == 1.0


def test_table_has_two_lines_for_each_transfer_in_each_part() -> None:
    lines = table({"recent": Recent()}, [TALK]).splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("recent")] == 2 * [
        ["recent", "switch"],
        ["recent", "grown"],
    ]


def test_paragraphs_of_a_file(tmp_path: Path) -> None:
    paragraph = "a line of some length, " * 5
    (tmp_path / "a.txt").write_text(f"{paragraph}\n\nshort\n\n{paragraph}", encoding="utf-8")
    assert paragraphs(tmp_path / "a.txt") == (paragraph, paragraph)
    with gzip.open(tmp_path / "a.csv.gz", "wt", encoding="utf-8") as file:
        file.write(f'id,text\n1,"{paragraph}"\n2,short\n')
    assert paragraphs(tmp_path / "a.csv.gz") == (paragraph,)
    assert len(reference()) > 500
