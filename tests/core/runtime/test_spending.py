"""Replies that are paid for: reserved, settled, refused; by one process, by two, and by one that is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from mai_core.errors import BudgetExceeded, NothingFits
from mai_core.policy.budget import Budget
from mai_core.policy.messages import GenerationOptions, Message, Role, StopReason, Usage
from mai_core.policy.models import ModelProfile
from mai_core.policy.selection import RejectionReason
from mai_core.runtime.spending import Spending
from mai_core.runtime.store import Store
from mai_core.settings.model import CostSettings, GenerationSettings, SelectionSettings
from mai_core.testing.backend import FakeModel
from tests.core.runtime.worlds import model, running

DEAR = ModelProfile(key="dear", backend="cloud", location="", price_in=10.0, price_out=1000.0)
SPENDTHRIFT = SelectionSettings(strategies=("greedy-fit",))
"""Whoever answers best, whatever it costs."""

LONG = " ".join(f"word{number * 7919 % 1000}" for number in range(1000))


def elsewhere(*, reply: str = LONG, price_out: float = 1000.0) -> Mapping[str, Mapping[str, Any]]:
    """A backend on another machine with one model that is good and costs a thousandth a token."""
    dear = model("dear", quality=0.95, reply=reply)
    dear.profile = replace(dear.profile, size_bytes=0, price_in=10.0, price_out=price_out)
    return {"cloud": {"models": (dear,), "host": "cloud", "remote": True}}


def cheap() -> FakeModel:
    return model("cheap", quality=0.2, reply="Local.")


async def test_a_reply_ends_where_the_money_does_and_the_next_is_answered_by_another(tmp_path: Path) -> None:
    limited = {"cost": CostSettings(budget_day=0.5), "selection": SPENDTHRIFT}
    async with running(tmp_path, cheap(), others=elsewhere(), **limited) as (mai, _, _):
        first = await mai.process_message("Tell me all about it.")
        assert first.message.model == "dear"
        assert first.message.stop is StopReason.LENGTH
        spent = (await mai.get_status()).budget
        assert 300_000_000 < spent.today <= 500_000_000
        assert spent.open == 0
        second = await mai.process_message("And now?")
        assert second.message.model == "cheap"
        assert [r.reason for r in second.decision.rejections] == [RejectionReason.BUDGET]
        assert second.decision.spent.endswith("of 0.50 today")


async def test_without_a_budget_all_is_counted_and_nothing_is_cut(tmp_path: Path) -> None:
    async with running(tmp_path, cheap(), others=elsewhere(), selection=SPENDTHRIFT) as (mai, _, _):
        reply = await mai.process_message("Tell me all about it.")
        assert reply.message.stop is StopReason.STOP
        assert (await mai.get_status()).budget.today >= 1_000_000_000
        assert reply.decision.spent == ""


async def test_a_reply_that_breaks_off_stays_counted_as_dear_as_it_can_have_been(tmp_path: Path) -> None:
    others = elsewhere(reply="some words and no more")
    others["cloud"]["models"][0].crash_at = 2
    limited = {
        "cost": CostSettings(budget_day=1.0),
        "generation": GenerationSettings(max_tokens=200),
        "selection": SPENDTHRIFT,
    }
    async with running(tmp_path, cheap(), others=others, **limited) as (mai, _, _):
        reply = await mai.process_message("Hello?")
        assert reply.message.model == "cheap"
        budget = (await mai.get_status()).budget
        assert budget.open == budget.today > 400_000_000, "the model was asked twice"
        assert "is reserved" in budget.words_of_open


async def test_nobody_is_paid_five_times_what_an_answer_is_worth_by_default(tmp_path: Path) -> None:
    async with running(tmp_path, cheap(), others=elsewhere()) as (mai, _, _):
        assert (await mai.process_message("Tell me all about it.")).message.model == "cheap"
    async with running(tmp_path, cheap(), others=elsewhere(price_out=1.0)) as (mai, _, _):
        assert (await mai.process_message("Tell me all about it.")).message.model == "dear"


async def test_who_can_only_be_paid_is_refused_with_the_numbers(tmp_path: Path) -> None:
    async with running(tmp_path, others=elsewhere(), cost=CostSettings(budget_month=0.01)) as (mai, _, _):
        with pytest.raises(NothingFits, match=r"0\.00 of 0\.0100 is spent this month") as refused:
            await mai.process_message("Hello?")
        assert "cost.budget_month" in refused.value.remedy


async def test_days_begin_at_the_persons_own_midnight(tmp_path: Path) -> None:
    times = [datetime(2026, 1, 31, 22, 30, tzinfo=UTC).timestamp()]
    store = Store.open(tmp_path / "mai.sqlite", now=lambda: times[0])
    spending = Spending(store, per_day=0.2, per_month=0.3, now=lambda: times[0], zone=timezone(timedelta(hours=1)))
    asked = [Message(role=Role.USER, content="Hello?")]

    async def pay(tokens: int) -> None:
        async with spending.paying(DEAR, asked, GenerationOptions(max_tokens=tokens)) as tab:
            tab.usage = Usage(prompt_tokens=1, completion_tokens=tokens)

    await pay(150)
    with pytest.raises(BudgetExceeded, match="today"):
        await pay(150)
    times[0] += 3600.0  # midnight where the person lives, and the first of February
    assert spending.budget().today == spending.budget().month == 0
    await pay(150)
    times[0] += 24 * 3600.0
    await pay(100)
    with pytest.raises(BudgetExceeded, match="this month"):
        await pay(100)
    assert spending.budget().month <= 300_000_000
    store.close()


SPENDER = """
import sys, time
from mai_core.policy.budget import Budget, granted
from mai_core.policy.models import ModelProfile
from mai_core.runtime.store import Store
model = ModelProfile(key="m", backend="b", location="", price_out=1000.0)
store = Store.open(__import__("pathlib").Path(sys.argv[1]), now=time.time)
limits, count = Budget.of(1.0, None), 0
print("ready", flush=True)
sys.stdin.readline()
while True:
    time.sleep(0.002)
    got = store.reserve("2026-11-23", limits, lambda b: granted(b, model, 0, 5), key="m", backend="b")
    if isinstance(got, Budget):
        break
    number, grant = got
    count += 1
    if count == int(sys.argv[2]):
        print("reserved", flush=True)
        time.sleep(60)
    store.settle(number, grant.amount - 1_000_000)
