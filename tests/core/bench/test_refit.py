"""Learning from a person's own outcomes wins where priors are wrong, and loses next to nothing where they are right."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from mai_core.bench.refit import World, main, measure, people, worlds
from mai_core.bench.replay.tables import Answer, Prompt, RatedModel, Table
from mai_core.policy.features import TaskFeatures, TaskKind
from mai_core.policy.regression import sigmoid

KINDS = (TaskKind.CODE, TaskKind.MATH)
PROMPTS = 200


def world(off: dict[str, float]) -> World:
    """Three models, thought to be nearly alike; ``off`` by so many logits they are not."""
    thought = {"fox": 0.3, "hare": 0.2, "wolf": 0.1}
    draw = random.Random(7)
    luck = {model: [draw.random() for _ in range(PROMPTS)] for model in thought}
    return World(
        "made up",
        dict.fromkeys(thought, 1e9),
        [TaskFeatures(kind=KINDS[i % 2], difficulty=0.5) for i in range(PROMPTS)],
        [KINDS[i % 2].value for i in range(PROMPTS)],
        {model: [able] * PROMPTS for model, able in thought.items()},
        lambda model, place: float(luck[model][place] < sigmoid(thought[model] + off.get(model, 0.0))),
    )


def test_it_wins_where_priors_are_wrong() -> None:
    found = measure(world({"fox": -1.2}), 100, 12)
    assert found.gain.above_zero
    assert found.later_gain.above_zero
    assert found.later_gain.value > 0.1


def test_it_loses_next_to_nothing_where_they_are_right() -> None:
    right = measure(world({}), 100, 12)
    assert right.gain.value > -0.03
    assert right.later_gain.value > -0.03


def test_the_same_people_come_again() -> None:
    one = world({})
    assert list(people(one, 10, 3)) == list(people(one, 10, 3))
    for person in people(one, 10, 3):
        assert not set(person.asked) & set(person.later)
        assert len(person.asked) == len(person.later) == 10


def test_worlds_of_a_table() -> None:
    names = ("fox-1b", "hare-2b", "wolf-base", "bear-3b")
    prompts = tuple(Prompt(f"p{i}", "code", "Write a function.") for i in range(20))
    answers = {name: {p.prompt_id: Answer(1.0, 1.0, 1.0) for p in prompts} for name in names}
    answers["bear-3b"] = {"p0": Answer(1.0, 1.0, 1.0)}
    rated = tuple(RatedModel(name, 1e9, 1e9, "base" if "base" in name else "") for name in names)
    found = list(worlds(Table("t", prompts, rated, answers), [], lambda text: TaskFeatures()))
    assert [w.name for w in found] == ["t", "t, unrated", "t, as expected", "t, strict"]
    assert all(set(w.parameters) == {"fox-1b", "hare-2b"} for w in found)
    expected, strict = (sum(w.turns_out("fox-1b", i) for i in range(20)) for w in found[2:])
    assert strict <= expected
    assert found[0].turns_out("fox-1b", 3) == 1.0
    assert measure(replace(found[0]), 10, 2).gain.value == 0.0


def test_the_command_prints_a_line_for_every_world_and_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["prompt_id,model,correct,cost,text,task"]
    rows += [f"p{i},{m},{(i + j) % 2},1,What is {i}?,math" for i in range(12) for j, m in enumerate(("fox", "hare"))]
    (tmp_path / "small_outcomes.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "models.csv").write_text("model,params_b\nfox,1\nhare,2\n")
    assert main([str(tmp_path), "--people", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("small")]) == 12
