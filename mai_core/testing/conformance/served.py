"""What a backend keeps whose server loads by itself: nothing in its memory is Mai's to free.

What a server holds is there before Mai comes and after it leaves. So those tests of the suite that end with an empty
memory say here what holds instead; all others are inherited as they are.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from mai_core.errors import BackendError, ModelCrashed, ModelLoadError
from mai_core.plugin.interfaces import Backend
from mai_core.testing.conformance.backend import LONG, SHORT, BackendConformance, reply

__all__ = ["ServedConformance"]


class ServedConformance(BackendConformance):
    """Subclass it as ``BackendConformance``.

    ``tells`` is False for a server that cannot say what is in memory: of that one nothing may be claimed."""

    tells = True

    def test_a_loaded_model_is_listed_until_it_is_unloaded(self, tmp_path: Path) -> None:
        """As the server says, never as Mai's, and unloading takes nothing away."""

        async def scenario(backend: Backend) -> None:
            loaded = await self.load(backend)
            assert (loaded.backend, loaded.host, loaded.owned) == (backend.name, backend.host, False)
            assert loaded.plan.context >= self.plan.context
            listed = await backend.loaded()
            assert [replace(entry, expires_in=None) for entry in listed] == ([loaded] if self.tells else [])
            await backend.unload(loaded.instance)
            assert list(await backend.loaded()) == list(listed)
            await backend.unload("never-was")

        self.run(tmp_path, scenario)

    def test_a_model_that_is_not_there_is_a_load_error(self, tmp_path: Path) -> None:
        """And changes nothing of what is in memory."""

        async def scenario(backend: Backend) -> None:
            profile = self.model(await backend.models())
            before = [entry.key for entry in await backend.loaded()]
            with pytest.raises(ModelLoadError) as caught:
                await backend.load(replace(profile, location=f"{profile.location}-missing"), self.plan)
            assert len(caught.value.message.splitlines()) == 1
            assert [entry.key for entry in await backend.loaded()] == before

        self.run(tmp_path, scenario)

    def test_a_cancelled_load_leaves_nothing_behind(self, tmp_path: Path) -> None:
        """The next load works."""

        async def scenario(backend: Backend) -> None:
            profile = self.model(await backend.models())
            loading = asyncio.ensure_future(backend.load(profile, self.plan))
            await asyncio.sleep(0)
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading
            assert (await backend.load(profile, self.plan)).key == profile.key

        self.run(tmp_path, scenario)

    def test_what_is_not_loaded_does_not_answer(self, tmp_path: Path) -> None:
        """It fails by the class of its failure."""

        async def scenario(backend: Backend) -> None:
            with pytest.raises(BackendError):
                await reply(backend, "never-was", SHORT)

        self.run(tmp_path, scenario)

    def test_a_crash_between_replies_is_noticed(self, tmp_path: Path) -> None:
        """A server that came back answers; nothing is claimed to be loaded that is not."""

        async def scenario(backend: Backend) -> None:
            loaded = await self.load(backend)
            await self.crash(backend, loaded)
            assert await reply(backend, (await self.load(backend)).instance, SHORT)

        self.run(tmp_path, scenario)

    def test_unloading_ends_a_reply(self, tmp_path: Path) -> None:
        """Closing does: there is nothing to unload."""

        async def scenario(backend: Backend) -> None:
            loaded = await self.load(backend)
            with pytest.raises(ModelCrashed):
                await reply(backend, loaded.instance, LONG, begun=backend.close)

        self.run(tmp_path, scenario)
