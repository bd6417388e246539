"""Changing the settings file: one value changes, everything else stays, and nothing wrong is ever written."""

from __future__ import annotations

import copy
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mai_core.errors import SettingsError
from mai_core.settings import set_value, unset_value, validate
from mai_core.settings.document import parse_document
from mai_core.settings.spans import remove, render, replace

MINE = """\
# my settings
selection:   # how
  # above
  arbiter: "vote"   # beside
  # below

  strategies:
    - tiered  # the first
    - greedy-fit
memory: {headroom: 0.2, headroom_max: 4 GiB}  # in one line
context:
  # nothing here yet
log:
    level: debug
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "mai.yaml"
    path.parent.mkdir()
    path.write_text(MINE)
    return path


def changed(file: Path) -> list[str]:
    """The lines that came (+) and went (-)."""
    before, after = MINE.splitlines(), file.read_text().splitlines()
    return [f"-{line}" for line in before if line not in after] + [f"+{line}" for line in after if line not in before]


@pytest.mark.parametrize(
    ("name", "value", "lines"),
    [
        ("selection.arbiter", "first", ['-  arbiter: "vote"   # beside', "+  arbiter: first   # beside"]),
        ("selection.budget_ms", "20", ["+  budget_ms: 20"]),
        ("selection.options.tiered.small", "0.3", ["+  options:", "+    tiered:", "+      small: 0.3"]),
        ("selection.strategies", "[a, b]", ["-    - tiered  # the first", "-    - greedy-fit", "+    - a", "+    - b"]),
        (
            "selection.strategies",
            "[]",
            ["-  strategies:", "-    - tiered  # the first", "-    - greedy-fit", "+  strategies: []"],
        ),
        (
            "memory.headroom",
            "0.3",
            [
                "-memory: {headroom: 0.2, headroom_max: 4 GiB}  # in one line",
                "+memory: {headroom: 0.3, headroom_max: 4 GiB}  # in one line",
            ],
        ),
        (
            "memory.headroom_min",
            "1 MiB",
            [
                "-memory: {headroom: 0.2, headroom_max: 4 GiB}  # in one line",
                "+memory: {headroom: 0.2, headroom_max: 4 GiB, headroom_min: 1 MiB}  # in one line",
            ],
        ),
        ("context.window", "4096", ["+  window: 4096"]),
        ("context.system_prompt", 'Be: "nice" # so', ['+  system_prompt: "Be: \\"nice\\" # so"']),
        ("log.files", "5", ["+    files: 5"]),
        ("generation.seed", "null", ["+generation:", "+  seed: null"]),
        ("privacy", "local-only", ["+privacy: local-only"]),
        ("backends.my-own.type", "ollama", ["+backends:", "+  my-own:", "+    type: ollama"]),
    ],
)
def test_setting_changes_its_line_and_no_other(file: Path, name: str, value: str, lines: list[str]) -> None:
    stored = set_value(file, name, value)
    assert changed(file) == lines
    data: Any = parse_document(file.read_text(), "f").data
    for part in name.split("."):
        data = data[part]
    assert data == stored
    assert validate(file) == ()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("selection.arbiter", ['-  arbiter: "vote"   # beside']),
        ("log.level", ["-log:", "-    level: debug"]),
        ("log", ["-log:", "-    level: debug"]),
        ("selection.strategies", ["-  strategies:", "-    - tiered  # the first", "-    - greedy-fit"]),
        (
            "memory.headroom",
            [
                "-memory: {headroom: 0.2, headroom_max: 4 GiB}  # in one line",
                "+memory: {headroom_max: 4 GiB}  # in one line",
            ],
        ),
        (
            "memory.headroom_max",
            ["-memory: {headroom: 0.2, headroom_max: 4 GiB}  # in one line", "+memory: {headroom: 0.2}  # in one line"],
        ),
    ],
)
def test_unsetting_takes_its_lines_and_no_others(file: Path, name: str, lines: list[str]) -> None:
    assert unset_value(file, name)
    assert changed(file) == lines


def test_unsetting_what_is_not_there_changes_nothing(file: Path) -> None:
    assert not unset_value(file, "privacy")
    assert not unset_value(file, "selection.arbiter.deep")
    assert not unset_value(file.with_name("none.yaml"), "privacy")
    assert file.read_text() == MINE
    assert not file.with_name("none.yaml").exists()


def test_a_missing_file_is_made_with_its_folders(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "er" / "mai.yaml"
    assert set_value(file, "selection.arbiter", "first") == "first"
    assert parse_document(file.read_text(), "f").data == {"selection": {"arbiter": "first"}}
    assert file.read_text().startswith("# My settings for Mai")


def test_a_file_of_comments_keeps_them(file: Path) -> None:
    file.write_text("# only\n# comments")
    set_value(file, "privacy", "any")
    assert file.read_text() == "# only\n# comments\nprivacy: any\n"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("selection.arbitre", "first", 'unknown setting "arbitre" under selection; did you mean "arbiter"?'),
        (
            "selection.arbiter",
            "frist",
            'selection.arbiter must be "first" or "vote" or "weighted" or "exp4", not "frist"; did you mean "first"?',
        ),
        ("selection", "first", "selection must be a section of `name: value` lines"),
        ("log.files", "0", "log.files must be a whole number, 1 or more, not 0"),
        ("context.target", "0.9", "context.target (0.9) must be below context.trigger (0.7)"),
        ("backends.mine.url", "x", 'backends.mine needs "type"'),
        ("log.level.deep", "x", "log.level is not a section"),
        ("", "x", 'unknown setting ""'),
        ("generation.seed", "[1", "generation.seed:1: not valid YAML"),
    ],
)
def test_what_is_wrong_is_not_written(file: Path, name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        set_value(file, name, value)
    assert str(caught.value).startswith(said)
    assert file.read_text() == MINE
    assert os.listdir(file.parent) == [file.name]


def test_a_file_that_is_wrong_elsewhere_is_left_alone_until_that_is_mended(file: Path) -> None:
    file.write_text("privcy: any\nlog: {files: 2}\n")
    with pytest.raises(
        SettingsError, match=r':1: unknown setting "privcy"; did you mean "privacy"\?; nothing was changed'
    ):
        set_value(file, "log.files", "3")
    assert unset_value(file, "privcy")
    assert set_value(file, "log.files", "3") == 3
    assert file.read_text() == "log: {files: 3}\n"


def test_permissions_and_links_are_kept(file: Path, tmp_path: Path) -> None:
    file.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    set_value(link, "privacy", "any")
    assert link.is_symlink()
    assert "privacy: any" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match="not a directory"):
        set_value(tmp_path / "file" / "mai.yaml", "privacy", "any")


def test_a_write_that_fails_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SettingsError, match="cannot be written: no space left on device; nothing was changed"):
        set_value(file, "privacy", "any")
    assert file.read_text() == MINE
    assert os.listdir(file.parent) == [file.name]


def test_windows_line_ends_are_kept(file: Path) -> None:
    file.write_bytes(MINE.replace("\n", "\r\n").encode())
    set_value(file, "selection.budget_ms", "20")
    set_value(file, "log.files", "5")
    unset_value(file, "selection.arbiter")
    raw = file.read_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n") == MINE.count("\n") + 1
    assert validate(file) == ()


@pytest.mark.parametrize(
    "text",
    [
        "a: |\n  one\n  two\nb: 1\n",
        "a: >-\n  one\n\n# c\nb: 1\n",
        "a:\n- 1\n- 2\nb: 1\n",
        "a: 'x\n  y' # c\nb: 1\n",
        "a: [1,\n  2]\nb: 1\n",
    ],
)
def test_values_of_several_lines_are_replaced_and_removed_whole(text: str) -> None:
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert parse_document(replace(text, ["a"], 5, "f"), "f").data == {"a": 5, "b": 1}
    rest = remove(text, ["a"], "f")
    assert parse_document(rest, "f").data == {"b": 1}
    assert [line for line in rest.splitlines() if line.startswith("#")] == comments
    assert parse_document(replace(text, ["c", "d"], "e", "f"), "f").data["c"] == {"d": "e"}


@pytest.mark.parametrize("text", ["? a\n: 1\n...\n", "? a", "~\n"])
def test_a_layout_that_cannot_be_edited_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="laid out in a way Mai cannot edit; change b by hand"):
        replace(text, ["b"], 1, "f")


NAMES = st.sampled_from(["a", "b", "c", "on", "d e", "x-y", "1", "~"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(st.characters(codec="utf-8"), max_size=12)
    | st.sampled_from(
        ["first", "256 MiB", "yes", "null", "a: b", "- x", "#", "1e3", "2001-01-01", "", " ", "\n", "é", "'", '"']
    )
)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(NAMES, v, max_size=3), max_leaves=5)


def same(a: Any, b: Any) -> bool:
    return repr(a) == repr(b)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_every_value_is_written_so_that_it_is_read_back(value: Any) -> None:
    assert same(parse_document(f"k: {render(value)}", "f").data["k"], value)
    assert same(parse_document(f"k: [{render(value, flow=True)}]", "f").data["k"], [value])


LEAVES = st.sampled_from(["1", "first", "'q # t'", '"a b"', "[1, 2]", "{x: 1}", "", "{}", "~"])


@st.composite
def files(draw: st.DrawFn, depth: int = 0) -> list[str]:
    """The lines of a settings file as people write them: comments and blank lines anywhere, indented as they like."""
    lines: list[str] = []
    indent = draw(st.sampled_from([1, 2, 4]))
    for name in draw(st.lists(st.sampled_from("abcd"), unique=True, min_size=1, max_size=3)):
        lines += draw(st.lists(st.sampled_from(["# note", "", "  # far"]), max_size=2))
        beside = draw(st.sampled_from(["", "  # beside"]))
        if depth < 2 and draw(st.booleans()):
            lines.append(f"{name}:{beside}")
            lines += [(" " * indent + line) if line else "" for line in draw(files(depth + 1))]
        else:
            lines.append(f"{name}: {draw(LEAVES)}{beside}".replace(":  #", ":  #"))
    return lines


WHERE = st.lists(st.sampled_from("abcdx"), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(files(), WHERE, st.sampled_from([1, "first", "a: b", None, ["x"], 0.5]), st.booleans())
def test_setting_any_value_in_any_file_keeps_every_comment_and_the_order(
    lines: list[str], where: list[str], value: Any, ends: bool
) -> None:
    text = "\n".join(lines) + ("\n" if ends else "")
    before = parse_document(text, "f").data
    here: Any = before
    for part in where[:-1]:
        here = here.get(part) if isinstance(here, dict) else here
        assume(here is None or isinstance(here, dict))
        if here is None:
            break
    after = replace(text, where, value, "f")
    wanted = copy.deepcopy(before)
    here = wanted
    for part in where[:-1]:
        if not isinstance(here.get(part), dict):
            here[part] = {}
        here = here[part]
    here[where[-1]] = value
    assert parse_document(after, "f").data == wanted
    assert list(parse_document(after, "f").data)[: len(before)] == list(before)
    if not isinstance(_at(before, where), dict):
        assert after.count("# note") == text.count("# note")
        assert after.count("# far") == text.count("# far")
        assert after.count("# beside") == text.count("# beside")


def _alone(tree: object, where: list[str]) -> bool:
    """Whether a key is the only one in its section."""
    section = _at(tree, where[:-1]) if len(where) > 1 else tree
    return isinstance(section, dict) and len(section) == 1


@settings(max_examples=150, deadline=None)
@given(files(), WHERE)
def test_unsetting_anything_in_any_file_keeps_the_comments_between(lines: list[str], where: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    before = parse_document(text, "f").data
    after = remove(text, where, "f")
    assert _at(parse_document(after, "f").data, where) is None
    if isinstance(_at(before, where), dict) or any(_alone(before, where[:n]) for n in range(1, len(where) + 1)):
        return  # a section that goes, asked for or left empty, takes the comments inside along
    assert after.count("# note") == text.count("# note")
    assert after.count("# far") == text.count("# far")


def _at(data: Any, where: list[str]) -> Any:
    for part in where:
        data = data.get(part) if isinstance(data, dict) else None
    return data
