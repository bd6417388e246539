"""The layers of the settings, where each value comes from, and what is said when one is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mai_core.errors import SettingsError
from mai_core.paths import Paths
from mai_core.settings import LoadedSettings, Settings, load_settings, validate
from mai_core.settings.document import LIMIT, parse_document

ARBITERS = '"first" or "vote" or "weighted" or "exp4"'


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parsed copy of the shipped files, made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def paths(tmp_path: Path, cache: Path) -> Paths:
    (tmp_path / "config").mkdir()
    return Paths(tmp_path / "config", tmp_path / "data", cache, tmp_path / "state")


def load(
    paths: Paths, text: str = "", env: Mapping[str, str] | None = None, flags: Sequence[str] | Mapping[str, Any] = ()
) -> LoadedSettings:
    paths.settings_file.write_text(text)
    return load_settings(paths, env or {}, flags)


def complaint(
    paths: Paths, text: str = "", env: Mapping[str, str] | None = None, flags: Sequence[str] | Mapping[str, Any] = ()
) -> str:
    with pytest.raises(SettingsError) as caught:
        load(paths, text, env, flags)
    said = str(caught.value)
    assert "\n" not in said
    return said.replace(str(paths.settings_file), "mai.yaml")


def test_without_a_file_everything_is_the_default(paths: Paths) -> None:
    loaded = load_settings(paths, {})
    assert loaded.settings == Settings()
    assert {leaf.origin for leaf in loaded.leaves()} == {"default"}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "{}", "~\n", "selection:\n#  arbiter: first\nlog:\n"])
def test_a_file_that_says_nothing_changes_nothing(paths: Paths, text: str) -> None:
    assert load(paths, text).settings == Settings()


def test_each_layer_outweighs_those_below_and_is_named(paths: Paths) -> None:
    text = "# mine\nselection:\n  arbiter: first\n  budget_ms: 20\nlog: {files: 7, level: debug}\n"
    env = {"MAI_SELECTION__BUDGET_MS": "30", "MAI_LOG__LEVEL": "error", "HOME": "/x"}
    loaded = load(paths, text, env, ["log.level=warning"])
    s = loaded.settings
    assert (s.selection.arbiter, s.selection.budget_ms, s.log.files, s.log.level) == ("first", 30.0, 7, "warning")
    assert loaded.origin("selection.arbiter") == f"{paths.settings_file}:3"
    assert loaded.origin("log.files") == f"{paths.settings_file}:5"
    assert loaded.origin("selection.budget_ms") == "MAI_SELECTION__BUDGET_MS"
    assert loaded.origin("log.level") == "command line"
    assert loaded.origin("privacy") == "default"


def test_files_in_the_home_folder_are_shown_with_a_tilde(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(paths.config.parent))
    assert load(paths, "privacy: any\n").origin("privacy") == "~/config/mai.yaml:1"


def test_a_section_of_a_backend_is_merged_with_the_default_one(paths: Paths) -> None:
    loaded = load(paths, "backends:\n  embedded:\n    threads: 2\n  attic: {type: ollama, enabled: false}\n")
    embedded = loaded.settings.backends["embedded"]
    assert (embedded.type, embedded.enabled, embedded.options) == ("embedded", True, {"threads": 2})
    assert loaded.settings.backends["attic"].options == {}
    assert loaded.origin("backends.embedded.type") == "default"
    assert loaded.origin("backends.embedded.threads") == f"{paths.settings_file}:3"


def test_lists_are_replaced_whole(paths: Paths) -> None:
    loaded = load(paths, "selection:\n  strategies:\n    - tiered\n", {"MAI_SELECTION__STRATEGIES": "[a, b]"})
    assert loaded.settings.selection.strategies == ("a", "b")
    assert loaded.origin("selection.strategies") == "MAI_SELECTION__STRATEGIES"


@pytest.mark.parametrize(
    ("size", "count"), [("256 MiB", 2**28), ("1MB", 10**6), ("1.5 GiB", 3 * 2**29), ("512", 512), ("4 KiB", 4096)]
)
def test_sizes_may_be_written_as_people_do(paths: Paths, size: str, count: int) -> None:
    assert load(paths, f"log: {{max_bytes: {size}}}").settings.log.max_bytes == count


def test_origin_knows_settings_only(paths: Paths) -> None:
    loaded = load(paths)
    with pytest.raises(SettingsError, match='unknown setting "arbitr" under selection; did you mean "arbiter"'):
        loaded.origin("selection.arbitr")
    with pytest.raises(SettingsError, match="selection is a section"):
        loaded.origin("selection")


WRONG = [
    (
        "\nselection:\n  arbitre: first\n",
        'mai.yaml:3: unknown setting "arbitre" under selection; did you mean "arbiter"?',
    ),
    ("privcy: any\n", 'mai.yaml:1: unknown setting "privcy"; did you mean "privacy"?'),
    ("arbiter: first\n", 'mai.yaml:1: unknown setting "arbiter"; did you mean selection.arbiter?'),
    ("zzzzzz: 1\n", 'mai.yaml:1: unknown setting "zzzzzz"'),
    (
        "selection:\n  arbiter: frist\n",
        f'mai.yaml:2: selection.arbiter must be {ARBITERS}, not "frist"; did you mean "first"?',
    ),
    ("memory:\n  headroom: 10\n", "mai.yaml:2: memory.headroom must be a number from 0 to 1, not 10"),
    ("memory:\n  headroom: .nan\n", "mai.yaml:2: memory.headroom must be a number from 0 to 1, not NaN"),
    ("memory:\n  headroom: true\n", "mai.yaml:2: memory.headroom must be a number from 0 to 1, not true"),
    ("log: {max_bytes: big}", 'mai.yaml:1: log.max_bytes must be a size such as 256 MiB, not "big"'),
    ("log: {content: 1}", "mai.yaml:1: log.content must be true or false, not 1"),
    ("log: {files: 0}", "mai.yaml:1: log.files must be a whole number, 1 or more, not 0"),
    ("generation: {seed: 1.5}", "mai.yaml:1: generation.seed must be a whole number or null, not 1.5"),
    ("generation: {token_deadline: 0}", "mai.yaml:1: generation.token_deadline must be a number above 0, not 0"),
    ("context: {system_prompt: 5}", "mai.yaml:1: context.system_prompt must be text, not 5"),
    ("selection: 5\n", "mai.yaml:1: selection must be a section of `name: value` lines, not 5"),
    (
        "selection:\n  strategies: tiered\n",
        'mai.yaml:2: selection.strategies must be a list such as [a, b], not "tiered"',
    ),
    (
        "selection:\n  strategies:\n  - tiered\n  - 4\n",
        "mai.yaml:4: selection.strategies[1] must be text, not 4",
    ),
    (
        "selection: {options: {tiered: 5}}",
        "mai.yaml:1: selection.options.tiered must be a section of `name: value` lines, not 5",
    ),
    ("backends:\n  mine:\n    typ: x\n", 'mai.yaml:2: backends.mine needs "type"; did you mean it by "typ"?'),
    ("\ncontext:\n  target: 0.9\n", "mai.yaml:3: context.target (0.9) must be below context.trigger (0.7)"),
    (
        "memory: {headroom_max: 1 MiB}",
        "mai.yaml:1: memory.headroom_min (268435456) must be at most memory.headroom_max (1048576)",
    ),
    ("context: {window: 512}", "mai.yaml:1: context.minimum (1024) must be at most context.window (512)"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_wrong_name_or_value_says_where_what_and_what_was_meant(paths: Paths, text: str, said: str) -> None:
    assert complaint(paths, text) == said
    assert [line.replace(str(paths.settings_file), "mai.yaml") for line in validate(paths.settings_file)] == [said]


def test_of_several_problems_one_is_shown_and_all_are_kept(paths: Paths) -> None:
    text = "privcy: any\nlog:\n  level: loud\n  files: -1\n"
    assert complaint(paths, text).endswith("(and 2 more)")
    assert len(validate(paths.settings_file)) == 3
    with pytest.raises(SettingsError) as caught:
        load(paths, text)
    assert len(caught.value.detail.splitlines()) == 3


NOT_YAML = [
    ("log:\n\tlevel: info\n", "mai.yaml:2: a tab where YAML wants spaces"),
    ("log: {}\nprivacy: any\nlog: {}\n", 'mai.yaml:3: "log" is set twice, first on line 1'),
    ("privacy: any\nprivacy: any\n", 'mai.yaml:2: "privacy" is set twice, first on line 1'),
    ("- privacy\n", "mai.yaml:1: not a list of settings; write each as `name: value`"),
    ("just words\n", "mai.yaml:1: not a list of settings; write each as `name: value`"),
    ("log: &a [*a]", "mai.yaml:1: an anchor used twice; write the value out instead"),
    (
        "log: !!python/object:os.system {}",
        "mai.yaml:1: the tag tag:yaml.org,2002:python/object:os.system is not supported",
    ),
    ("1: 2", 'mai.yaml:1: 1 is not a name; put it in quotes: "1"'),
    ("[" * 5000, "mai.yaml: nested too deeply"),
    ("privacy: any\x07\n", "mai.yaml: not valid YAML: it holds a control character"),
]


@pytest.mark.parametrize(("text", "said"), NOT_YAML)
def test_what_is_not_a_mapping_of_settings_is_one_clear_line(paths: Paths, text: str, said: str) -> None:
    assert complaint(paths, text) == said


@pytest.mark.parametrize(
    ("text", "line"),
    [('log:\n  level: "in', 3), ("log: {level: info\n", 2), ("log:\n  level: a: b\n", 2), ("a: 1\n---\nb: 2\n", 2)],
)
def test_half_written_yaml_names_file_and_line(paths: Paths, text: str, line: int) -> None:
    said = complaint(paths, text)
    assert said.startswith("mai.yaml:")
    assert "not valid YAML: " in said
    assert int(said.split(":")[1]) in (line - 1, line)


def test_a_binary_file_and_one_in_another_encoding(paths: Paths) -> None:
    paths.settings_file.write_bytes(b"\x7fELF\0\0\0")
    with pytest.raises(SettingsError, match="is not a text file"):
        load_settings(paths, {})
    paths.settings_file.write_bytes("# Grüße\n# Grüße".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"mai\.yaml:1: not valid UTF-8"):
        load_settings(paths, {})


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(paths: Paths) -> None:
    paths.settings_file.write_bytes(b"\xef\xbb\xbflog:\r\n  files: 5\r\n")
    loaded = load_settings(paths, {})
    assert loaded.settings.log.files == 5
    assert loaded.origin("log.files").endswith(":2")


def test_a_huge_file_is_refused_unread(paths: Paths) -> None:
    assert complaint(paths, "#" * (LIMIT + 1)).endswith(
        f"is larger than {LIMIT // 1024} KiB: that is not a settings file"
    )


def test_a_folder_a_pipe_and_a_dangling_link_in_its_place(paths: Paths) -> None:
    paths.settings_file.mkdir()
    with pytest.raises(SettingsError, match=r"mai\.yaml is a folder"):
        load_settings(paths, {})
    paths.settings_file.rmdir()
    os.mkfifo(paths.settings_file)
    with pytest.raises(SettingsError, match="is not a regular file"):
        load_settings(paths, {})
    paths.settings_file.unlink()
    paths.settings_file.symlink_to("nowhere.yaml")
    with pytest.raises(SettingsError, match=r"is a link to a file that does not exist: nowhere\.yaml"):
        load_settings(paths, {})


@pytest.fixture
def nobody() -> Iterator[None]:
    """Permissions do not bind root: become someone else for a while."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


