"""What every backend keeps of its Protocol, tried on one small model it has installed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mai_core.errors import BackendError, ContextExceeded, GenerationError, ModelCrashed, ModelLoadError
from mai_core.plugin.interfaces import Backend, BackendContext, GenerationEvent
from mai_core.plugin.shape import KINDS, misfit
from mai_core.policy.messages import GenerationOptions, Message, ReasoningDelta, ReplyEnd, Role, StopReason, TextDelta
from mai_core.policy.models import LoadedModel, LoadPlan, ModelProfile

__all__ = ["BackendConformance"]

QUESTION = (Message(role=Role.USER, content="Write a long story about a dragon, chapter by chapter.", id=1),)
SHORT = GenerationOptions(max_tokens=4, temperature=0.0, seed=1)
LONG = GenerationOptions(max_tokens=250, temperature=0.0, seed=1)
ATTEMPTS = 3
NOTHING = 0.2  # seconds: an engine that is free sooner than that is free at once

Scenario = Callable[[Backend], Awaitable[None]]


class BackendConformance:
    """Subclass it as ``TestMine`` and override ``make``.

    ``plan`` is how models are loaded, ``patience`` the seconds one test may take.
    """

    plan = LoadPlan(context=512, threads=1)
    patience = 60.0

    def make(self, context: BackendContext) -> Backend:
        """A fresh backend with at least one chat model installed, constructed with ``context``.

        To give it options, take ``dataclasses.replace(context, options={...})``.
        """
        raise NotImplementedError("override make() to return your backend")

    def model(self, profiles: Sequence[ModelProfile]) -> ModelProfile:
        """The model to try: the smallest, unless overridden."""
        return min(profiles, key=lambda profile: profile.size_bytes)

    async def crash(self, backend: Backend, loaded: LoadedModel) -> None:
        """Let the engine die as if by itself: its process is killed. Override it when there is no such process."""
        if loaded.pid is None or loaded.pid == os.getpid():
            pytest.skip("the engine has no process of its own to be killed")
        os.kill(loaded.pid, signal.SIGKILL)

    def run(self, tmp_path: Path, scenario: Scenario, options: Mapping[str, Any] | None = None) -> None:
        """Play a scenario on a fresh backend and an event loop of its own, and close the backend."""
        context = BackendContext(
            name="mine",
            options=options or {},
            data_dir=tmp_path / "data",
            cache_dir=tmp_path / "cache",
            state_dir=tmp_path / "state",
        )

        async def play() -> None:
            backend = self.make(context)
            try:
                async with asyncio.timeout(self.patience):
                    await scenario(backend)
            finally:
                await backend.close()

        asyncio.run(play())

    async def load(self, backend: Backend) -> LoadedModel:
        """The model to try, loaded."""
        return await backend.load(self.model(await backend.models()), self.plan)

    def test_has_the_members_of_a_backend(self, tmp_path: Path) -> None:
        """Its class can be registered, and its instance goes by the name it was given."""

        async def scenario(backend: Backend) -> None:
            assert misfit(type(backend), KINDS["backends"], "under test") == ""
            assert backend.name == "mine"
            assert isinstance(backend.host, str), "host is no text"
            assert isinstance(backend.remote, bool), "remote is neither True nor False"

        self.run(tmp_path, scenario)

    def test_lists_models(self, tmp_path: Path) -> None:
        """Each once, under this backend's name and host."""

        async def scenario(backend: Backend) -> None:
            profiles = await backend.models()
            assert profiles, "no model is installed: the suite needs one"
            assert len({profile.key for profile in profiles}) == len(profiles), "two models of one key"
            for profile in profiles:
                assert (profile.backend, profile.host, profile.remote) == (backend.name, backend.host, backend.remote)
                assert profile.max_context > 0

        self.run(tmp_path, scenario)

    def test_a_loaded_model_is_listed_until_it_is_unloaded(self, tmp_path: Path) -> None:
        """With at least the context that was asked for; unloading twice, or what never was, is no error."""

        async def scenario(backend: Backend) -> None:
            assert list(await backend.loaded()) == []
            loaded = await self.load(backend)
            assert loaded.backend == backend.name
            assert loaded.host == backend.host
            assert loaded.plan.context >= self.plan.context
            assert [entry.instance for entry in await backend.loaded()] == [loaded.instance]
            await backend.unload(loaded.instance)
            assert list(await backend.loaded()) == []
            await backend.unload(loaded.instance)
            await backend.unload("never-was")

        self.run(tmp_path, scenario)

    def test_load_reports_progress(self, tmp_path: Path) -> None:
        """Shares from 0 to 1 that do not go back."""

        async def scenario(backend: Backend) -> None:
            shares: list[float] = []
            await backend.load(self.model(await backend.models()), self.plan, progress=shares.append)
            assert shares == sorted(shares), f"progress went back: {shares}"
            assert all(0.0 <= share <= 1.0 for share in shares), f"no shares: {shares}"

        self.run(tmp_path, scenario)

    def test_a_model_that_is_not_there_is_a_load_error(self, tmp_path: Path) -> None:
        """And leaves nothing behind."""

        async def scenario(backend: Backend) -> None:
            profile = self.model(await backend.models())
            missing = replace(profile, location=f"{profile.location}-missing", sha256="")
            with pytest.raises(ModelLoadError) as caught:
                await backend.load(missing, self.plan)
            assert len(caught.value.message.splitlines()) == 1, "more than one line"
            assert list(await backend.loaded()) == []

        self.run(tmp_path, scenario)

    def test_a_cancelled_load_leaves_nothing_behind(self, tmp_path: Path) -> None:
        """And the next load works."""

        async def scenario(backend: Backend) -> None:
            profile = self.model(await backend.models())
            loading = asyncio.ensure_future(backend.load(profile, self.plan))
            await asyncio.sleep(0)
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await backend.unload((await loading).instance)
            assert list(await backend.loaded()) == []
            assert (await backend.load(profile, self.plan)).key == profile.key

        self.run(tmp_path, scenario)

    def test_a_reply_ends_once(self, tmp_path: Path) -> None:
        """Text, then one end with what it took."""

        async def scenario(backend: Backend) -> None:
            events = await reply(backend, (await self.load(backend)).instance, SHORT)
            *deltas, end = events
            assert isinstance(end, ReplyEnd), f"the last event is {end!r}"
            assert deltas, "an empty reply"
            texts = [delta.text for delta in deltas if isinstance(delta, TextDelta | ReasoningDelta)]
            assert len(texts) == len(deltas), "something between the text that is none"
            assert "".join(texts), "no text"
            assert end.usage.prompt_tokens > 0
            assert end.stop in (StopReason.STOP, StopReason.LENGTH)

        self.run(tmp_path, scenario)

    def test_max_tokens_is_kept(self, tmp_path: Path) -> None:
        """Never more, and ``LENGTH`` says why the reply ends."""

        async def scenario(backend: Backend) -> None:
            end = (await reply(backend, (await self.load(backend)).instance, SHORT))[-1]
            assert isinstance(end, ReplyEnd)
            assert 0 < end.usage.completion_tokens <= SHORT.max_tokens
            assert end.stop is StopReason.LENGTH

        self.run(tmp_path, scenario)

    def test_closing_the_iterator_stops_the_engine(self, tmp_path: Path) -> None:
        """So soon that a next reply need not wait for the one that was given up."""

        async def give_up(backend: Backend, instance: str) -> None:
            async with aclosing(backend.generate(instance, QUESTION, LONG)) as events:
                async for _ in events:
                    break

        self.run(tmp_path, partial(self.is_free_after, give_up))

    def test_cancelling_the_task_stops_the_engine(self, tmp_path: Path) -> None:
        """Also before the first token."""

        async def give_up(backend: Backend, instance: str) -> None:
            answering = asyncio.ensure_future(reply(backend, instance, LONG))
            await asyncio.sleep(0.01)
            answering.cancel()
            with suppress(asyncio.CancelledError):
                await answering

        self.run(tmp_path, partial(self.is_free_after, give_up))

    async def is_free_after(self, give_up: Callable[[Backend, str], Awaitable[None]], backend: Backend) -> None:
        """After a long reply was given up, a short one comes in less than half the time the long one takes.

        A ratio in one run, the best of a few attempts: a busy machine slows both alike.
        """
        instance = (await self.load(backend)).instance
        await reply(backend, instance, SHORT)
        whole = await _seconds(reply(backend, instance, LONG))
        for _ in range(ATTEMPTS):
            await give_up(backend, instance)
            waited = await _seconds(reply(backend, instance, SHORT))
            if waited < max(whole / 2, NOTHING):
                return
        pytest.fail(f"a long reply takes {whole:.1f} s; after giving it up, a short one took {waited:.1f} s")

    def test_replies_at_the_same_time_both_end(self, tmp_path: Path) -> None:
        """Side by side or one after the other."""

        async def scenario(backend: Backend) -> None:
            instance = (await self.load(backend)).instance
            for events in await asyncio.gather(*(reply(backend, instance, SHORT) for _ in range(2))):
                assert isinstance(events[-1], ReplyEnd)

        self.run(tmp_path, scenario)

    def test_a_prompt_larger_than_the_window_is_refused(self, tmp_path: Path) -> None:
        """Rather than cut without a word."""

        async def scenario(backend: Backend) -> None:
            loaded = await self.load(backend)
            endless = (Message(role=Role.USER, content="word " * (loaded.plan.context + 1), id=1),)
            with pytest.raises(ContextExceeded):
                await reply(backend, loaded.instance, SHORT, endless)

        self.run(tmp_path, scenario)

    def test_counts_tokens(self, tmp_path: Path) -> None:
        """One number a text, in order; nothing for nothing."""

        async def scenario(backend: Backend) -> None:
            instance = (await self.load(backend)).instance
            nothing, little, much = await backend.count_tokens(instance, ["", "a word", "a word " * 20])
            assert nothing == 0
            assert 0 < little < much
            assert list(await backend.count_tokens(instance, [])) == []

        self.run(tmp_path, scenario)

    def test_what_is_not_loaded_does_not_answer(self, tmp_path: Path) -> None:
        """It fails by the class of its failure, before and after it was loaded."""

        async def scenario(backend: Backend) -> None:
            with pytest.raises(BackendError):
                await reply(backend, "never-was", SHORT)
            instance = (await self.load(backend)).instance
            await backend.unload(instance)
            with pytest.raises(BackendError):
                await reply(backend, instance, SHORT)

        self.run(tmp_path, scenario)

    def test_a_crash_between_replies_is_noticed(self, tmp_path: Path) -> None:
        """The instance is gone and no longer listed, and the model can be loaded again."""

        async def scenario(backend: Backend) -> None:
            loaded = await self.load(backend)
            await self.crash(backend, loaded)
            with pytest.raises(ModelCrashed):
                await reply(backend, loaded.instance, SHORT)
            assert list(await backend.loaded()) == []
            await backend.unload(loaded.instance)
            assert await reply(backend, (await self.load(backend)).instance, SHORT)

        self.run(tmp_path, scenario)

    def test_a_crash_during_a_reply_ends_it(self, tmp_path: Path) -> None:
        """With ``ModelCrashed``, at once."""

        async def scenario(backend: Backend) -> None:
            loaded = await self.load(backend)
            with pytest.raises(ModelCrashed):
                await reply(backend, loaded.instance, LONG, begun=lambda: self.crash(backend, loaded))

        self.run(tmp_path, scenario)

    def test_unloading_ends_a_reply(self, tmp_path: Path) -> None:
        """Whoever still listens hears of it."""

        async def scenario(backend: Backend) -> None:
            loaded = await self.load(backend)
            with pytest.raises(GenerationError):
                await reply(backend, loaded.instance, LONG, begun=lambda: backend.unload(loaded.instance))

        self.run(tmp_path, scenario)

    def test_close_frees_everything(self, tmp_path: Path) -> None:
        """Processes too; closing twice is no error."""

        async def scenario(backend: Backend) -> None:
            loaded = await self.load(backend)
            await backend.close()
            if loaded.pid is not None and loaded.pid != os.getpid():
                with pytest.raises(ProcessLookupError):
                    os.kill(loaded.pid, 0)
            await backend.close()

        self.run(tmp_path, scenario)


async def _seconds(work: Awaitable[object]) -> float:
    """What it takes by the clock."""
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun


async def reply(
    backend: Backend,
    instance: str,
    options: GenerationOptions,
    messages: Sequence[Message] = QUESTION,
    *,
    begun: Callable[[], Awaitable[None]] | None = None,
) -> list[GenerationEvent]:
    """A whole reply; ``begun`` is called after its first event."""
    collected: list[GenerationEvent] = []
    async with aclosing(backend.generate(instance, messages, options)) as events:
        async for event in events:
            collected.append(event)
            if len(collected) == 1 and begun is not None:
                await begun()
    return collected
