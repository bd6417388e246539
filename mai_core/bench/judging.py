"""Microseconds to tell what a prompt asks for, with and without the trained weights, and milliseconds to read these.

python -m mai_core.bench.judging [--tokens 500]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Sequence

from mai_core.bench.everyday import EVERYDAY
from mai_core.policy.features import classify
from mai_core.policy.tasks import TaskModel
from mai_core.settings import load_task_model

__all__ = ["main", "prompts"]

AIM_MICROSECONDS = 200
ROUNDS = 300


def prompts(model: TaskModel, tokens: int, count: int = 20, seed: int = 1) -> list[str]:
    """Made-up questions of about ``tokens`` tokens, half of them with ten options.

    Half of the words are everyday ones and half of those the weights know, most of which are rare, as in a text.
    """
    draw = random.Random(seed)
    everyday = [word for word in " ".join(EVERYDAY).split() if word.isascii()]
    known = sorted(term.decode() for term in model.weights.table if b" " not in term and term.isascii())
    made = []
    for i in range(count):
        spoken: list[str] = []
        while sum(map(len, spoken)) + len(spoken) < 4 * tokens:
            spoken.append(draw.choice(draw.choice((known, everyday))))
        if i % 2:
            for n, letter in enumerate("ABCDEFGHIJ"):
                spoken.insert(len(spoken) * (10 + n) // 20, f"\n{letter}.")
        made.append(" ".join(spoken) + "?")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Print medians and 95th percentiles."""
    parser = argparse.ArgumentParser(prog="python -m mai_core.bench.judging", description=__doc__)
    parser.add_argument("--tokens", type=int, default=500)
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    model = load_task_model()
    read = 1e3 * (time.perf_counter() - started)
    print(f"weights: {len(model.weights.table):,} terms, {len(model.classes)} classes, read in {read:.1f} ms")
    texts = prompts(model, options.tokens)
    print(f"{options.tokens} tokens, microseconds (aim: {AIM_MICROSECONDS})   median      p95")
    for name, given in (("cues alone", None), ("cues and weights", model)):
        taken = []
        for _ in range(ROUNDS):
            for text in texts:
                started = time.perf_counter()
                classify(text, model=given)
                taken.append(1e6 * (time.perf_counter() - started))
        percentile = statistics.quantiles(taken, n=20)[-1]
        print(f"{name:<36} {statistics.median(taken):>8.0f} {percentile:>8.0f}")


if __name__ == "__main__":
    main()
