"""A table fits whatever it is put in, and keeps what matters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from mai_core.cli.output import ago, seconds, share, size, to_json, tokens
from mai_core.cli.tables import FittingTable, table

CELL = st.text(alphabet=st.characters(codec="ascii", min_codepoint=33), max_size=40)


def lines(made: FittingTable, width: int) -> list[str]:
    console = Console(width=width, color_system=None, _environ={})
    with console.capture() as captured:
        console.print(made)
    return captured.get().splitlines()


def models() -> FittingTable:
    made = table("Model", "Size", "Why", "From", right=("Size",), wrap=("Why",), drop=("From",))
    made.add_row("qwen2.5-coder-0.5b-instruct-q4_k_m", "469 MiB", "needs 40.6 GiB, and 3.1 GiB are free", "embedded")
    return made


@given(rows=st.lists(st.tuples(CELL, CELL, CELL, CELL), max_size=5), width=st.integers(50, 200))
def test_no_line_is_longer_than_the_terminal(rows: list[tuple[str, str, str, str]], width: int) -> None:
    made = table("Model", "Size", "Why", "From", right=("Size",), wrap=("Why",), drop=("From",))
    for row in rows:
        made.add_row(*row)
    assert all(cell_len(line) <= width for line in lines(made, width))


def test_a_wide_terminal_shows_everything_on_one_line() -> None:
    assert len(lines(models(), 120)) == 2
    assert "embedded" in lines(models(), 120)[1]


def test_columns_leave_before_names_are_cut() -> None:
    shown = "\n".join(lines(models(), 75))
    assert "From" not in shown
    assert "qwen2.5-coder-0.5b-instruct-q4_k_m" in shown
    assert "469 MiB" in shown


def test_names_are_cut_before_numbers() -> None:
    shown = "\n".join(lines(models(), 55))
    assert "469 MiB" in shown
    assert "…" in shown


def test_a_table_is_drawn_twice_the_same() -> None:
    made = models()
    lines(made, 55)
    assert lines(made, 120) == lines(models(), 120)


def test_sizes_and_times_read_well() -> None:
    assert [size(n) for n in (0, 700, 2048, 98 * 2**20, 3 * 2**30, -(2**20))] == [
        *("–", "700 B", "2 KiB", "98 MiB", "3.0 GiB", "-1 MiB"),
    ]
    assert [tokens(n) for n in (0, 700, 8192, 131072, 12_345)] == ["0", "700", "8k", "128k", "12.3k"]
    assert [seconds(s) for s in (0, 0.25, 2.94, 12.8, 150, 7200, 200_000, float("inf"))] == [
        *("0 s", "250 ms", "2.9 s", "13 s", "2 min", "2 h", "2 d", "–"),
    ]
    assert share(0.256) == "26%"
    assert ago(2**40) == "just now"


def test_json_has_no_infinities_and_sorted_sets() -> None:
    assert to_json({"a": float("inf"), "b": frozenset({"y", "x"}), "c": (1, 2)}) == {
        "a": None,
        "b": ["x", "y"],
        "c": [1, 2],
    }