def test_a_file_one_may_not_read(paths: Paths, request: pytest.FixtureRequest) -> None:
    load(paths, "privacy: any\n")
    paths.settings_file.chmod(0)
    request.getfixturevalue("nobody")
    with pytest.raises(SettingsError, match=r"mai\.yaml cannot be read: permission denied"):
        load_settings(paths, {})


ENVIRONMENT = [
    (
        {"MAI_SELECTION__ARBITRE": "first"},
        "MAI_SELECTION__ARBITRE: no such setting; did you mean MAI_SELECTION__ARBITER?",
    ),
    (
        {"MAI_SELECTION_ARBITER": "first"},
        "MAI_SELECTION_ARBITER: no such setting; did you mean MAI_SELECTION__ARBITER?",
    ),
    ({"MAI_QQQQ": "1"}, "MAI_QQQQ: no such setting"),
    ({"MAI_PRIVACY__": "any"}, "MAI_PRIVACY__: no such setting; did you mean MAI_PRIVACY?"),
    ({"MAI_LOG__LEVEL__X": "1"}, "MAI_LOG__LEVEL__X: no such setting; did you mean MAI_LOG__LEVEL?"),
    (
        {"MAI_SELECTION__ARBITER": "frist"},
        f'MAI_SELECTION__ARBITER: selection.arbiter must be {ARBITERS}, not "frist"; did you mean "first"?',
    ),
    ({"MAI_LOG__FILES": "many"}, 'MAI_LOG__FILES: log.files must be a whole number, 1 or more, not "many"'),
    (
        {"MAI_SELECTION": "{arbitre: first}"},
        'MAI_SELECTION: unknown setting "arbitre" under selection; did you mean "arbiter"?',
    ),
]


