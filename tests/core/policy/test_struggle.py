"""Who struggles is found out, and who does well is left alone: on replies of two real models, and on made-up clocks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.features import TaskFeatures
from mai_core.policy.messages import GenerationOptions, Tool
from mai_core.policy.models import LoadPlan
from mai_core.policy.selection import Candidate
from mai_core.policy.struggle import Struggle, StruggleWatch, patience, quicker, surer

REPLIES = [json.loads(line) for line in Path(__file__).with_name("replies.jsonl").read_text("utf-8").splitlines()]


def of(kind: str) -> list[Any]:
    rows = [reply for reply in REPLIES if reply["kind"] == kind]
    assert len(rows) >= 4
    return [pytest.param(row, id=f"{row['model']}: {row['prompt'][:40]}") for row in rows]


def verdicts(reply: dict[str, Any], watch: StruggleWatch) -> Iterator[tuple[int, Struggle]]:
    pieces = zip(reply["pieces"], reply["logprobs"], reply["hundredths"], strict=True)
    for number, (piece, logprob, hundredths) in enumerate(pieces):
        if (struggle := watch.feed(piece, hundredths / 100, logprob)) is not None:
            yield number, struggle


@pytest.mark.parametrize("reply", of("good"))
def test_a_good_reply_is_left_alone(reply: dict[str, Any]) -> None:
    """Short ones, code, tables, lists, poems, laughter, encoded bytes; written on a busy machine."""
    assert list(verdicts(reply, StruggleWatch(expected_tps=90.0))) == []


@pytest.mark.parametrize("reply", of("loop"))
def test_a_loop_is_found_and_its_first_round_stays(reply: dict[str, Any]) -> None:
    watch = StruggleWatch(expected_tps=90.0)
    number, struggle = next(verdicts(reply, watch))
    assert struggle is Struggle.LOOPED
    text, start = "".join(reply["pieces"][: number + 1]), watch.loop_start
    assert start is not None
    kept, loop = text[:start], text[start:]
    assert 200 < len(loop) < 1400, "soon enough"
    said, again = (re.sub(r"\d+", "0", part) for part in (kept, loop))
    assert again.strip()[:12] in said, "nothing but repetition is left out"


@pytest.mark.parametrize("reply", of("unsure"))
def test_gibberish_is_found_within_fifty_tokens(reply: dict[str, Any]) -> None:
    number, struggle = next(verdicts(reply, StruggleWatch(expected_tps=90.0)))
    assert struggle is Struggle.UNSURE
    assert number < 60


def test_positions_count_from_the_beginning_of_the_answer() -> None:
    before = "It began with another model. " * 2
    watch = StruggleWatch(expected_tps=40.0, before=before)
    loop = "I am here to help you with it. "
    found = [watch.feed(loop, n) for n in range(40)]
    assert Struggle.LOOPED in found
    assert watch.loop_start is not None
    assert len(before) + len(loop) - 2 <= watch.loop_start <= len(before) + 2 * len(loop)


def test_thoughts_that_go_in_circles_are_no_part_of_the_text() -> None:
    watch = StruggleWatch(expected_tps=40.0)
    assert Struggle.LOOPED in [watch.think("Wait, let me think about it again. ", n / 10) for n in range(60)]
    assert watch.loop_start is None


def fed(watch: StruggleWatch, gaps: list[float]) -> list[tuple[float, Struggle]]:
    now, found = 0.0, []
    for number, gap in enumerate(gaps):
        now += gap
        if (struggle := watch.feed(f" w{number}", now)) is not None:
            found.append((now, struggle))
    return found


def test_a_rate_that_collapses_is_found_within_half_a_minute_and_again_later() -> None:
    found = fed(StruggleWatch(expected_tps=20.0), [0.05] * 400 + [1.0] * 60)
    assert {struggle for _, struggle in found} == {Struggle.SLOW}
    assert 20 + 15 < found[0][0] < 20 + 30
    assert len(found) >= 2


@pytest.mark.parametrize(
    "gaps",
    [
        [0.05] * 400 + [9.0] + [0.05] * 400,
        [0.05] * 400 + [0.15] * 400,
        ([0.05] * 100 + [3.0]) * 8,
        [0.05] * 400 + [1.0] * 12 + [0.05] * 400,
        [2.0] * 60,
    ],
    ids=["one pause", "a third of the rate", "pauses", "a short collapse", "slow from the beginning"],
)
def test_the_noise_of_a_shared_machine_is_no_collapse(gaps: list[float]) -> None:
    assert fed(StruggleWatch(expected_tps=20.0), gaps) == []


def test_slower_than_before_but_as_fast_as_expected_is_no_collapse() -> None:
    assert fed(StruggleWatch(expected_tps=2.0), [0.02] * 1000 + [0.4] * 100) == []


@given(st.lists(st.floats(0.4, 2.5), min_size=50, max_size=400), st.floats(0.5, 100.0))
def test_a_rate_that_wavers_by_a_factor_of_six_never_collapses(noise: list[float], tps: float) -> None:
    """Below a fifth on average over ten seconds is the limit, whatever single tokens take."""
    assert fed(StruggleWatch(expected_tps=tps), [factor / tps for factor in noise]) == []


@given(st.lists(st.tuples(st.text(max_size=20), st.floats(0, 5), st.none() | st.floats()), max_size=80))
def test_whatever_an_engine_sends_can_be_watched(events: list[tuple[str, float, float | None]]) -> None:
    watch, now = StruggleWatch(expected_tps=30.0), 0.0
    for text, gap, logprob in events:
        now += gap
        watch.feed(text, now, logprob)


def test_watching_costs_next_to_nothing_for_a_token_however_long_the_reply() -> None:
    """Some 3 µs on an ordinary machine; an order of magnitude is left to busy ones."""
    watch = StruggleWatch(expected_tps=40.0)
    texts = [f" {word}{n}" for n in range(4000) for word in ("wind", "sea", "and so", "on")]
    began = process_time()
    for number, text in enumerate(texts):
        watch.feed(text, number / 40, -0.5)
    assert (process_time() - began) / len(texts) < 50e-6


def candidate(key: str, **values: Any) -> Candidate:
    return Candidate(key=key, plan=LoadPlan(context=4096), **{"tokens_per_second": 20.0, **values})


MINE = candidate("mine", quality=0.6)


def test_only_who_finishes_well_before_takes_over_from_a_slow_model() -> None:
    near = candidate("near", host="box", load_seconds=5.0, tokens_per_second=10.0)
    far = candidate("far", host="box", load_seconds=900.0, tokens_per_second=10.0)
    others = [far, near, candidate("same", host="local")]
    slow = quicker(others, MINE, tokens_per_second=0.5, written=100, reply_tokens=400)
    assert slow == ("near",), "one that shares the machine is as slow"
    assert quicker(others, MINE, tokens_per_second=19.0, written=100, reply_tokens=400) == ()
    small = candidate("small", tokens_per_second=100.0)
    assert quicker([small], MINE, tokens_per_second=0.5, written=0, reply_tokens=400) == ("small",)


def test_only_a_better_model_takes_over_from_one_that_guesses() -> None:
    assert surer([candidate("worse", quality=0.5), candidate("better", quality=0.7)], MINE) == ("better",)


def test_patience_is_longer_than_what_backends_wait_themselves() -> None:
    options, features = GenerationOptions(), TaskFeatures(prompt_tokens=4000, new_tokens=100)
    plain = patience(MINE, options, features)
    assert plain.first > options.first_token_deadline
    assert plain.between > options.token_deadline
    assert patience(replace(MINE, tokens_per_second=0.1), options, features).between > 500
    reading = replace(MINE, prefill_seconds=10.0)
    assert patience(reading, options, features).first >= 340
    assert patience(replace(reading, is_loaded=True), options, features).first > 4000, "the cache may be lost"
    tools = patience(MINE, replace(options, tools=(Tool(name="write"),)), features)
    assert tools.between == tools.first, "a long call is written in silence"
