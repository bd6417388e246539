"""The official JavaScript SDK, whose schema is stricter than the Python classes, talks with the stand-in too."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from tests.standins.lmstudio import LMStudioStandIn, Quirk, StandInModel, ToolUse

SDK = "2.0.0"
# The release before it cannot be installed alone: it asks for a version of this package that was never published.
OVERRIDES = {"@lmstudio/lms-isomorphic": "0.4.6"}
TRIAL = Path(__file__).with_name("javascript_trial.mjs")

pytestmark = [pytest.mark.network, pytest.mark.timeout(900)]
Trial = Callable[[LMStudioStandIn], dict[str, Any]]


@pytest.fixture(scope="module")
def trial() -> Trial:
    """Runs the script against a stand-in; the SDK is fetched once and kept."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("no node and npm on this machine: the JavaScript SDK is not tried")
    folder = platformdirs.user_cache_path("mai-test-node") / f"lmstudio-sdk-{SDK}"
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {"private": True, "dependencies": {"@lmstudio/sdk": SDK}, "overrides": OVERRIDES}
        (folder / "package.json").write_text(json.dumps(wanted))
        options = ["--no-audit", "--no-fund", "--ignore-scripts"]
        installing = subprocess.run(
            [npm, "install", *options], cwd=folder, capture_output=True, text=True, timeout=600, check=False
        )
        if installing.returncode:
            pytest.skip(f"npm cannot fetch the JavaScript SDK: {installing.stderr.strip()[-300:]}")
        (folder / "installed").touch()
    script = folder / TRIAL.name
    script.write_text(TRIAL.read_text())

    def run(standin: LMStudioStandIn) -> dict[str, Any]:
        done = subprocess.run(
            [node, str(script), f"ws://{standin.host}"], capture_output=True, text=True, timeout=180, check=False
        )
        assert done.stdout, done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    return run


@pytest.fixture
def variety() -> Iterator[LMStudioStandIn]:
    models = (
        StandInModel(key="talker", reply="I am heard in JavaScript too."),
        StandInModel(key="slow", reply="word " * 500, token_seconds=0.01),
        StandInModel(key="caller", reply=ToolUse("add", {"a": 1})),
        StandInModel(key="embedder", type="embedding"),
    )
    with LMStudioStandIn(models=models) as running:
        yield running


def test_the_javascript_sdk_is_content(variety: LMStudioStandIn, trial: Trial) -> None:
    heard = trial(variety)
    assert "failure" not in heard, heard
    assert heard["complaints"] == []
    assert heard["downloaded"] == ["talker", "slow", "caller", "embedder"]
    assert heard["loaded"] == ["js"]
    assert heard["tokens"] == 3
    assert (heard["text"], heard["stop"]) == ("I am heard in JavaScript too.", "eosFound")
    assert heard["progress"] == heard["prompt"] == 1
    assert heard["cancelled"] == "userStopped"
    assert heard["tool"] == "toolCalls"
    assert heard["embedding"] == 8
    assert "js" not in heard["unloaded"]
    assert "absent" in heard["refusal"]
    assert variety.generating == 0
    assert variety.violations == []


def test_it_sees_what_the_python_classes_do_not(variety: LMStudioStandIn, trial: Trial) -> None:
    variety.quirks.add(Quirk.LACKS_IS_STRUCTURAL)
    heard = trial(variety)
    assert any("isStructural" in complaint for complaint in heard["complaints"]) or "failure" in heard
    assert heard.get("text", "") == ""
