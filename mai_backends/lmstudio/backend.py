"""LM Studio as a backend: found, started if need be, and only then talked to."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from mai_backends.hosts import LOCAL, host_of
from mai_backends.lmstudio.absence import ServerGone
from mai_core.errors import BackendUnavailable, EngineAbsent, ModelCrashed
from mai_core.plugin.interfaces import BackendContext, GenerationEvent, LoadProgress
from mai_core.policy.messages import GenerationOptions, Message
from mai_core.policy.models import LoadedModel, LoadPlan, ModelProfile

if TYPE_CHECKING:
    from mai_backends.lmstudio.autostart import Starter
    from mai_backends.lmstudio.discovery import Address, Found
    from mai_backends.lmstudio.engine import Engine
    from mai_core.plugin.interfaces import Backend, StatusNote

__all__ = ["LMStudioBackend"]

log = logging.getLogger("mai.lmstudio")

TOKEN_VARIABLES = ("LM_API_TOKEN", "LMSTUDIO_API_TOKEN")
"""Where LM Studio's own SDKs look for a token: what its documentation and JavaScript say, and what Python does."""


class LMStudioBackend:
    """Models of an LM Studio server, loaded and unloaded through its official SDK.

    The SDK is imported when a server was found, not before: who has no LM Studio pays nothing for it.
    """

    kind: ClassVar[str] = "lmstudio"

    def __init__(self, context: BackendContext) -> None:
        from mai_backends.lmstudio.installation import Installation
        from mai_backends.lmstudio.options import LMStudioOptions
        from mai_backends.lmstudio.processes import Mark
        from mai_backends.settings import options_of

        self.name = context.name
        self._options = options_of(LMStudioOptions, context.name, context.options)
        self.host = host_of(self._options.url) if self._options.url else LOCAL
        self.remote = self.host != LOCAL
        self._installed = Installation.of(self._options.home)
        self._cache = context.cache_dir
        self._engine: Engine | None = None
        self._starting: asyncio.Lock = asyncio.Lock()
        self._state = context.state_dir / "lmstudio"
        self._mark = Mark(self._state / "starting.json")
        self._starter = self._make_starter()
        self._answered: Address | None = None
        self._silent = False
        self._looked = False
        self._closed = False
        self._found = ""

    @property
    def note(self) -> str:
        """Where the server was found, or what is being done about it."""
        starter = self._starter
        if starter is not None and starter.note and (starter.started or not self._found):
            return starter.note
        return self._found or self._mark.told()

    async def models(self) -> Sequence[ModelProfile]:
        """Every language model on LM Studio's disk. Where LM Studio does not run, a start is begun, not waited for."""
        try:
            return await (await self._ready()).models()
        except (EngineAbsent, ServerGone):
            if (starter := self._startable) is not None:
                starter.later(self._options.autostart_after)
            raise

    async def loaded(self) -> Sequence[LoadedModel]:
        """Every instance in LM Studio's memory, whoever loaded it."""
        if self._engine is None:
            if self._looked:
                return ()
            try:
                await self._ready()
            except BackendUnavailable:
                return ()
        assert self._engine is not None
        return await self._engine.loaded()

    async def load(self, model: ModelProfile, plan: LoadPlan, *, progress: LoadProgress | None = None) -> LoadedModel:
        """Load a further instance under Mai's own name; LM Studio is started for it where it does not run.

        Nobody waits long for the start: it goes on in the background while another model answers.
        """
        tell = progress or _nothing
        try:
            return await (await self._ready()).load(model, plan, tell)
        except (EngineAbsent, ServerGone):
            if (starter := self._startable) is None:
                raise
        try:
            async with asyncio.timeout(self._options.start_wait):
                await starter.now()
        except TimeoutError:
            raise BackendUnavailable(
                f"LM Studio is being started{starter.again}", remedy="its models are there as soon as it is up"
            ) from None
        return await (await self._ready()).load(model, plan, tell)

    async def unload(self, instance: str) -> None:
        """Free an instance that Mai loaded."""
        if self._engine is not None:
            await self._engine.unload(instance)

    async def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        """A reply; where the last message is the assistant's, the rest of that one."""
        if self._engine is None:
            raise ModelCrashed(f"{instance} is not loaded in LM Studio")
        try:
            async with aclosing(self._engine.generate(instance, messages, options)) as events:
                async for event in events:
                    yield event
        except ServerGone:
            if (starter := self._startable) is not None:
                starter.later(0.0)
            raise

    async def count_tokens(self, instance: str, texts: Sequence[str]) -> Sequence[int]:
        """Tokens by the model's own tokenizer."""
        if self._engine is None:
            raise ModelCrashed(f"{instance} is not loaded in LM Studio")
        return await self._engine.count_tokens(instance, texts)

    async def close(self) -> None:
        """Unload what Mai loaded; end a server that Mai started, unless others use it by now."""
        self._closed = True
        engine, self._engine = self._engine, None
        starter = self._starter
        stop = starter is not None and starter.started
        if engine is not None:
            stop = stop and not await engine.has_others()
            await engine.close()
        if starter is not None:
            await starter.end(stop=stop)

    async def _ready(self) -> Engine:
        """What talks to the server. Raises ``EngineAbsent`` or ``BackendUnavailable`` where there is none."""
        async with self._starting:
            if self._closed:
                raise BackendUnavailable(f"{self.name} is closed")
            if self._engine is None:
                self._looked = True
                await self._locate()
                try:
                    engine = await asyncio.to_thread(import_module, "mai_backends.lmstudio.engine")
                except ImportError as error:
                    raise BackendUnavailable(
                        "LM Studio is running, but its SDK is missing", remedy="pip install lmstudio", detail=str(error)
                    ) from error
                self._engine = engine.Engine(
                    self.name,
                    self.host,
                    self._options,
                    home=self._installed.home,
                    cache=self._cache,
                    holdings=self._state / "holdings",
                    locate=self._locate,
                    token=self._token,
                )
        assert self._engine is not None
        return self._engine

    async def _locate(self) -> Address:
        from mai_backends.lmstudio import discovery

        was_there, self._found = bool(self._found), ""
        url = self._options.url
        places = [discovery.address_of(url)] if url else discovery.candidates(self._installed.home)
        before = self._answered
        patient = bool(url) or before is not None
        seconds = discovery.CONFIGURED_SECONDS if patient else discovery.SEARCH_SECONDS
        found = await discovery.find(places, seconds=seconds)
        self._silent = bool(found.silent) if before is None else before in found.silent
        if found.address is None:
            if was_there and not self._silent and self._starter is not None:
                self._starter.lost()
            raise self._missing(found, seconds)
        self._answered = found.address
        self._found = f"found on port {found.address.port}"
        return found.address

    def _missing(self, found: Found, seconds: float) -> BackendUnavailable:
        """Why no server answers, by what is known of it."""
        from mai_backends.lmstudio.absence import never_answered, stopped_answering

        url, before = self._options.url, self._answered
        if before is not None and (self._silent or not url):
            remedy = self._how_to_start("start it again")
            return stopped_answering(before, stands_still=self._silent, seconds=seconds, remedy=remedy)
        if found.silent:
            return never_answered(found.silent[0], configured=bool(url), seconds=seconds)
        if url:
            stopped = "stopped answering" if before is not None else "does not answer"
            return BackendUnavailable(f"LM Studio {stopped} at {url}", remedy="start its server there")
        if self._installed.lms is None:
            return EngineAbsent("LM Studio is not installed, or not running")
        return EngineAbsent("LM Studio is installed but not running", remedy=self._how_to_start("start it"))

    def _how_to_start(self, by_hand: str) -> str:
        if self._starter is not None:
            return self._starter.prospect(self._options.autostart_after)
        can = self._installed.lms is not None and not self._options.url
        return f"{by_hand}, or set autostart: true" if can else by_hand

    @property
    def _startable(self) -> Starter | None:
        """What would start a server: None also where something stands still that may be one."""
        return None if self._closed or self._silent else self._starter

    def _make_starter(self) -> Starter | None:
        from mai_backends.lmstudio.autostart import Starter

        lms = self._installed.lms
        if self._options.url or not self._options.autostart or lms is None:
            return None
        return Starter(lms, find=self._search, patience=self._options.start_timeout, mark=self._mark)

    async def _search(self) -> Address | None:
        from mai_backends.lmstudio import discovery

        return (await discovery.find(discovery.candidates(self._installed.home))).address

    async def _token(self) -> str:
        if spec := self._options.api_token:
            from mai_backends.secrets import read_secret

            return await asyncio.to_thread(read_secret, spec, who=f"backends.{self.name}.api_token")
        return next((token for name in TOKEN_VARIABLES if (token := os.environ.get(name, "").strip())), "")


def _nothing(_: float) -> None:
    """For whom progress is nothing to tell."""


if TYPE_CHECKING:
    _backend: type[Backend] = LMStudioBackend
    _noted: type[StatusNote] = LMStudioBackend
