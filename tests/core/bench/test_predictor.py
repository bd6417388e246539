"""A predictor finds who is good at what from text alone, and claims nothing where text tells nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mai_core.bench.predictor import Predictor, Table

TOPICS = {"lawyer": ["court", "statute", "plaintiff", "contract"], "poet": ["verse", "rhyme", "metre", "stanza"]}


@dataclass(frozen=True)
class Asked:
    prompt_id: str
    text: str


def made(count: int = 400, telling: bool = True, seed: int = 4) -> tuple[list[Asked], Table]:
    """Two models, each right on its own topic and wrong on the other's nine times of ten, and one that never is."""
    draw = random.Random(seed)
    prompts, outcomes = [], {}
    for i in range(count):
        able = draw.choice(sorted(TOPICS))
        about = able if telling else draw.choice(sorted(TOPICS))
        prompts.append(Asked(f"p{i}", f"{' '.join(draw.choices(TOPICS[about], k=9))} number {draw.randrange(40)}?"))
        right = {name: (name == able) != (draw.random() < 0.1) for name in TOPICS}
        outcomes[f"p{i}"] = {**{name: float(r) for name, r in right.items()}, "never": 0.0}
    return prompts, outcomes


@pytest.fixture(scope="module")
def fitted() -> Predictor:
    return Predictor.fit(*made())


def test_who_is_good_at_what_is_found(fitted: Predictor) -> None:
    for able, spoken in TOPICS.items():
        told = fitted.predict(" ".join(spoken))
        assert max(told, key=told.__getitem__) == able
        other = next(name for name in TOPICS if name != able)
        assert told[able] > told[other] + 0.3
        assert told["never"] < 0.05


def test_predictions_hold_on_prompts_that_were_not_seen(fitted: Predictor) -> None:
    prompts, outcomes = made(200, seed=9)
    for low, high in ((0.0, 0.5), (0.5, 1.0)):
        pairs = [
            (p, outcomes[q.prompt_id][model])
            for q in prompts
            for model, p in fitted.predict(q.text).items()
            if low <= p < high
        ]
        assert abs(sum(p for p, _ in pairs) - sum(c for _, c in pairs)) / len(pairs) < 0.08


def test_where_text_tells_nothing_the_means_remain() -> None:
    prompts, outcomes = made(telling=False)
    fitted = Predictor.fit(prompts, outcomes)
    means = {name: sum(row[name] for row in outcomes.values()) / len(outcomes) for name in TOPICS}
    for prompt in prompts[:40]:
        for name, mean in means.items():
            assert fitted.predict(prompt.text)[name] == pytest.approx(mean, abs=0.12)


def test_words_nobody_knows_are_told_by_the_means(fitted: Predictor) -> None:
    told = fitted.predict("")
    assert told["lawyer"] == pytest.approx(told["poet"], abs=0.2)


def test_the_order_of_prompts_is_no_matter(fitted: Predictor) -> None:
    prompts, outcomes = made()
    shuffled: Sequence[Asked] = random.Random(1).sample(prompts, len(prompts))
    assert Predictor.fit(shuffled, outcomes) == fitted


def test_the_names_of_models_are_no_matter(fitted: Predictor) -> None:
    prompts, outcomes = made()
    renamed = {p: {f"z-{name[::-1]}": right for name, right in row.items()} for p, row in outcomes.items()}
    other = Predictor.fit(prompts, renamed)
    for prompt in prompts[:20]:
        told = other.predict(prompt.text)
        for name, p in fitted.predict(prompt.text).items():
            assert told[f"z-{name[::-1]}"] == pytest.approx(p, abs=1e-3)


def test_outcomes_may_be_missing() -> None:
    prompts, outcomes = made()
    draw = random.Random(8)
    some = {p: {name: right for name, right in row.items() if draw.random() < 0.7} for p, row in outcomes.items()}
    fitted = Predictor.fit(prompts, some)
    told = fitted.predict(" ".join(TOPICS["poet"]))
    assert told["poet"] > told["lawyer"] + 0.2


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="no outcome"):
        Predictor.fit([Asked("p", "text")], {})


def test_lengths_are_learnt_where_they_are_told(fitted: Predictor) -> None:
    assert fitted.predict_tokens("court") == {}
    prompts, outcomes = made()
    tokens = {p.prompt_id: {"lawyer": 400.0 if "court" in p.text else 40.0, "poet": 60.0} for p in prompts}
    told = Predictor.fit(prompts, outcomes, tokens)
    assert told.predict_tokens("court")["lawyer"] > 2 * told.predict_tokens("verse")["lawyer"]
    mean = sum(told.predict_tokens(p.text)["lawyer"] for p in prompts) / len(prompts)
    assert mean == pytest.approx(sum(row["lawyer"] for row in tokens.values()) / len(tokens), rel=0.02)


@settings(max_examples=100)
@given(st.text(max_size=500))
def test_any_text_gets_probabilities(fitted: Predictor, text: str) -> None:
    told = fitted.predict(text)
    assert set(told) == {"lawyer", "never", "poet"}
    assert all(0.0 < p < 1.0 for p in told.values())
