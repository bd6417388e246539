"""The page: whole by itself, safe whatever somebody is called, the same for the same comparison, and told in words."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from mai_core.bench.report import plots
from mai_core.bench.report.comparison import Cell, Comparison
from mai_core.bench.report.lawful import Tried, lawful
from mai_core.bench.report.page import page
from mai_core.bench.report.thresholds import judged, threshold
from mai_core.bench.simulator.results import METRICS, Waits

from .made_up import EVIL, comparison, difference, standing, two

VOID = {"meta", "br"}


class Nested(HTMLParser):
    """Raises where an element is not closed in its order; remembers names, addresses and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        told: dict[str, Any] = dict(attrs)
        self.ids += [told["id"]] if "id" in told else []
        self.links += [value for name, value in told.items() if name in ("src", "href", "xlink:href", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "svg"):
            self.text.append(data)


def read(made: str) -> Nested:
    parser = Nested()
    parser.feed(made)
    parser.close()
    assert not parser.open
    return parser


def whole(made: Comparison) -> str:
    return page(made, {figure.key: plots.inline_svg(figure) for figure in made.figures}, plots.REMEDY)


@pytest.fixture(scope="module")
def evil() -> str:
    other = standing(f"{EVIL}'", beside=difference(quality=(0.2, 0.1)))
    return whole(comparison(standing(EVIL), other, tables=(EVIL,), about=EVIL))


def test_names_are_text_wherever_they_stand(evil: str) -> None:
    found = read(evil)
    assert "script" not in found.tags
    assert not re.search(r"<script|\son\w+=[\"']", evil)
    assert EVIL in "".join(found.text)
    assert f"mai bench compare {EVIL} {EVIL}'" in found.text


def test_it_needs_nothing_else(evil: str) -> None:
    found = read(evil)
    assert not {"script", "link", "img", "iframe", "object", "use-"} & set(found.tags)
    assert all(link.startswith("#") for link in found.links)
    addresses = set(re.findall(r"https?://[^\"' )<]+", evil))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in evil
    assert "url(http" not in evil


def test_every_name_of_a_plot_is_its_own(evil: str) -> None:
    found = read(evil)
    assert len(found.ids) == len(set(found.ids))
    used = set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", evil))
    assert used
    assert used <= set(found.ids)


def test_the_same_comparison_is_the_same_page() -> None:
    first, again = ({f.key: plots.inline_svg(f) for f in two().figures[:2]} for _ in range(2))
    assert page(two(), first) == page(two(), again)


def test_without_plots_there_is_everything_else() -> None:
    made = page(two(), {}, "pip install 'mai[report]'")
    assert "<svg" not in made
    assert "pip install &#x27;mai[report]&#x27;" in made
    assert "mine beside yours" in made
    assert "<table>" in made
    drawn = {figure.key: "<svg></svg>" for figure in two().figures}
    assert "pip install" not in page(two(), drawn, "pip install 'mai[report]'")


def test_sentences_claim_no_more_than_intervals_do() -> None:
    yours = standing(
        "yours",
        first=Waits(5.0, 1.0, 10.0, 20.0),
        beside=difference(quality=(-0.2, 0.1), first=(1.0, 0.5), joules=(50.0, 60.0)),
    )
    told = comparison(standing("mine"), yours)
    (line,) = [finding.told for finding in told.findings if finding.lead == "mine beside yours"]
    assert line == (
        "mine beside yours: better answers, quality 0.200 (0.100 to 0.300) higher; "
        "20 % less waiting for the first word, by 1.0 s (500 ms to 1.5 s); "
        "no difference that these worlds can tell in energy, switches and worth."
    )


@pytest.mark.parametrize(
    ("there", "less", "told"),
    [
        (200.0, 100.0, "50 % less energy, by 100 J (90 J to 110 J)"),
        (80.0, -20.0, "25 % more energy, by 20 J (10 J to 30 J)"),
        (20.0, -80.0, "5.0 times the energy, more by 80 J (70 J to 90 J)"),
        (0.0, -100.0, "more energy, by 100 J (90 J to 110 J)"),
    ],
)
def test_shares_are_of_what_the_other_has(there: float, less: float, told: str) -> None:
    yours = standing("yours", joules=there, beside=difference(joules=(less, 10.0)))
    (line,) = [f.text for f in comparison(standing("mine"), yours).findings if f.lead == "mine beside yours"]
    assert line.startswith(f"{told}; no difference")


def test_memory_that_was_not_there_is_told_of_whoever_wanted_it() -> None:
    told = comparison(standing("mine"), standing("yours", out_of_memory=2, lost=1))
    assert told.findings[-1].told.startswith(
        "Memory: yours ran out of memory 2 times and left 1 turn without an answer"
    )
    assert "nobody ever" in two().findings[-1].text


def test_who_loses_votes_is_named_with_the_reason() -> None:
    made = comparison(standing("mine", faults={f"{EVIL} {n}": 9 - n for n in range(5)}), standing("yours"))
    (told,) = [finding.told for finding in made.findings if "votes" in finding.text]
    assert told == (
        f"Faults of mine: lost votes in 400 turns: {EVIL} 0 (9 times); {EVIL} 1 (8 times); {EVIL} 2 (7 times); "
        "2 other ways."
    )
    assert made.cell("mine", "faults") == Cell(35.0)
    assert "faults" in made.headline.columns
    assert "faults" not in two().headline.columns


def test_one_world_alone_claims_nothing() -> None:
    told = two(**{name: (0.5, float("inf")) for name in METRICS})
    assert "one world alone" in next(f.text for f in told.findings if f.lead == "mine beside yours")


def test_the_best_of_a_column_is_bold_and_references_never_are() -> None:
    made = page(comparison(standing("mine", quality=0.7), standing("yours"), tables=("school",)), {}, "")
    assert '<td class="best">0.700</td>' in made
    assert '<td class="best">0.500</td>' not in made
    assert '<td class="best">0</td>' not in made
    assert '<tr class="reference">' in made
    assert 'class="best">90.00' not in made


def test_several_tables_are_told_apart() -> None:
    made = comparison(standing("mine"), tables=("school", "street"))
    assert made.cell("mine", "aiq@street") is not None
    assert made.cell("mine", "aiq") is None
    assert {"aiq@school", "aiq@street"} <= set(made.headline.columns)
    assert "AIQ, street" in page(made, {}, "")


def test_details_come_last() -> None:
    titles = [section.title for section in comparison(standing("mine"), tables=("school",)).sections]
    assert titles[-2:] == ["Real answers: school", "Machine by machine"]


def test_json_has_every_figure() -> None:
    told = two(quality=(-0.2, 0.1)).to_json()
    assert told["contestants"]["mine"]["figures"]["waiting-p95"] == {"value": 10.0, "low": None, "high": None}
    assert told["contestants"]["mine"]["figures"]["switches"]["value"] == 10.0
    assert told["first_less"]["yours"]["quality"] == pytest.approx({"value": 0.2, "low": 0.1, "high": 0.3})
    assert told["seed"] == 7


def test_laws_are_told_where_they_are_broken() -> None:
    tried = {
        "mine": Tried(40),
        "yours": Tried(38, broken=((EVIL, "Twice the same is the same."),), unjudged=(("steady", "never answers"),)),
    }
    made = two()
    made = Comparison(made.contestants, made.origin, (*made.parts, lawful(tried, worlds=100)))
    assert [finding.told for finding in made.findings[-2:]] == [
        "mine and the laws: keeps all 40.",
        f"yours and the laws: keeps 38 of 40; breaks {EVIL} (twice the same is the same); "
        "steady could not be judged (never answers).",
    ]
    assert "script" not in read(page(made, {}, "")).tags
    verdicts = judged(made, [threshold("broken-laws=0", ["mine", "yours"])])
    assert [verdict.kept for verdict in verdicts] == [True]