@pytest.mark.parametrize(("env", "said"), ENVIRONMENT)
def test_a_wrong_variable_is_named(paths: Paths, env: dict[str, str], said: str) -> None:
    assert complaint(paths, env=env) == said


def test_a_variable_that_is_not_yaml_is_named(paths: Paths) -> None:
    assert complaint(paths, env={"MAI_SELECTION__STRATEGIES": "[a"}).startswith(
        "MAI_SELECTION__STRATEGIES:1: not valid YAML"
    )


def test_variables_are_read_as_yaml_and_text_as_it_is(paths: Paths) -> None:
    env = {
        "MAI_SELECTION__STRATEGIES": "[tiered, 'cost-aware']",
        "MAI_GENERATION__SEED": "7",
        "MAI_LOG__CONTENT": "true",
        "MAI_MEMORY__HEADROOM_MAX": "3 GiB",
        "MAI_CONTEXT__SYSTEM_PROMPT": "be: nice # [really",
        "MAI_LOG__LEVEL": '"debug"',
    }
    s = load(paths, env=env).settings
    assert s.selection.strategies == ("tiered", "cost-aware")
    assert (s.generation.seed, s.log.content, s.memory.headroom_max) == (7, True, 3 * 2**30)
    assert (s.context.system_prompt, s.log.level) == ("be: nice # [really", "debug")


