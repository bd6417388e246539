"""What is told long ago and asked for now is mostly still there."""

from __future__ import annotations

import pytest

from mai_core.bench.recall import FACTS, conversation, measure, table
from mai_strategies.transfers.full import Full
from mai_strategies.transfers.hybrid import Hybrid
from mai_strategies.transfers.recent import Recent


def test_every_fact_is_planted_once() -> None:
    text = "\n".join(m.content for m in conversation())
    assert [text.count(fact.told) for fact in FACTS] == [1] * len(FACTS)
    assert all(text.count(fact.key) == 1 for fact in FACTS)


@pytest.mark.parametrize("grown", [False, True], ids=["fresh", "grown"])
def test_hybrid_remembers_more_than_the_recent_messages(grown: bool) -> None:
    talk = conversation()
    hybrid, recent = (measure(transfer, talk, 0.2, grown=grown).all for transfer in (Hybrid(), Recent()))
    assert recent <= 0.25
    assert hybrid >= 0.5


def test_everything_is_there_when_everything_fits() -> None:
    assert measure(Full(), conversation(), 1.5, grown=False).all == 1.0


def test_table_has_two_lines_for_each_transfer() -> None:
    lines = table({"recent": Recent()}, seeds=(1,)).splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["recent", "fresh"], ["recent", "grown"]]
