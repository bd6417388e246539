"""Small tables to be replayed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from mai_core.bench.replay.pool import Pool
from mai_core.bench.replay.tables import Prompt, RatedModel

RIGHT = st.sampled_from([0.0, 0.5, 1.0])
COST = st.floats(0.01, 100.0)
WORDS = {"sums": ["add", "times", "minus", "total"], "songs": ["verse", "chorus", "melody", "rhyme"]}
# How often each of two models is right, by task, and what an answer costs.
MODELS = {"small": ({"sums": 0.2, "songs": 0.9}, 1.0), "large": ({"sums": 0.9, "songs": 0.8}, 10.0)}
HEADER = "prompt_id,task,prompt,model,correct,cost"


def pool_of(correct: Sequence[Sequence[float]], cost: Sequence[Sequence[float]], tasks: str = "") -> Pool:
    """Rows are prompts, columns models a, b, c, ...; ``tasks`` one letter a prompt."""
    prompts = tuple(Prompt(str(i), tasks[i : i + 1], f"prompt {i}") for i in range(len(correct)))
    rows = tuple(tuple(map(float, row)) for row in cost)
    return Pool(
        "made",
        prompts,
        tuple(RatedModel("abcdefgh"[m]) for m in range(len(correct[0]))),
        tuple(tuple(map(float, row)) for row in correct),
        rows,
        rows,
        priced=True,
    )


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """Up to ten prompts and four models."""
    models, prompts = draw(st.integers(2, 4)), draw(st.integers(1, 10))
    grid = [st.lists(each, min_size=models, max_size=models) for each in (RIGHT, COST)]
    correct, cost = (draw(st.lists(rows, min_size=prompts, max_size=prompts)) for rows in grid)
    return pool_of(correct, cost)


def two_tasks(count: int = 120, seed: int = 1) -> list[str]:
    """Lines of a table in which texts tell the task and the task tells the better model."""
    draw = random.Random(seed)
    lines = []
    for i in range(count):
        task = ("sums", "songs")[i % 2]
        text = " ".join(draw.choices(WORDS[task], k=6))
        for name, (right, cost) in MODELS.items():
            lines.append(f"{i:03},{task},{text},{name},{int(draw.random() < right[task])},{cost}")
    return lines


def written(file: Path, lines: Sequence[str], header: str = HEADER) -> Path:
    """A file of such lines."""
    file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return file