def test_variables_find_names_with_hyphens(paths: Paths) -> None:
    env = {
        "MAI_SELECTION__OPTIONS__COST_AWARE__TARGET_QUALITY": "0.5",
        "MAI_BACKENDS__HOME_SERVER__TYPE": "ollama",
        "MAI_BACKENDS__MY_OWN__ENABLED": "false",
    }
    loaded = load(paths, "backends:\n  my_own: {type: x}\n", env)
    assert loaded.settings.selection.options == {"cost-aware": {"target_quality": 0.5}}
    assert loaded.settings.backends["home-server"].type == "ollama"
    assert not loaded.settings.backends["my_own"].enabled
    assert loaded.origin("backends.my_own.enabled") == "MAI_BACKENDS__MY_OWN__ENABLED"


def test_an_empty_variable_and_those_of_other_purpose_say_nothing(paths: Paths) -> None:
    env = {"MAI_LOG__LEVEL": "", "MAI_HOME": "/x", "MAI_TEST_WEIGHTS": "/y", "MAIL": "z"}
    assert load(paths, env=env).settings == Settings()


FLAGS: list[tuple[list[str], str]] = [
    (["selection.arbitre=first"], 'command line: unknown setting "arbitre" under selection; did you mean "arbiter"?'),
    (["selection.arbiter"], "command line: selection.arbiter is not name=value; write --set selection.arbiter=value"),
    (["selection.arbiter=5"], f'command line: selection.arbiter must be {ARBITERS}, not "5"'),
    (["log.level.deep=5"], 'command line: log.level is not a section but "debug" or "info" or "warning" or "error"'),
    (["log.files=[1"], "command line: log.files:1: not valid YAML"),
    (["=5"], 'command line: unknown setting ""'),
    (["log..files=5"], 'command line: unknown setting "" under log'),
]


@pytest.mark.parametrize(("flags", "said"), FLAGS)
def test_a_wrong_flag_is_named(paths: Paths, flags: list[str], said: str) -> None:
    assert complaint(paths, flags=flags).startswith(said)


def test_flags_may_be_a_mapping_of_values(paths: Paths) -> None:
    loaded = load(paths, flags={"selection.strategies": ["a"], "log.files": 9, "log.level": "debug"})
    assert loaded.settings.selection.strategies == ("a",)
    assert (loaded.settings.log.files, loaded.settings.log.level) == (9, "debug")


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("ab:-[]{}#&*!|>'\"%@`\n\t 1.", max_size=60))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    said = None
    try:
        document = parse_document(text, "f")
    except SettingsError as error:
        said = str(error)
    if said is None:
        assert isinstance(document.data, dict)
    else:
        assert said.startswith("f")
        assert "\n" not in said


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('abc é"\\', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), VALUES, max_size=4))
def test_json_means_the_same_as_in_json(data: dict[str, Any]) -> None:
    assert parse_document(json.dumps(data, indent=1), "f").data == data
