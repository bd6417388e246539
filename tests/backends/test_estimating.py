"""What an estimate of tokens promises whoever cuts a prompt by it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_backends.estimating import TokenEstimate

TEXTS = st.text(max_size=300) | st.lists(st.sampled_from(["a", "I", "of", "\n", "字"])).map(" ".join)
RATES = st.floats(min_value=0.07, max_value=3.5)
PROMPTS = st.integers(min_value=200, max_value=100_000)
HOSTILE = st.one_of(
    st.tuples(st.integers(max_value=199), st.integers()),
    st.tuples(st.integers(), st.integers(max_value=0)),
    st.tuples(PROMPTS, st.integers(min_value=10**6)),
    st.tuples(st.integers(min_value=10**400), st.integers(min_value=1, max_value=10**6)),
)


def taught(rate: float, *sizes: int) -> TokenEstimate:
    estimate = TokenEstimate()
    for size in sizes:
        estimate.learn(size, max(1, round(size * rate)))
    return estimate


@given(text=TEXTS, rate=RATES)
def test_nothing_has_no_tokens_and_a_text_no_fewer_than_words(text: str, rate: float) -> None:
    for estimate in (TokenEstimate(), taught(rate, *[1000] * 40)):
        assert estimate.count("") == 0
        assert estimate.count(text) >= max(bool(text), len(text.split()))


@given(one=TEXTS, two=TEXTS, rate=RATES)
def test_the_whole_is_no_more_than_its_parts_and_no_less_than_either(one: str, two: str, rate: float) -> None:
    for estimate in (TokenEstimate(), taught(rate, 1000, 1000)):
        parts = estimate.count(one), estimate.count(two)
        assert max(parts) <= estimate.count(one + two) <= sum(parts) + 1


@given(rate=RATES, size=PROMPTS)
def test_what_is_learned_comes_to_the_true_rate_from_above(rate: float, size: int) -> None:
    estimate = taught(rate, *[size] * 60)
    true = 1000 * max(1, round(size * rate)) / size
    assert true <= estimate.count("a" * 1000) <= true * 1.06 + 1


@given(rates=st.lists(st.floats(min_value=0.1, max_value=1.0), min_size=1, max_size=30))
def test_the_last_prompt_would_never_have_been_judged_too_small(rates: list[float]) -> None:
    estimate = TokenEstimate()
    for rate in rates:
        estimate.learn(2000, round(2000 * rate))
        assert estimate.count("x" * 2000) >= round(2000 * rate)


@given(numbers=st.lists(HOSTILE, max_size=20), text=TEXTS)
def test_numbers_no_tokenizer_gives_are_ignored(numbers: list[tuple[int, int]], text: str) -> None:
    estimate = TokenEstimate()
    for characters, tokens in numbers:
        estimate.learn(characters, tokens)
    assert estimate.count(text) == TokenEstimate().count(text)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 10, 100, 150),
        ("敏捷的棕色狐狸跳过了那只懒惰的狗", 11, 30),
        ("def area(r: float) -> float:\n    return math.pi * r**2\n", 22, 35),
        ('{"id": 12345678, "tags": ["a", "b"], "ok": true}\n', 24, 45),
        ("Быстрая коричневая лиса перепрыгивает через ленивую собаку", 14, 40),
        ("👩‍👩‍👧‍👦", 7, 25),
    ],
    ids=["prose", "chinese", "code", "json", "russian", "emoji"],
)
def test_texts_whose_tokens_are_known_are_counted_on_the_large_side_but_sanely(
    text: str, least: int, most: int
) -> None:
    """``least`` is what a vocabulary of 150 000 entries makes of it."""
    assert least <= TokenEstimate().count(text) <= most
