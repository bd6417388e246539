"""Weights find what was planted, and depend on what the rows are, not on how they are told."""

from __future__ import annotations

import random

import pytest

from mai_core.policy.regression import Linear, identity, regress, sigmoids, softmax

CLASSES = {b"stone": 0, b"wave": 1, b"cloud": 2}


def planted(count: int = 240) -> tuple[list[set[bytes]], list[list[float]]]:
    draw = random.Random(3)
    noise = [f"w{i}".encode() for i in range(30)]
    rows, targets = [], []
    for _ in range(count):
        name, which = draw.choice(sorted(CLASSES.items()))
        rows.append({name, *draw.sample(noise, 6)})
        targets.append([float(which == i) for i in range(3)])
    return rows, targets


def fitted(rows: list[set[bytes]], targets: list[list[float]]) -> Linear:
    return regress(rows, targets, link=softmax, strength=0.1, rounds=60, curvature=0.5)


def test_a_planted_class_is_found_among_noise() -> None:
    rows, targets = planted()
    linear = fitted(rows, targets)
    told = [max(range(3), key=linear.scores(row).__getitem__) for row in rows]
    assert told == [target.index(1.0) for target in targets]
    for name, which in CLASSES.items():
        scores = linear.scores({name})
        assert max(range(3), key=scores.__getitem__) == which


def test_the_order_of_rows_is_no_matter() -> None:
    rows, targets = planted()
    backwards = fitted(rows[::-1], targets[::-1])
    linear = fitted(rows, targets)
    for row in rows[:40]:
        assert backwards.scores(row) == pytest.approx(linear.scores(row), abs=1e-3)


def test_the_same_rows_give_the_same_weights() -> None:
    rows, targets = planted()
    assert fitted(rows, targets) == fitted([set(row) for row in rows], targets)


def test_targets_are_fitted_apart() -> None:
    rows, targets = planted()
    both = regress(rows, targets, link=sigmoids, strength=0.5, rounds=40, curvature=0.25)
    alone = regress(rows, [[t[1]] for t in targets], link=sigmoids, strength=0.5, rounds=40, curvature=0.25)
    for row in rows[:40]:
        assert both.scores(row)[1] == pytest.approx(alone.scores(row)[0], abs=1e-3)


def test_the_unknown_is_told_by_the_mean() -> None:
    rows, targets = planted()
    linear = regress(rows, targets, link=identity, strength=1.0, rounds=20)
    means = [sum(column) / len(rows) for column in zip(*targets, strict=True)]
    assert linear.counted({b"never", b"seen"}) == (pytest.approx(means), 0)


def test_strength_pulls_towards_the_mean() -> None:
    rows, targets = planted()
    weak, strong = (regress(rows, targets, link=identity, strength=s, rounds=60) for s in (0.1, 50.0))

    def spread(linear: Linear) -> float:
        return sum(
            abs(score - bias) for row in rows for score, bias in zip(linear.scores(row), linear.bias, strict=True)
        )

    assert spread(strong) < 0.7 * spread(weak)
