"""What is shown of a setting is what a person can type to set it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mai_core.settings import Settings
from mai_core.settings.overrides import typed_value, written

FREE = ("backends", "box", "option")
TEXT = ("context", "system_prompt")
LISTS = ("selection", "strategies")

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.text("ab:/.'\"{}[],#&*!|>%@- \n\t~1=?\\", max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | TEXTS
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXTS, v, max_size=3), max_leaves=6)


@given(VALUES)
@example("http://box:8000/v1")
@example("env:KEY")
@example({"a:b": "c:d", "true": "null", "": ""})
def test_any_value_of_an_option_comes_back(value: Any) -> None:
    assert repr(typed_value(Settings, FREE, written(Settings, FREE, value), "f")) == repr(value)


@given(TEXTS)
@example(" padded ")
@example('"quoted"')
@example("two\nlines")
def test_any_text_comes_back(text: str) -> None:
    assert typed_value(Settings, TEXT, written(Settings, TEXT, text), "f") == text


@given(st.lists(TEXTS, max_size=3))
def test_any_list_comes_back(names: list[str]) -> None:
    assert typed_value(Settings, LISTS, written(Settings, LISTS, tuple(names)), "f") == names


@pytest.mark.parametrize(
    ("where", "value", "shown"),
    [
        (("backends", "box"), {"type": "ollama", "url": "http://box"}, "{type: ollama, url: http://box}"),
        (FREE, {"key": "env:KEY", "m": [1, "1", None]}, '{key: env:KEY, m: [1, "1", null]}'),
        (LISTS, ("tiered", "greedy-fit"), "[tiered, greedy-fit]"),
        (FREE, "true", '"true"'),
        (FREE, "", '""'),
        (TEXT, "Be: nice # so", "Be: nice # so"),
        (TEXT, "", '""'),
        (TEXT, "\x1b[31mred", '"\\u001b[31mred"'),
        (("log", "content"), False, "false"),
    ],
)
def test_it_looks_like_yaml_on_one_line(where: tuple[str, ...], value: object, shown: str) -> None:
    assert written(Settings, where, value) == shown