print(count, flush=True)
"""


def test_two_processes_do_not_overspend_and_one_that_is_killed_leaves_its_reservation(tmp_path: Path) -> None:
    path = tmp_path / "mai.sqlite"
    Store.open(path, now=lambda: 0.0).close()

    def spender(dies_at: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SPENDER, str(path), str(dies_at)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def told(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def go(process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    with spender(4) as dying, spender(-1) as living:
        assert [told(dying), told(living)] == ["ready", "ready"]
        go(dying)
        go(living)
        assert told(dying) == "reserved"
        os.kill(dying.pid, signal.SIGKILL)
        turns = int(told(living))
    store = Store.open(path, now=lambda: 0.0)
    spent = store.spent("2026-11-23", Budget.of(1.0, None))
    store.close()
    assert spent.open == 5_000_000
    assert spent.today == (3 + turns) * 4_000_000 + spent.open
    assert 1_000_000_000 - 5_000_000 < spent.today <= 1_000_000_000


async def test_turns_at_once_share_what_is_left(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "mai.sqlite", now=lambda: 0.0)
    spending = Spending(store, per_day=0.3, per_month=None, now=lambda: 0.0, zone=UTC)
    paid = 0

    async def turn() -> None:
        nonlocal paid
        async with spending.paying(DEAR, (), GenerationOptions(max_tokens=100)):
            paid += 1
            await asyncio.sleep(0.05)

    outcomes = await asyncio.gather(*(turn() for _ in range(6)), return_exceptions=True)
    assert paid == 3
    assert sum(isinstance(outcome, BudgetExceeded) for outcome in outcomes) == 3
    assert spending.budget().today <= 300_000_000
    store.close()
