"""The worked example of the page on context is what really happens."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "context.md"


def test_worked_example() -> None:
    text = PAGE.read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```.*?```text\n(.*?)```", text, re.DOTALL)
    assert example
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example[1], str(PAGE), "exec"), {})
    assert printed.getvalue() == example[2]
