"""What ``mai calibrate`` shows, and that a fresh install is told what to do."""

from __future__ import annotations

import io
import json

import fakes
import pytest
from conftest import Run
from rich.console import Console

from mai_core.cli.calibrate import calibration_json, memory_view, speed_view
from mai_core.cli.output import to_json
from mai_core.policy.calibration import Untried
from mai_core.policy.learning import Basis, Correction, Corrections, Estimate
from mai_core.policy.models import Footprint
from mai_core.policy.speed import Machine, MeasuredSpeed, Speed
from mai_core.runtime.calibrating import Calibrated, Calibration

MIB = 2**20

SMALL = Calibrated(
    model=fakes.SMALL,
    context=8192,
    repetitions=3,
    predicted=Estimate(Footprint(220 * MIB, 110 * MIB), Footprint(240 * MIB, 112 * MIB), 0.03, Basis.HEADER),
    measured=Footprint(190 * MIB, 110 * MIB),
    corrections=Corrections(private=Correction(0.87, 0.015, 3), basis=Basis.LEARNED),
    expected=Speed(300.0, 100.0, 0.45),
    speed=MeasuredSpeed(240.0, 80.5, 0.6),
)
FAILED = Calibrated(
    model=fakes.LARGE, context=8192, expected=Speed(80.0, 20.0, 1.5), fault="it broke", remedy="mend it"
)


def _drawn(made: object) -> list[str]:
    console = Console(file=io.StringIO(), width=120)
    console.print(made)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


def test_predicted_stands_beside_measured() -> None:
    (line,) = _drawn(memory_view([SMALL]))[1:]
    assert line.split() == (
        ["smollm2-135m-instruct-q4_1", "8192", "330", "MiB", "300", "MiB", "+10.0%", "×0.870", "±3.0%", "→", "±1.3%"]
    )
    (line,) = _drawn(speed_view([SMALL]))[1:]
    assert " ".join(line.split()) == "smollm2-135m-instruct-q4_1 600 ms (450 ms) 240 (300) 80.5 (100.0) 3"


def test_eighty_columns_keep_names_whole() -> None:
    for view in (memory_view, speed_view):
        console = Console(file=io.StringIO(), width=80)
        console.print(view([FAILED]))
        assert fakes.LARGE.key in console.file.getvalue()  # type: ignore[attr-defined]


def test_what_was_not_measured_is_not_made_up() -> None:
    (line,) = _drawn(memory_view([FAILED]))[1:]
    assert line.split() == ["qwen2.5-coder-0.5b-instruct-q4_k_m", "8192", *"–––––"]


def test_json_has_it_all_in_plain_numbers() -> None:
    found = Calibration(
        models=[SMALL, FAILED],
        untried=(Untried("huge", "does not fit", "free memory"),),
        after=Machine(bytes_per_second=8e9),
        seconds=9.0,
    )
    told = json.loads(json.dumps(to_json(calibration_json(found))))
    first, second = told["models"]
    assert first["memory"]["error"] == pytest.approx(0.1)
    assert first["memory"]["measured"]["anonymous"] == 190 * MIB
    assert first["speed"]["expected"]["prompt_tps"] == 300.0
    assert first["speed"]["measured"]["generation_tps"] == 80.5
    assert (second["fault"], second["remedy"], second["memory"]["error"]) == ("it broke", "mend it", None)
    assert told["untried"] == [{"key": "huge", "why": "does not fit", "remedy": "free memory"}]
    assert told["machine"]["after"]["bytes_per_second"] == 8e9


def test_no_time_at_all_is_refused(mai: Run) -> None:
    assert mai("calibrate", "--seconds", "0").code == 2
