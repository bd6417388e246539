"""``mai bench compare``: small real comparisons, what they write, and how they end."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from conftest import Run

SMALL = ("--machine", "laptop-8gb", "--turns", "25", "--seeds", "2", "--jobs", "1")
TABLE = "prompt_id,task,model,correct,cost\n" + "".join(
    f"{i},{'sums' if i % 2 else 'words'},{model},{int((i * step) % 7 < most)},{cost}\n"
    for i in range(40)
    for model, step, most, cost in (("small", 3, 3, 1.0), ("large", 5, 5, 4.0))
)
OWN = '''
from dataclasses import dataclass
from typing import ClassVar

from mai_core.policy.selection import Proposal


@dataclass(frozen=True)
class Loyal:
    """Stay, whatever <b>happens</b>."""

    name: ClassVar[str] = "loyal"
    bonus: float = 0.5

    def propose(self, request):
        return [Proposal(c.key, 0.5 * c.quality + self.bonus * c.is_loaded) for c in request.candidates]
'''


def test_a_comparison_is_a_table_and_what_was_found(mai: Run) -> None:
    told = mai("bench", "compare", "tiered", "smallest", *SMALL)
    assert told.code == 0
    lines = told.out.splitlines()
    assert lines[0].split()[:2] == ["Strategy", "Quality"]
    assert [line.split()[0] for line in lines[1:3]] == ["tiered", "smallest"]
    assert any(line.startswith("tiered beside smallest: ") for line in lines)


def test_files_are_written_and_the_same_again(mai: Run, tmp_path: Path) -> None:
    def run(name: str, *more: str) -> dict[str, bytes]:
        folder = tmp_path / name
        places = ("--html", folder / "deep" / "r.html", "--svg", folder / "svg", "--png", folder / "png")
        assert mai("bench", "compare", "tiered", "smallest", *SMALL, *map(str, places), *more).code == 0
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.*")}

    first = run("first", "--resume", str(tmp_path / "kept.jsonl"))
    assert {name.split("/")[0] for name in first} == {"deep", "svg", "png"}
    kept = (tmp_path / "kept.jsonl").read_text().splitlines(keepends=True)
    assert len(kept) == 2
    (tmp_path / "kept.jsonl").write_text(kept[1] + kept[0][:40])
    assert run("again", "--resume", str(tmp_path / "kept.jsonl")) == first
    page = first["deep/r.html"].decode()
    assert "mai bench compare tiered smallest --machine laptop-8gb --workload mixed --turns 25 --seeds 2" in page
    assert str(tmp_path) not in page


def test_bounds_decide_the_exit_status(mai: Run) -> None:
    ask = ("bench", "compare", "smallest", "tiered", *SMALL)
    assert mai(*ask, "--fail-under", "quality=0.01", "--fail-under", "oom=0").code == 0
    told = mai(*ask, "--fail-under", "quality=0.99", "--fail-under", "waiting-p95=0", "--fail-under", "oom=0")
    assert told.code == 1
    lines = [line for line in told.err.splitlines() if line.startswith("not kept: ")]
    assert [line.split()[2] for line in lines] == ["quality", "waiting-p95"]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--fail-under", "beauty=1"),
        ("--fail-under", "quality=nobody"),
        ("--fail-under", "aiq=1"),
        ("--fail-under", "broken-laws=0"),
        ("--seeds", "1", "--fail-under", "quality=tiered"),
        ("--machine", "toaster"),
    ],
)
def test_wrong_usage_is_told_before_anything_runs(mai: Run, wrong: tuple[str, ...]) -> None:
    told = mai("bench", "compare", "smallest", "tiered", *SMALL, *wrong)
    assert told.code == 2
    assert told.out == ""


def test_json_is_one_document(mai: Run) -> None:
    told = mai("bench", "compare", "tiered", "smallest", *SMALL, "--json", "--fail-under", "quality=0.99")
    assert told.code == 1
    found = json.loads(told.out)
    assert list(found["contestants"]) == ["tiered", "smallest"]
    assert found["bounds"] == [{"bound": "quality=0.99", "kept": False, "told": found["bounds"][0]["told"]}]
    assert found["simulation"]["first"] == "tiered"
    assert found["first_less"]["smallest"]["quality"]["low"] is not None


def test_real_answers_and_a_class_of_ones_own(mai: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loyal_one.py").write_text(OWN)
    (tmp_path / "school.csv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    options = (*SMALL, "--table", "school.csv", "--html", "r.html", "--fail-under", "accuracy=1")
    told = mai("bench", "compare", "loyal_one:Loyal", "smallest", *options)
    assert told.code == 0, told.err
    assert "Accuracy" in told.out
    assert "loyal_one:Loyal on school: " in told.out
    page = (tmp_path / "r.html").read_text()
    assert "Stay, whatever &lt;b&gt;happens&lt;/b&gt;." in page
    assert "--table school.csv" in page
    assert mai("bench", "compare", "smallest", *SMALL, "--table", "school.csv").code == 2
    missing = mai("bench", "compare", "no_such_module:Loyal", *SMALL)
    assert missing.code == 1
    assert missing.err.startswith("mai: no_such_module cannot be imported")


def test_laws_stand_beside_everything_else(mai: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mai_core.cli.bench.contest.IN_WORLDS", 2)
    told = mai("bench", "compare", "tiered", "smallest", *SMALL, "--laws", "--fail-under", "broken-laws=0")
    assert told.code == 0
    assert "tiered and the laws: keeps all " in told.out
    assert "smallest and the laws" not in told.out
    assert mai("bench", "compare", "smallest", *SMALL, "--laws").code == 2


def test_without_matplotlib_the_report_says_how_to_get_plots(
    mai: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mai_core.bench.report.plots.can_draw", lambda: False)
    told = mai("bench", "compare", "smallest", *SMALL, "--html", str(tmp_path / "r.html"))
    assert told.code == 0
    assert "pip install 'mai[report]'" in told.err
    assert "<svg" not in (tmp_path / "r.html").read_text()
    refused = mai("bench", "compare", "smallest", *SMALL, "--svg", str(tmp_path / "plots"))
    assert refused.code == 1
    assert refused.err.startswith("mai: plots are drawn by Matplotlib, which is not here → pip install")
    assert refused.out == ""


def test_a_place_that_cannot_be_written_is_one_line(mai: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = mai("bench", "compare", "smallest", *SMALL, "--html", str(tmp_path / "file" / "r.html"))
    assert told.code == 1
    assert "cannot be written" in told.err.splitlines()[0]
    assert told.out == ""
