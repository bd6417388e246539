"""Laws of the live rendering, on a terminal that follows its escape sequences."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

from fakes import MARKDOWN
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text
from screen import Screen

from mai_core.cli.markdown import LiveMarkdown, render_markdown, rewraps_lines, split_blocks

HEIGHT = 8

BLOCKS = st.lists(
    st.sampled_from(
        [
            "# Heading",
            "A paragraph\nof two lines",
            "- one\n- two\n  - inner",
            "1. first\n\n2. second",
            "2. not the first",
            "```python\n# no heading\n\nx = 1\n```",
            "```\nnever closed",
            "| a | b |\n|---|---|\n| 1 | 2 |",
            "> quoted\nlazily",
            "***",
            "Title\n---",
            "    indented code",
            "<div>\nhtml\n</div>",
            "[link](https://example.org) ~~gone~~ `code`",
            "word " * 60,
            "\n".join(f"- item {n}" for n in range(30)),
            "unfinished **bold and `code",
        ]
    ),
    min_size=1,
    max_size=6,
)


def console(screen: Screen | None = None, height: int = HEIGHT) -> Console:
    return Console(
        file=screen,  # type: ignore[arg-type]
        force_terminal=True,
        color_system="standard",
        width=40,
        height=height,
        _environ={},
    )


def shown(pieces: list[str]) -> list[str]:
    screen = Screen(HEIGHT)
    live = LiveMarkdown(console(screen))
    for piece in pieces:
        live.feed(piece)
        live.draw()
    live.close()
    return screen.lines


def cut(text: str, points: list[int]) -> list[str]:
    edges = [0, *sorted({p % (len(text) + 1) for p in points}), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


@settings(max_examples=150, deadline=None)
@given(blocks=BLOCKS, points=st.lists(st.integers(0, 10_000), max_size=40))
@example(blocks=[MARKDOWN], points=list(range(0, 300, 3)))
@example(blocks=["1. first\n\n2. second"], points=[11])
def test_the_screen_ends_the_same_however_the_reply_arrives(blocks: list[str], points: list[int]) -> None:
    text = "\n\n".join(blocks)
    assert shown(cut(text, points)) == shown([text])


@settings(max_examples=100, deadline=None)
@given(blocks=BLOCKS, points=st.lists(st.integers(0, 10_000), max_size=8), waits=st.sets(st.integers(0, 9)))
def test_what_was_waited_for_leaves_no_trace(blocks: list[str], points: list[int], waits: set[int]) -> None:
    text = "\n\n".join(blocks)
    screen = Screen(HEIGHT)
    live = LiveMarkdown(console(screen))
    for place, piece in enumerate(cut(text, points)):
        live.feed(piece)
        live.draw()
        assert "…" not in "".join(screen.lines), "the reply went on"
        if place in waits:
            live.waiting = f"{'a model with a long name ' * 3} takes over"
            live.draw()
            assert [line for line in screen.lines if line][-1].endswith("…"), "in one line, below the reply"
    live.close()
    assert "\n".join(screen.lines).rstrip() == "\n".join(shown([text])).rstrip()


@settings(max_examples=100, deadline=None)
@given(blocks=BLOCKS, points=st.lists(st.integers(0, 10_000), max_size=5))
def test_no_text_is_lost_by_cutting_it_into_blocks(blocks: list[str], points: list[int]) -> None:
    text = "\n\n".join(blocks)
    for end in [p % (len(text) + 1) for p in points]:
        done, still_open = split_blocks(text[:end])
        assert "\n".join([*done, still_open]) == text[:end]


@settings(max_examples=150, deadline=None)
@given(
    blocks=BLOCKS,
    points=st.lists(st.integers(0, 10_000), max_size=20),
    characters=st.integers(1, 400),
    rest=st.sampled_from(["", " and so on", "\n\nAnother paragraph."]),
    height=st.sampled_from([HEIGHT, 500]),
)
@example(blocks=["one", "two", "three"], points=[0], characters=9, rest=" and a half", height=500)
def test_what_is_taken_back_leaves_the_screen(
    blocks: list[str], points: list[int], characters: int, rest: str, height: int
) -> None:
    """All of it where the screen is tall; on a small one whatever has not scrolled away, and never more."""
    text = "\n\n".join(blocks)
    characters = min(characters, len(text))
    screen = Screen(height)
    live = LiveMarkdown(console(screen, height))
    for piece in cut(text, points):
        live.feed(piece)
        live.draw()
    live.retract(characters)
    live.draw()
    live.feed(rest)
    live.close()
    if height > HEIGHT:
        kept = text[: len(text) - characters] + rest
        assert "\n".join(screen.lines).rstrip() == "\n".join(shown([kept])).rstrip()


SENTENCES = " ".join(f"word{n}" for n in range(120))


@settings(max_examples=100, deadline=None)
@given(widths=st.lists(st.integers(20, 110), min_size=2, max_size=6), taken=st.integers(0, 40))
@example(widths=[110, 60, 90], taken=0)
@example(widths=[100, 20, 100], taken=20)
def test_a_window_that_is_resized_shows_the_reply_once(widths: list[int], taken: int) -> None:
    screen = Screen(80)
    shown_on = Console(file=screen, force_terminal=True, width=widths[0], height=80, _environ={})  # type: ignore[arg-type]
    live = LiveMarkdown(shown_on)
    live.feed("Above.\n\n")
    for place, piece in enumerate(cut(SENTENCES, [len(SENTENCES) * n // len(widths) for n in range(1, len(widths))])):
        shown_on.width = widths[place]
        screen.resize(widths[place])
        live.feed(piece)
        live.draw()
    live.retract(taken)
    live.close()
    assert "".join(" ".join(screen.lines).split()) == f"Above.{SENTENCES[: len(SENTENCES) - taken]}".replace(" ", "")


def test_lines_that_a_terminal_may_have_moved_out_of_reach_are_not_drawn_again() -> None:
    written = io.StringIO()
    shown_on = Console(file=written, force_terminal=True, width=100, height=30, _environ={})
    live = LiveMarkdown(shown_on)
    live.feed(SENTENCES[:350])
    live.draw()
    for width in (60, 90):
        shown_on.width = width
        written.truncate(0)
        live.feed(" more")
        live.draw()
        assert "more" in written.getvalue()
        assert "word" not in written.getvalue()


def test_a_terminal_that_wraps_nothing_anew_loses_nothing_above() -> None:
    assert rewraps_lines({"TERM": "xterm-256color"})
    assert rewraps_lines({"TERM": "screen-256color", "TMUX": "/tmp/tmux", "XTERM_VERSION": "XTerm(379)"})
    for old in ({"TERM": "xterm", "XTERM_VERSION": "XTerm(379)"}, {"TERM": "linux"}, {"TERM": "screen"}):
        assert not rewraps_lines(old)


def test_every_block_of_a_reply_is_on_the_screen() -> None:
    text = "\n".join(shown([MARKDOWN]))
    for expected in (
        "Heading",
        "bold word and code, <div> kept",
        "• one",
        "def answer() -> int:",
        "a",
        "1",
        "The end.",
    ):
        assert expected in text
    assert "**" not in text
    assert "```" not in text


def test_a_reply_longer_than_the_screen_is_there_from_its_first_line() -> None:
    lines = shown([f"- item {n}\n" for n in range(40)])
    assert [line.strip() for line in lines if line] == [f"• item {n}" for n in range(40)]


def test_a_line_break_stays_a_line_break() -> None:
    lines = [Text.from_ansi(line).plain for line in render_markdown(console(), "roses\nviolets")]
    assert lines == ["roses", "violets"]


def test_only_changed_lines_are_written_again() -> None:
    written: list[str] = []

    class Recording(Screen):
        def write(self, text: str) -> None:
            written.extend(filter(None, [text]))
            super().write(text)

    live = LiveMarkdown(console(Recording(HEIGHT)))
    live.feed("a paragraph that\nhas three\nli")
    live.draw()
    written.clear()
    live.feed("nes")
    live.draw()
    live.draw()
    assert len(written) == 1
    assert "nes" in written[0]
    assert "three" not in written[0]


def test_an_empty_reply_leaves_no_trace() -> None:
    assert shown([""]) == [""]
    assert shown(["\n \n"]) == [""]


def anything() -> Any:
    return st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=200)


@settings(max_examples=100, deadline=None)
@given(text=anything())
def test_no_text_breaks_the_rendering(text: str) -> None:
    render_markdown(console(), text)
