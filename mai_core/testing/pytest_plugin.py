"""``pytest --mai-strategy NAME``: the laws of strategies as tests, without a file that asks for them.

Registered as an entry point, so every pytest beside Mai loads it: nothing heavy is imported before the option is used.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mai_core.testing.laws import Law, Make, Verdict

__all__: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of this plugin."""
    group = parser.getgroup("mai", "Mai: laws of selection strategies")
    group.addoption(
        "--mai-strategy",
        action="append",
        default=[],
        metavar="NAME",
        help="try the laws on this strategy: a registered name, module:Class, or all; may be repeated",
    )
    group.addoption("--mai-examples", type=int, default=100, metavar="N", help="worlds in which each law is tried")
    group.addoption("--mai-seed", type=int, default=0, metavar="N", help="another seed tries other worlds")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Adds a test for each law that binds a strategy, before ``-k`` and ``-m`` choose among the tests."""
    wanted: list[str] = config.getoption("--mai-strategy")
    if not wanted:
        return
    from mai_core.errors import MaiError
    from mai_core.plugin.finding import find_strategy
    from mai_core.plugin.registry import PluginRegistry
    from mai_core.testing.laws import laws_of

    registry = PluginRegistry.discover()
    names = sorted(registry.strategies()) if "all" in wanted else list(dict.fromkeys(wanted))
    for name in names:
        make = partial(find_strategy, registry, name, {})
        try:
            bound = laws_of(make)
        except (MaiError, ValueError) as error:
            raise pytest.UsageError(f"--mai-strategy {name}: {error}") from error
        items += [
            LawItem.from_parent(session, name=f"{name}::{law.name}", law=law, make=make, strategy=name) for law in bound
        ]


class LawItem(pytest.Item):
    """One law, tried on one strategy."""

    def __init__(self, *, law: Law, make: Make, strategy: str, **keywords: object) -> None:
        super().__init__(**keywords)  # type: ignore[arg-type]
        self._law = law
        self._make = make
        self._strategy = strategy

    def runtest(self) -> None:
        """Fails with the smallest world in which the law does not hold."""
        from mai_core.testing.laws import Outcome, try_law

        examples, seed = self.config.getoption("--mai-examples"), self.config.getoption("--mai-seed")
        verdict = try_law(self._law, self._make, examples=examples, seed=seed)
        if verdict.outcome is Outcome.BROKEN:
            raise LawBroken(verdict)
        if verdict.outcome is Outcome.UNJUDGED:
            pytest.skip(verdict.why)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """A violation in words; anything else with its trace."""
        if not isinstance(excinfo.value, LawBroken):
            return str(super().repr_failure(excinfo))
        verdict = excinfo.value.verdict
        return "\n".join(verdict.lines(f"mai bench check {self._strategy} --law {verdict.law} --seed {verdict.seed}"))

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the law is written, and its name."""
        return Path(__file__).parent / "laws", None, f"{self._strategy}: {self._law.name}"


class LawBroken(Exception):
    """A law does not hold for a strategy."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.law)
        self.verdict = verdict
