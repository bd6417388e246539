"""HTML whose text is always escaped: a name is somebody else's text, wherever it stands."""

from __future__ import annotations

from html import escape

__all__ = ["Markup", "element", "joined", "text"]

VOID = frozenset({"meta", "br"})


class Markup(str):
    """HTML. Only what is made here is of this class; every other string is text."""

    __slots__ = ()


def text(value: str) -> Markup:
    """Text as HTML."""
    return value if isinstance(value, Markup) else Markup(escape(value))


def element(tag: str, *children: str, **attributes: str) -> Markup:
    """An element. ``class_`` is the attribute ``class``; an attribute that is empty is left out."""
    told = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"' for name, value in attributes.items() if value
    )
    if tag in VOID:
        return Markup(f"<{tag}{told}>")
    return Markup(f"<{tag}{told}>{joined(*children)}</{tag}>")


def joined(*children: str) -> Markup:
    """Pieces one after the other."""
    return Markup("".join(map(text, children)))
