"""A comparison as one HTML page that needs nothing else: no network, no script, no font.

It is written for somebody who has never heard of Mai. It is a pure function of the comparison and of the plots drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files

from mai_core.bench.report.comparison import Cell, Comparison, Finding, Section, Table
from mai_core.bench.report.figures import Figure
from mai_core.bench.report.markup import Markup, element, joined
from mai_core.bench.report.metrics import Better, Unit, metric_of, written
from mai_core.bench.report.palette import tone, variables
from mai_core.bench.report.sentences import listed

__all__ = ["page"]

ABOUT = (
    "Mai is a chat assistant that runs language models on a person's own computer. Before every answer a strategy "
    "chooses which of the models at hand should give it: larger ones answer better, but are slower and need more "
    "memory. This report holds {what} against each other."
)

WORDS = (
    (
        "p50, p95, p99",
        "What half, 95 % and 99 % of all turns do not exceed. The larger ones tell how bad a bad turn is.",
    ),
    (
        "(3 to 8)",
        "A 95 % interval: if the same were tried again with other luck, the true difference would lie outside of it "
        "about once in twenty times. Where it holds 0, no difference is claimed. A percentage is a share of what the "
        "second strategy has.",
    ),
    ("Turn", "One question and its answer."),
    (
        "World",
        "One machine with one day of questions. Every strategy lives through the same worlds with the same luck.",
    ),
)

SIGNED = (Unit.POINTS,)


def page(comparison: Comparison, plots: Mapping[str, str], remedy: str = "") -> str:
    """The page. ``plots`` are SVG elements by key of figure; where one is missing ``remedy`` says how to get it."""
    places = {one.name: place for place, one in enumerate(comparison.contestants)}
    title = _title(comparison)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title}: strategies compared"),
        element("style", Markup(_style())),
    )
    missing = [figure for figure in comparison.figures if figure.key not in plots]
    body = element(
        "body",
        _header(comparison, title, places),
        element(
            "main",
            _findings(comparison.findings),
            element("h2", "The figures"),
            _table(comparison.headline, places),
            element(
                "p", "Bold: the best of a column, where one is. What each figure means stands below.", class_="quiet"
            ),
            element("p", f"Plots are missing: they need Matplotlib ({remedy}).") if missing else "",
            *(_section(section, plots, places) for section in comparison.sections),
            _facts(comparison),
            _glossary(comparison),
            element("h2", "What this does not know"),
            element("ul", *(element("li", limit) for limit in comparison.limits)),
            element("h2", "How to make it again"),
            element("pre", element("code", comparison.origin.command)),
            element("p", "The same command, version and settings give the same figures.", class_="quiet"),
        ),
        _footer(comparison),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _style() -> str:
    """Colours by day and by night, then the rest."""
    light, dark = variables(dark=False), variables(dark=True)
    sheet = files("mai_core.bench.report").joinpath("page.css").read_text(encoding="utf-8")
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n{sheet}"


def _title(comparison: Comparison) -> str:
    names = [one.name for one in comparison.contestants]
    return f"{names[0]} beside {listed(names[1:])}" if len(names) > 1 else names[0]


def _header(comparison: Comparison, title: str, places: Mapping[str, int]) -> Markup:
    count = len(comparison.contestants)
    what = f"{count} of them" if count > 1 else "one of them to what could be had at best"
    cast = (
        element("li", _name(one.name, places), f" – {one.about}" if one.about else "") for one in comparison.contestants
    )
    return element(
        "header",
        element("p", "Strategies compared", class_="kicker"),
        element("h1", title),
        element("p", ABOUT.format(what=what)),
        element("ul", *cast, class_="cast"),
    )


def _name(name: str, places: Mapping[str, int]) -> Markup:
    place = places.get(name)
    return element("span", name, class_="name", style=f"--own:var({tone(place).name})", title=name)


def _findings(findings: Sequence[Finding]) -> Markup:
    lines = (element("li", element("strong", f"{f.lead}: ") if f.lead else "", _unbroken(f.text)) for f in findings)
    told = element("ul", *lines, class_="findings")
    return joined(element("h2", "What was found"), told) if findings else Markup()


def _unbroken(told: str) -> str:
    """Numbers stay with their percent signs at the end of a line."""
    return told.replace(" %", "\N{NO-BREAK SPACE}%")


def _section(section: Section, plots: Mapping[str, str], places: Mapping[str, int]) -> Markup:
    drawn = [_figure(figure, plots[figure.key]) for figure in section.figures if figure.key in plots]
    if not drawn and not section.tables:
        return Markup()
    return joined(
        element("h2", section.title),
        element("p", section.text, class_="quiet") if section.text else "",
        element("div", *drawn, class_="plots") if drawn else "",
        *(_table(table, places) for table in section.tables),
    )


def _figure(figure: Figure, drawn: str) -> Markup:
    return element("figure", element("h3", figure.title), Markup(drawn), element("figcaption", figure.caption))


def _table(table: Table, places: Mapping[str, int]) -> Markup:
    best = [_best(table, column) for column in range(len(table.columns))]
    heads = (
        element("th", _label(key), element("span", _unit(key), class_="unit"), scope="col") for key in table.columns
    )
    rows = (
        element(
            "tr",
            element("th", _name(row.name, places), scope="row"),
            *(
                _cell(cell, key, best[i], row.reference)
                for i, (cell, key) in enumerate(zip(row.cells, table.columns, strict=True))
            ),
            class_="reference" if row.reference else "",
        )
        for row in table.rows
    )
    return element(
        "div",
        element(
            "table",
            element("caption", table.caption) if table.caption else "",
            element("thead", element("tr", element("th", "Strategy", scope="col"), *heads)),
            element("tbody", *rows),
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label="Figures",
    )


def _label(key: str) -> str:
    _, _, table = key.partition("@")
    return f"{metric_of(key).label}, {table}" if table else metric_of(key).label


def _unit(key: str) -> str:
    return metric_of(key).unit.value


def _cell(cell: Cell | None, key: str, best: str, reference: bool) -> Markup:
    if cell is None:
        return element("td", "–")
    unit = metric_of(key).unit
    told = written(unit, cell.value, signed=unit in SIGNED)
    interval = ""
    if cell.low is not None and cell.high is not None:
        low, high = (written(unit, bound, signed=unit in SIGNED) for bound in (cell.low, cell.high))
        interval = element("span", f"{low} to {high}", class_="interval")
    return element("td", told, interval, class_="best" if told == best and not reference else "")


def _best(table: Table, column: int) -> str:
    """The best of a column as it is written; nothing where more than half look alike."""
    metric = metric_of(table.columns[column])
    cells = [cell.value for row in table.rows if not row.reference and (cell := row.cells[column])]
    if len(cells) < 2:
        return ""
    told = [written(metric.unit, value, signed=metric.unit in SIGNED) for value in cells]
    best = told[cells.index(max(cells) if metric.better is Better.HIGHER else min(cells))]
    return best if 2 * told.count(best) <= len(told) else ""


def _facts(comparison: Comparison) -> Markup:
    if not comparison.facts:
        return Markup()
    return joined(element("h2", "What was compared on"), _definitions(comparison.facts))


def _glossary(comparison: Comparison) -> Markup:
    shown = dict.fromkeys(
        metric_of(key)
        for key in (
            *comparison.headline.columns,
            *(k for s in comparison.sections for t in s.tables for k in t.columns),
        )
    )
    metrics = [(metric.label, f"{metric.meaning} {_way(metric.better)}") for metric in shown]
    return joined(element("h2", "What the figures mean"), _definitions([*metrics, *WORDS]))


def _way(better: Better) -> str:
    return "Higher is better." if better is Better.HIGHER else "Lower is better."


def _definitions(pairs: Sequence[tuple[str, str]]) -> Markup:
    return element("dl", *(joined(element("dt", name), element("dd", told)) for name, told in pairs))


def _footer(comparison: Comparison) -> Markup:
    origin = comparison.origin
    parts = [f"Mai {origin.version}", f"seed {origin.seed}"]
    parts += [f"fingerprint {origin.fingerprint}"] if origin.fingerprint else []
    return element("footer", " · ".join(parts))
