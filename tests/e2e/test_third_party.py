"""A plugin of a third party, installed beside Mai into a fresh environment, is listed, set up and asked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.fresh_install import FreshInstall

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


def test_is_listed(installed: FreshInstall) -> None:
    plugins = {plugin["name"]: plugin for plugin in installed.json("plugins", "--json")}
    loyal = plugins["loyal"]
    assert (loyal["distribution"], loyal["version"], loyal["module"]) == ("mai-loyal", "1.0.0", "mai_loyal")
    assert (loyal["status"], loyal["registers"], loyal["faults"]) == ("ok", {"strategies": ["loyal"]}, [])
    assert all(plugin["status"] == "ok" for plugin in plugins.values())


def test_is_set_up_and_asked(installed: FreshInstall) -> None:
    assert installed.python(ASK) == "['here', 'other']  ()"


def test_decides_when_the_settings_say_so(installed: FreshInstall, starter_gguf: Path) -> None:
    explained = installed.json(
        "--set", f"backends.embedded.models_dirs=[{starter_gguf.parent}]",
        "--set", "backends.embedded.scan_other_tools=false",
        "--set", "selection.strategies=[loyal]",
        "why", "--json", "Hello",
    )  # fmt: skip
    decision = explained["decision"]
    assert [ballot["strategy"] for ballot in decision["ballots"]] == ["loyal"]
    assert decision["ballots"][0]["fault"] == ""
    proposals = decision["ballots"][0]["proposals"]
    best = max(proposal["score"] for proposal in proposals)
    assert decision["choice"] in {p["key"] for p in proposals if p["score"] == best}, "of equals, either"


def test_a_wrong_option_is_named(installed: FreshInstall) -> None:
    done = installed.mai(
        "--verbose", "--set", "selection.strategies=[loyal]", "--set", "selection.options={loyal: {bonsu: 1}}",
        "why", "Hello",
    )  # fmt: skip
    assert "no option bonsu → did you mean bonus?" in done.stderr


def test_blocked_it_is_gone(installed: FreshInstall) -> None:
    plugins = {plugin["name"]: plugin for plugin in installed.json("--block", "loyal", "plugins", "--json")}
    assert (plugins["loyal"]["status"], plugins["loyal"]["registers"]) == ("blocked", {})


def test_the_environment_is_a_fresh_one(installed: FreshInstall) -> None:
    where = Path(installed.python("import mai_core; print(mai_core.__file__)"))
    assert where.is_relative_to(installed.bin.parent)
    assert Path(sys.prefix) != installed.bin.parent


def test_a_package_written_for_a_new_strategy_takes_part(installed: FreshInstall, tmp_path: Path) -> None:
    told = installed.says("plugins", "new", "fresh", "--to", str(tmp_path / "new"))
    assert all(Path(line).is_file() for line in told.splitlines())
    installed.install(tmp_path / "new")
    plugins = {plugin["name"]: plugin for plugin in installed.json("plugins", "--json")}
    assert plugins["fresh"]["registers"] == {"strategies": ["fresh"]}
    assert plugins["fresh"]["distribution"] == "mai-fresh"
