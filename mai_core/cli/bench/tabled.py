"""Replays of tables for a comparison: read at once, so that a fault in one is told early, and run later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mai_core.cli.waiting import Waiting

if TYPE_CHECKING:
    from mai_core.bench.replay.pool import Pool
    from mai_core.bench.replay.result import Replayed
    from mai_core.bench.replay.study import Terms
    from mai_core.cli.invocation import Invocation
    from mai_core.plugin.interfaces import SelectionStrategy
    from mai_core.plugin.registry import PluginRegistry

__all__ = ["on_tables", "strategies_among"]


def on_tables(
    invocation: Invocation,
    registry: PluginRegistry,
    names: Sequence[str],
    tables: Sequence[Path],
    *,
    seed: int,
    jobs: int,
    resume: Path | None,
) -> Sequence[Callable[[], Replayed]]:
    """A replay of each table, ready to run, for those of ``names`` that are strategies by themselves.

    Raises ``TableError`` for what cannot be read, ``typer.BadParameter`` where nobody can be replayed.
    """
    if not tables:
        return []
    from mai_core.bench.replay.pool import choose
    from mai_core.bench.replay.study import Terms
    from mai_core.bench.replay.tables import find_tables, read_table

    options = invocation.settings.settings.selection.options
    competing = {name: dict(options.get(name, {})) for name in strategies_among(names, registry)}
    if not competing:
        raise typer.BadParameter("real answers can only be chosen by a strategy", param_hint="--table")
    terms = Terms(seed=seed, jobs=jobs, resume=resume)
    pools = []
    with Waiting() as waiting:
        for file in (file for table in tables for file in find_tables(table)):
            waiting.spin(f"reading {file.name}…")
            pools.append(choose(read_table(file)))
    return [partial(_run, pool, competing, registry, terms) for pool in pools]


def strategies_among(names: Sequence[str], registry: PluginRegistry) -> Sequence[str]:
    """Those of ``names`` that are one strategy, not several together nor something the simulator has of its own."""
    there = registry.strategies()
    return [name for name in names if name in there or (":" in name and not name.startswith("fixed:"))]


def _run(pool: Pool, competing: Mapping[str, Mapping[str, Any]], registry: PluginRegistry, terms: Terms) -> Replayed:
    from mai_core.bench.replay.study import replay
    from mai_core.plugin.finding import find_strategy

    def build(name: str, options: Mapping[str, Any]) -> SelectionStrategy:
        return find_strategy(registry, name, dict(options))

    with Waiting() as waiting:
        return replay(pool, competing, build, terms, lambda text, share: waiting.share(f"{pool.name}: {text}", share))
