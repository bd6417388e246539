"""A plugin of a third party, installed beside Mai into a fresh environment, is listed, set up and asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOYAL = ROOT / "tests" / "examples" / "mai-loyal"

pytestmark = [pytest.mark.install, pytest.mark.timeout(900)]

ASK = """
from mai_core.plugin.isolation import StrategyRunner
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import LoadPlan
from mai_core.policy.selection import Candidate, SelectionRequest

registry = PluginRegistry.discover()
strategy = registry.strategy("loyal", {"bonus": 0.5})
plan = LoadPlan(context=1024)
other = Candidate(key="other", plan=plan, quality=0.6)
here = Candidate(key="here", plan=plan, quality=0.2, is_loaded=True)
request = SelectionRequest(features=TaskFeatures(), candidates=(other, here))
[ballot] = StrategyRunner([(strategy, 1.0)], 0.05).ballots(request)
print([p.key for p in ballot.proposals], ballot.fault, registry.faults)
"""


class Installed:
    """Mai and mai-loyal in an environment of their own, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.bin = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
        venv.create(folder / "env", with_pip=True)
        done = self._run(self.bin / "python", "-m", "pip", "install", "--quiet", str(ROOT), str(LOYAL))
        assert done.returncode == 0, done.stderr

    def _run(self, *command: object) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MAI_"))}
        environment["MAI_HOME"] = str(self.home)
        return subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            env=environment,
            cwd=self.bin,
            timeout=600,
            check=False,
        )

    def python(self, source: str) -> str:
        done = self._run(self.bin / "python", "-c", source)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def mai(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run(self.bin / "mai", *arguments)

    def json(self, *arguments: str) -> Any:
        done = self.mai(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("third-party"))


def test_is_listed(installed: Installed) -> None:
    plugins = {plugin["name"]: plugin for plugin in installed.json("plugins", "--json")}
    loyal = plugins["loyal"]
    assert (loyal["distribution"], loyal["version"], loyal["module"]) == ("mai-loyal", "1.0.0", "mai_loyal")
    assert (loyal["status"], loyal["registers"], loyal["faults"]) == ("ok", {"strategies": ["loyal"]}, [])
    assert all(plugin["status"] == "ok" for plugin in plugins.values())


def test_is_set_up_and_asked(installed: Installed) -> None:
    assert installed.python(ASK) == "['here', 'other']  ()"


def test_decides_when_the_settings_say_so(installed: Installed, starter_gguf: Path) -> None:
    explained = installed.json(
        "--set", f"backends.embedded.models_dirs=[{starter_gguf.parent}]",
        "--set", "backends.embedded.scan_other_tools=false",
        "--set", "selection.strategies=[loyal]",
        "why", "--json", "Hello",
    )  # fmt: skip
    decision = explained["decision"]
    assert [ballot["strategy"] for ballot in decision["ballots"]] == ["loyal"]
    assert decision["ballots"][0]["fault"] == ""
    assert decision["choice"] == decision["ballots"][0]["proposals"][0]["key"]


def test_a_wrong_option_is_named(installed: Installed) -> None:
    done = installed.mai(
        "--verbose", "--set", "selection.strategies=[loyal]", "--set", "selection.options={loyal: {bonsu: 1}}",
        "why", "Hello",
    )  # fmt: skip
    assert "no option bonsu → did you mean bonus?" in done.stderr


def test_blocked_it_is_gone(installed: Installed) -> None:
    plugins = {plugin["name"]: plugin for plugin in installed.json("--block", "loyal", "plugins", "--json")}
    assert (plugins["loyal"]["status"], plugins["loyal"]["registers"]) == ("blocked", {})


def test_the_environment_is_a_fresh_one(installed: Installed) -> None:
    where = Path(installed.python("import mai_core; print(mai_core.__file__)"))
    assert where.is_relative_to(installed.bin.parent)
    assert Path(sys.prefix) != installed.bin.parent
