"""What the decider remembers from one turn to the next: what somebody waited for, and what engines have read."""

from __future__ import annotations

from pathlib import Path

from mai_core.policy.features import TaskFeatures
from mai_core.policy.selection import Move
from mai_core.testing.machine import FakeMachine
from tests.core.runtime.worlds import model, running

GIB = 2**30


async def test_a_switch_that_was_waited_for_is_remembered_and_what_was_read_is_known(tmp_path: Path) -> None:
    small, large = model("small", 0.3, size_bytes=GIB // 4), model("large", 0.95, size_bytes=GIB)
    async with running(tmp_path, small, large, machine=FakeMachine(total=24 * GIB)) as (mai, _, _):
        decider = mai.manager._decider
        await mai.switch("small", here_only=True)
        await mai.process_message("hi")
        await mai.switch(None)
        reply = await mai.process_message("prove that there are infinitely many primes")
        assert (reply.decision.move, reply.message.model) == (Move.SWITCH, "large")

        async def situation(conversation: str = ""):  # type: ignore[no-untyped-def]
            return await decider.situation(TaskFeatures(), current="large", pinned=None, conversation=conversation)

        [switch] = (await situation()).history
        assert (switch.key, switch.up) == ("large", True)
        read = (await situation(reply.conversation)).read
        assert set(read) == {"small", "large"}
        assert read["large"] >= reply.usage.prompt_tokens > 0
        assert (await situation("another")).read == {}
        await mai.manager._pool.unload("large")
        assert set((await situation(reply.conversation)).read) == {"small"}
        await mai.process_message("and now?")
        assert len((await situation()).history) == 1, "who stays makes nobody wait"


async def test_what_the_person_chose_is_no_restlessness(tmp_path: Path) -> None:
    async with running(tmp_path, model("one", 0.5), model("two", 0.5)) as (mai, _, _):
        for key in ("one", "two", "one"):
            await mai.switch(key, here_only=True)
            assert (await mai.process_message("hi")).message.model == key
        situation = await mai.manager._decider.situation(TaskFeatures(), current="one", pinned=None)
        assert situation.history == ()
