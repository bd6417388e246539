"""Plots: well-formed, the same bytes each time, told in words, and safe whatever somebody is called."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from mai_core.bench.report import plots
from mai_core.bench.report.figures import Axis, Figure, Kind, Series

from .made_up import EVIL, comparison, standing

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = comparison(standing("mine"), standing(EVIL), tables=("school",)).figures
NAMES = ("_hidden", "$x^2$", EVIL, "日本語")


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.key)
def test_a_plot_is_a_document_that_tells_what_it_is(figure: Figure) -> None:
    root = ElementTree.fromstring(plots.svg(figure))
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    named = {one.get("id"): one.text for one in root if one.tag in (f"{SVG}title", f"{SVG}desc")}
    assert [named[name] for name in str(root.get("aria-labelledby")).split()] == [figure.title, figure.caption]
    assert figure.title in texts(root)
    assert figure.x.label in texts(root)
    ElementTree.fromstring(plots.inline_svg(figure))


def test_there_is_a_plot_of_every_kind() -> None:
    assert {figure.kind for figure in FIGURES} == set(Kind)


@pytest.mark.parametrize("kind", [Kind.LINES, Kind.DOTS, Kind.BARS])
def test_names_stand_in_plots_as_they_are(kind: Kind) -> None:
    figure = named(kind)
    found = texts(ElementTree.fromstring(plots.svg(figure)))
    assert {plots.short(name) for name in NAMES} <= set(found)
    assert plots.png(figure).startswith(b"\x89PNG")


def test_the_same_figure_is_the_same_bytes() -> None:
    figure = named(Kind.LINES)
    assert plots.svg(figure) == plots.svg(figure)
    assert plots.png(figure) == plots.png(figure)
    assert "date" not in plots.svg(figure)


def test_a_persons_own_style_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    plain = plots.svg(named(Kind.LINES))
    monkeypatch.setitem(mpl.rcParams, "axes.labelpad", 30.0)
    assert plots.svg(named(Kind.LINES)) == plain
    assert mpl.rcParams["axes.labelpad"] == 30.0


def test_in_a_page_colours_are_the_pages() -> None:
    figure = named(Kind.LINES)
    assert "#0b6fb3" in plots.svg(figure)
    assert "#0b6fb3" not in plots.inline_svg(figure)
    assert "var(--s0)" in plots.inline_svg(figure)
    assert "<style" not in plots.inline_svg(figure)


def test_a_name_that_is_a_colour_stays_a_name() -> None:
    figure = named(Kind.LINES, "#0b6fb3", "url(#x)")
    assert {"#0b6fb3", "url(#x)"} <= set(texts(ElementTree.fromstring(plots.inline_svg(figure))))


def named(kind: Kind, *names: str) -> Figure:
    rows = names or NAMES
    return Figure(
        key="plot",
        title="A plot",
        caption="What it is.",
        kind=kind,
        x=Axis("here"),
        y=Axis("there"),
        rows=() if kind is Kind.LINES else tuple(rows),
        series=tuple(Series(name, ((1.0, float(i)), (2.0, float(i))), i) for i, name in enumerate(rows)),
    )


def texts(root: ElementTree.Element) -> list[str]:
    return [one.text or "" for one in root.iter(f"{SVG}text")]
