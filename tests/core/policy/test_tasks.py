"""The file of weights: read as written, refused when broken, missed without harm."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from mai_core.errors import SettingsError
from mai_core.policy.kinds import TaskKind
from mai_core.policy.regression import Linear, regress, softmax
from mai_core.policy.tasks import TaskClass, TaskModel
from mai_core.runtime.judging import Judging
from mai_core.settings import load_task_model

ROWS = [{b"cell", b"a"}, {b"court", b"a"}, {b"cell", b"\xffx"}, {b"court", b"\xffx"}] * 3
CLASSES = (TaskClass("biology", TaskKind.KNOWLEDGE, "biology", 1.5), TaskClass("law", TaskKind.KNOWLEDGE, "law", 0.7))


def small() -> TaskModel:
    targets = [[1.0, 0.0, 0.2], [0.0, 1.0, 0.9]] * 6
    linear = regress(ROWS, targets, link=softmax, strength=0.1, rounds=30, curvature=0.5)
    return TaskModel(CLASSES, linear)


def test_what_is_dumped_is_loaded_but_for_rounding() -> None:
    model = small()
    read = TaskModel.load(model.dump({"of": "nothing"}))
    assert read.classes == model.classes
    assert set(read.weights.table) == set(model.weights.table)
    for row in ROWS:
        was, now = model.judge(row), read.judge(row)
        assert now.likely == was.likely
        assert now.evidence == was.evidence == 2
        assert now.difficulty == pytest.approx(was.difficulty, rel=0.01)
        assert now.confidence == pytest.approx(was.confidence, abs=0.02)


def test_loading_and_dumping_again_changes_nothing() -> None:
    once = TaskModel.load(small().dump({})).dump({})
    assert TaskModel.load(once).dump({}) == once


@pytest.mark.parametrize(
    "change",
    [
        {"version": 99},
        {"weights": "!!"},
        {"weights": "AAAA"},
        {"terms": "one"},
        {"bias": [1.0]},
        {"bias": ["x", "y", "z"]},
        {"steps": [0.0, 1.0, 1.0]},
        {"classes": [["a", "no-such-kind", "", 1.0]]},
        {"classes": None},
    ],
)
def test_a_broken_file_is_refused(change: dict[str, object]) -> None:
    data = json.loads(small().dump({}))
    with pytest.raises(ValueError, match=r"task weights|version|not a valid|convert"):
        TaskModel.load(json.dumps(data | change))


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense", b"\xff\xfe"])
def test_what_is_no_such_file_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting|task weights|decode"):
        TaskModel.load(text)


def test_the_shipped_weights_know_every_field_and_say_where_they_come_from() -> None:
    from mai_core.policy.kinds import FIELDS
    from mai_core.settings.shipped import shipped_file

    file = shipped_file("tasks.json")
    model = load_task_model()
    assert {c.field for c in model.classes} == {*FIELDS, ""}
    assert file.stat().st_size < 600_000
    told = json.loads(file.read_bytes())["provenance"]
    assert told["licences"] == "Apache-2.0"
    assert told["prompts"] > 9000
    assert isinstance(model.weights, Linear)


def test_without_weights_cues_do_and_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> TaskModel:
        raise SettingsError("tasks.json: torn", remedy="install Mai again")

    judging = Judging(broken)
    with caplog.at_level(logging.WARNING, "mai.judging"):
        assert judging.model is None
        assert judging.model is None
    assert [record.getMessage() for record in caplog.records] == ["prompts are judged by cues alone"]
    assert judging.trouble is not None


def test_help_reads_no_weights() -> None:
    script = (
        "import sys\nfrom mai_core.cli import main\nsys.argv = ['mai', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('mai_core.settings.tasks' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
