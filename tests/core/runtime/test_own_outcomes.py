"""What a person says and does about replies reaches the next choice, in this process and in others."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mai_core import AsyncMai
from mai_core.errors import MaiError, ModelCrashed, ModelFileError, ModelStruggles, OutOfMemory
from mai_core.policy.kinds import TaskKind
from mai_core.policy.messages import Message, Role
from mai_core.policy.outcomes import Outcome, Sign
from mai_core.policy.selection import Candidate
from mai_core.policy.struggle import Struggle
from mai_core.runtime.outcomes import sign_of
from mai_core.runtime.store import Store
from mai_core.runtime.turn import Reply, TurnEnd, TurnEvent
from mai_core.runtime.turns import ANEW
from mai_core.settings.model import LearningSettings, SelectionSettings, StabilitySettings
from tests.core.runtime.worlds import model, running

RESTLESS = StabilitySettings(margin=0.0, seconds_value=0.0)
QUALITY_ALONE = SelectionSettings(strategies=("greedy-fit",))
OUTCOME = Outcome(model="fox", kind=TaskKind.CODE, expected=0.6, value=1.0, sign=Sign.KEPT, seconds=2.0)


async def candidate(mai: AsyncMai, key: str) -> Candidate:
    found = (await mai.explain("hello")).decision.candidate(key)
    assert found is not None
    return found


async def again(events: AsyncGenerator[TurnEvent, None]) -> Reply:
    *_, last = [event async for event in events]
    assert isinstance(last, TurnEnd)
    return last.reply


async def said(mai: AsyncMai) -> list[tuple[Role, str, str]]:
    return [(m.role, m.content, m.model) for m in (await mai.get_conversation_history()).messages]


async def test_a_bad_rating_changes_who_answers_and_why(tmp_path: Path) -> None:
    models = (model("better", 0.55), model("worse", 0.45))
    async with running(tmp_path, *models, selection=QUALITY_ALONE, stability=RESTLESS) as (mai, _, _):
        bad = 0
        while (reply := await mai.process_message("hello")).message.model == "better":
            assert await mai.rate(False) == "better"
            bad += 1
        assert reply.message.model == "worse"
        assert 2 <= bad <= 5, "one bad answer is not the end of a model"
        better, worse = (reply.decision.candidate(key) for key in ("better", "worse"))
        assert better is not None
        assert worse is not None
        assert better.outcomes == bad
        assert better.learnt < worse.learnt <= 0.0
        assert worse.outcomes == 0
        before = better.quality - better.learnt
        (lesson, *others) = await mai.learnt()
        assert (lesson.model, lesson.outcomes, lesson.rated, lesson.turned_out) == ("better", bad, bad, 0.0)
        assert lesson.before == pytest.approx(before, abs=1e-6)
        assert lesson.now < lesson.before
        assert [(o.model, o.outcomes, o.rated) for o in others] == [("worse", 1, 0)]


async def test_the_last_word_counts_and_is_the_persons(tmp_path: Path) -> None:
    async with running(tmp_path, model("one")) as (mai, _, _):
        reply = await mai.process_message("hello")
        kept = mai.store.outcome(reply.conversation, reply.message.id)
        assert kept is not None
        assert (kept.sign, kept.value) == (Sign.KEPT, 1.0)
        assert kept.seconds == pytest.approx(reply.seconds)
        await mai.rate(True)
        await mai.rate(False)
        told = mai.store.outcome(reply.conversation, reply.message.id)
        assert told is not None
        assert (told.sign, told.value, mai.store.outcomes().total) == (Sign.RATED, 0.0, 1)
        await again(mai.retry())
        signs = [(o.sign, o.value) for o in mai.store.outcomes().changed.values()]
        assert signs == [(Sign.RATED, 0.0), (Sign.KEPT, 1.0)], "what they did does not outweigh what they said"


async def test_another_process_learns_of_it_and_forgets_with_it(tmp_path: Path) -> None:
    async with running(tmp_path, model("one")) as (mai, _, _), running(tmp_path, model("one")) as (other, _, _):
        await mai.process_message("hello")
        before = (await candidate(other, "one")).quality
        await mai.rate(False)
        assert (await candidate(other, "one")).quality < before
        assert (await candidate(other, "one")).quality == pytest.approx((await candidate(mai, "one")).quality)
        await other.process_message("hello")
        await other.rate(False)
        assert (await candidate(mai, "one")).outcomes == 2
        assert await asyncio.to_thread(mai.store.forget_outcomes) == 2
        for each in (mai, other):
            found = await candidate(each, "one")
            assert (found.learnt, found.outcomes) == (0.0, 0)


async def test_a_new_reply_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    shown: list[str] = []

    def answer(messages: list[Message]) -> str:
        shown.append(messages[-1].content)
        return f"answer {len(shown)}"

    async with running(tmp_path, model("one", reply=answer)) as (mai, _, _):
        await mai.process_message("first")
        reply = await mai.process_message("which?")
        new = await again(mai.retry())
        assert (new.text, new.conversation) == ("answer 3", reply.conversation)
        assert [content for _, content, _ in await said(mai)] == ["first", "answer 1", "which?", "answer 3"]
        assert shown[-1] == f"which?\n\n{ANEW}"
        assert {o.sign for o in mai.store.outcomes().changed.values()} == {Sign.KEPT, Sign.RETRIED}
        assert mai.store.conversations(search="answer 2") == []
        assert [found.id for found in mai.store.conversations(search="answer 3")] == [reply.conversation]


async def test_the_old_reply_stays_until_another_is_whole(tmp_path: Path) -> None:
    one = model("one", reply="good enough")
    async with running(tmp_path, one) as (mai, _, _):
        await mai.process_message("which?")
        one.reply, one.crash_at = "never quite finished", 2
        with pytest.raises(MaiError):
            await again(mai.retry())
        assert [content for _, content, _ in await said(mai)] == ["which?", "good enough"]


async def test_a_question_without_a_reply_is_answered(tmp_path: Path) -> None:
    one = model("one", load_failures=[ModelFileError("cut short")] * 2, reply="here")
    async with running(tmp_path, one) as (mai, _, _):
        with pytest.raises(MaiError):
            await mai.process_message("are you there?")
        one.load_failures.clear()
        await mai.switch("one")
        assert (await again(mai.retry())).text == "here"
        assert [content for _, content, _ in await said(mai)] == ["are you there?", "here"]


async def test_a_message_is_put_differently(tmp_path: Path) -> None:
    async with running(tmp_path, model("one", reply=lambda messages: messages[-1].content.upper())) as (mai, _, _):
        await mai.process_message("secret words")
        reply = await again(mai.retry("other words"))
        assert reply.text == "OTHER WORDS"
        assert [content for _, content, _ in await said(mai)] == ["other words", "OTHER WORDS"]
        assert (await mai.get_conversation_history()).title == "other words"
        assert mai.store.conversations(search="secret") == []
        assert [o.sign for o in mai.store.outcomes().changed.values()] == [Sign.EDITED, Sign.KEPT]
        with pytest.raises(MaiError, match="nothing to answer"):
            await again(mai.retry(" "))
        assert [content for _, content, _ in await said(mai)] == ["other words", "OTHER WORDS"]


async def test_what_goes_wrong_counts_a_little(tmp_path: Path) -> None:
    dying, spare = model("dying", 0.9, reply="one two three four five", crash_at=3), model("spare", 0.4)
    async with running(tmp_path, dying, spare) as (mai, _, _):
        await mai.process_message("count")
        assert [(o.model, o.sign) for o in mai.store.outcomes().changed.values()] == [
            ("spare", Sign.KEPT),
            ("dying", Sign.FAILED),
            ("dying", Sign.FAILED),
        ]


def test_a_failure_speaks_against_a_model_only_where_it_is_its_own() -> None:
    assert sign_of(ModelCrashed("")) is Sign.FAILED
    assert sign_of(OutOfMemory("")) is None
    blamed = {s for s in Struggle if sign_of(ModelStruggles("", s)) is Sign.STRUGGLED}
    assert blamed == {Struggle.LOOPED, Struggle.UNSURE, Struggle.EMPTY}


async def test_who_opts_out_leaves_no_trace(tmp_path: Path) -> None:
    async with running(tmp_path, model("one"), learning=LearningSettings(outcomes=False)) as (mai, _, _):
        await mai.process_message("hello")
        with pytest.raises(MaiError, match="nothing is learnt") as caught:
            await mai.rate(False)
        assert "learning.outcomes" in caught.value.remedy
        await again(mai.retry())
        assert mai.store.outcomes().total == 0
        assert (await candidate(mai, "one")).learnt == 0.0


async def test_who_opts_out_later_is_judged_by_nothing_they_said(tmp_path: Path) -> None:
    async with running(tmp_path, model("one")) as (mai, _, _):
        await mai.process_message("hello")
        await mai.rate(False)
    async with running(tmp_path, model("one"), learning=LearningSettings(outcomes=False)) as (mai, _, _):
        assert (await candidate(mai, "one")).learnt == 0.0
        assert await mai.learnt() == ()


async def test_strategies_that_compete_hear_of_ratings(tmp_path: Path) -> None:
    """A bad answer costs what it was thought to be worth, and taking it back gives everything back."""
    learns = SelectionSettings(strategies=("tiered", "greedy-fit"), arbiter="exp4")
    async with running(tmp_path, model("one", 0.5), model("two", 0.4), selection=learns) as (mai, _, _):
        reply = await mai.process_message("hello")
        heard = mai.store.experts()
        await mai.rate(True)
        good = mai.store.experts()
        await mai.rate(False)
        bad = mai.store.experts()
        assert heard is not None
        assert good is not None
        assert bad is not None
        followed = reply.decision.followed.split()[2]
        assert good.losses[followed] < heard.losses[followed] < bad.losses[followed]
        await mai.rate(True)
        back = mai.store.experts()
        assert back is not None
        assert back.losses[followed] == pytest.approx(good.losses[followed])


async def test_without_a_reply_there_is_nothing_to_rate_or_repeat(tmp_path: Path) -> None:
    async with running(tmp_path, model("one")) as (mai, _, _):
        with pytest.raises(MaiError, match="no reply"):
            await mai.rate(True)
        with pytest.raises(MaiError, match="nothing was asked"):
            await again(mai.retry())
        await mai.new_conversation()
        with pytest.raises(MaiError, match="nothing was asked"):
            await again(mai.retry())


# The store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    clock = iter(range(1, 10**6))
    opened = Store.open(tmp_path / "mai.db", now=lambda: float(next(clock)))
    yield opened
    opened.close()


def exchange(store: Store) -> tuple[str, int]:
    conversation = store.new_conversation().id
    store.append(conversation, Message(role=Role.USER, content="why?"))
    return conversation, store.append(conversation, Message(role=Role.ASSISTANT, content="so", model="fox")).id


def test_an_outcome_comes_back_as_it_was(store: Store) -> None:
    kept = store.record_outcome(OUTCOME, *exchange(store))
    assert replace(kept, at=0.0) == OUTCOME
    changes = store.outcomes()
    assert list(changes.changed.values()) == [kept]
    assert store.outcomes(changes.version).changed == {}
    store.record_outcome(replace(OUTCOME, model="wolf"))
    assert [o.model for o in store.outcomes(changes.version).changed.values()] == ["wolf"]


def test_a_weaker_sign_never_replaces_a_stronger_one(store: Store) -> None:
    place = exchange(store)
    for sign in sorted(Sign, key=lambda s: -s.weight):
        assert store.record_outcome(replace(OUTCOME, sign=sign), *place).sign is Sign.RATED
    assert store.outcomes().total == 1
    assert store.ratings(place[0]) == {place[1]: 1.0}


def test_with_a_conversation_goes_where_its_outcomes_stood(store: Store, tmp_path: Path) -> None:
    conversation, message = exchange(store)
    kept = store.record_outcome(OUTCOME, conversation, message)
    store.delete(conversation)
    assert list(store.outcomes().changed.values()) == [kept]
    with sqlite3.connect(tmp_path / "mai.db") as connection:
        assert connection.execute("SELECT conversation, message FROM outcomes").fetchall() == [(None, None)]


def test_a_reply_that_takes_the_number_of_another_has_an_outcome_of_its_own(store: Store) -> None:
    conversation, message = exchange(store)
    store.record_outcome(replace(OUTCOME, sign=Sign.RATED), conversation, message)
    new = store.supersede(conversation, message, Message(role=Role.ASSISTANT, content="anew", model="fox"))
    assert new.id == message
    assert store.outcome(conversation, message) is None
    store.record_outcome(OUTCOME, conversation, message)
    assert store.outcomes().total == 2


def test_what_another_version_wrote_is_left_out(store: Store, tmp_path: Path) -> None:
    store.record_outcome(OUTCOME)
    with sqlite3.connect(tmp_path / "mai.db") as connection:
        connection.execute("UPDATE outcomes SET sign = 'sang'")
    assert store.outcomes().changed == {}


WRITER = """
import sys, time
from pathlib import Path
from mai_core.policy.kinds import TaskKind
from mai_core.policy.outcomes import Outcome
from mai_core.runtime.store import Store
store = Store.open(Path(sys.argv[1]), now=time.time)
for number in range(int(sys.argv[2])):
    store.record_outcome(Outcome(model=sys.argv[3], kind=TaskKind.CODE, expected=0.5, value=1.0))
    print(f"{number:019}", flush=True)
"""
"""Who is not read waits once a pipe is full, with lines of this length long before outcomes are too many to be kept."""


def test_several_processes_write_and_one_is_killed(tmp_path: Path, store: Store) -> None:
    """Whatever a process said was kept is there, each with a version of its own."""
    code, path = [sys.executable, "-c", WRITER], str(tmp_path / "mai.db")
    with (
        subprocess.Popen([*code, path, "100000", "killed"], stdout=subprocess.PIPE) as killed,
        subprocess.Popen([*code, path, "20", "whole"], stdout=subprocess.PIPE) as whole,
    ):
        assert killed.stdout is not None
        said = [killed.stdout.readline() for _ in range(5)]
        assert whole.wait(60) == 0
        killed.kill()
        said += killed.stdout.readlines()
        assert whole.stdout is not None
        assert len(whole.stdout.readlines()) == 20
    found = store.outcomes()
    kept = [o.model for o in found.changed.values()]
    assert kept.count("whole") == 20
    assert kept.count("killed") - len([line for line in said if line.endswith(b"\n")]) in (0, 1)
    assert found.version == found.total == len(kept)
