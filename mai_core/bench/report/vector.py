"""What Matplotlib writes as SVG, made fit for a page: small, in its colours, and told to those who cannot see it.

Only Matplotlib's own text is rewritten here, never a name of anybody: names are escaped content of ``text`` elements,
and neither attribute values nor element names below can come from them.
"""

from __future__ import annotations

import re
from html import escape

from mai_core.bench.report.palette import GRID, INK, PAPER, QUIET, SERIES

__all__ = ["inline", "standalone"]

_HEAD = re.compile(r"\A.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_OPENING = re.compile(r"<svg\b[^>]*>")
_VIEW = re.compile(r'viewBox="([^"]+)"')
_TAG = re.compile(r"<[^>]*>")
_ID = re.compile(r'\bid="([^"]+)"')
_USED = re.compile(r'(?:url\(#|href="#)([^")]+)')
_COMMENT = re.compile(r"\s*<!--.*?-->", re.DOTALL)
_STYLE = re.compile(r"\s*<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_FONT = re.compile(r"(?<=font-family: )[^;\"]*|(?<=px )'[^;\"]*")
_TONES = {t.light: f"var({t.name})" for t in (INK, QUIET, GRID, PAPER, *SERIES)}


def standalone(text: str, title: str, caption: str) -> str:
    """A document of its own: opened anywhere, on paper, in the colours of the day."""
    body = _bare(text)
    opening = _OPENING.search(body)
    assert opening is not None
    ground = f'<rect width="100%" height="100%" fill="{PAPER.light}"/>'
    head = f"{opening[0]}{_told(title, caption)}{ground}"
    return '<?xml version="1.0" encoding="utf-8"?>\n' + _named(body.replace(opening[0], head, 1), "plot") + "\n"


def inline(text: str, key: str, title: str, caption: str) -> str:
    """An element for a page that has the tones as variables; ``key`` keeps its names apart from other plots'.

    The style of all of Matplotlib's elements would be that of the whole page: the page gives it to plots alone.
    """
    prefix = "plot-" + re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")
    body = _STYLE.sub("", _bare(text), count=1)
    opening = _OPENING.search(body)
    assert opening is not None
    view = _VIEW.search(opening[0])
    assert view is not None
    begins = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{view[1]}"'
    body = body.replace(opening[0], f"{begins}>{_told(title, caption)}", 1)
    return _named(_TAG.sub(_coloured, body), prefix)


def _bare(text: str) -> str:
    return _COMMENT.sub("", _METADATA.sub("", _HEAD.sub("", text))).strip()


def _told(title: str, caption: str) -> str:
    """For screen readers, and shown where a mouse rests."""
    return f"<title>{escape(title)}</title><desc>{escape(caption)}</desc>"


def _coloured(tag: re.Match[str]) -> str:
    """In one tag, colours and fonts become the page's."""
    told = _FONT.sub("system-ui, sans-serif", tag[0])
    for light, variable in _TONES.items():
        told = told.replace(light, variable)
    return told


def _named(body: str, prefix: str) -> str:
    """Names of what is used elsewhere in the plot get a prefix, all others go."""
    used = set(_USED.findall(body))

    def tag(found: re.Match[str]) -> str:
        told = _ID.sub(lambda name: f'id="{prefix}-{name[1]}"' if name[1] in used else "", found[0])
        told = _USED.sub(lambda use: f"{use[0][: -len(use[1])]}{prefix}-{use[1]}", told)
        return re.sub(r"\s+(?=/?>)", "", told)

    named = _TAG.sub(tag, body)
    return (
        re.sub(r"<svg\b", f'<svg role="img" aria-labelledby="{prefix}-title {prefix}-desc"', named, count=1)
        .replace("<title>", f'<title id="{prefix}-title">', 1)
        .replace("<desc>", f'<desc id="{prefix}-desc">', 1)
    )
