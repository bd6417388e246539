"""Forecasts for a whole table: a fit for every split, on all cores, and from where it was left."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import mai_core.bench.predictor
import mai_core.bench.replay.forecasts
import mai_core.policy.regression
import mai_core.policy.terms
from mai_core.bench.replay.folds import Split
from mai_core.bench.replay.forecasts import Forecast, by_text
from mai_core.bench.replay.pool import Pool
from mai_core.bench.replay.processes import mapped

__all__ = ["forecasts"]

# What a forecast follows from, beside the pool and the split.
CODE: tuple[ModuleType, ...] = (
    mai_core.bench.predictor,
    mai_core.bench.replay.forecasts,
    mai_core.policy.regression,
    mai_core.policy.terms,
)


def forecasts(
    pool: Pool, splits: Sequence[Split], *, jobs: int = 1, resume: Path | None = None
) -> Iterator[tuple[Split, Forecast]]:
    """What texts tell of the prompts each split holds out, as each is done.

    What the file ``resume`` holds of this very pool, split and predictor is not done again, and told first. A split's
    forecast does not depend on the others, nor on ``jobs``.
    """
    keys = _digests(pool, splits)
    kept = _kept(resume)
    for split in splits:
        if keys[split] in kept:
            yield split, _forecast(kept[keys[split]])
    left = [split for split in splits if keys[split] not in kept]
    for split, forecast in zip(left, mapped(partial(by_text, pool), left, jobs), strict=True):
        if resume is not None:
            _keep(resume, keys[split], forecast)
        yield split, forecast


def _digests(pool: Pool, splits: Sequence[Split]) -> dict[Split, str]:
    """Tells apart what is forecast differently."""
    code = "".join(map(inspect.getsource, CODE))
    common = hashlib.sha256(code.encode())
    common.update(repr((pool.prompts, pool.models, pool.correct, pool.cost, pool.tokens)).encode())
    found = {}
    for split in splits:
        said = common.copy()
        said.update(repr(split).encode())
        found[split] = said.hexdigest()[:24]
    return found


def _kept(file: Path | None) -> dict[str, Mapping[str, Any]]:
    """What the file holds, by digest; a line cut off by an end in between is none."""
    found: dict[str, Mapping[str, Any]] = {}
    if file is None or not file.exists():
        return found
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            data = json.loads(line)
            found[data["digest"]] = data["forecast"]
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _keep(file: Path, digest: str, forecast: Forecast) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps({"digest": digest, "forecast": asdict(forecast)}) + "\n")


def _forecast(data: Mapping[str, Any]) -> Forecast:
    return Forecast(**{name: tuple(tuple(row) for row in rows) for name, rows in data.items()})
