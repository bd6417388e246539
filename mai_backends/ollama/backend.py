"""Ollama as a backend: its models, what it holds in memory, and what Mai loaded of that."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, ClassVar

from mai_backends.estimating import TokenEstimate
from mai_backends.wire.secrecy import Secrets
from mai_core.errors import BackendError, BackendUnavailable, ModelCrashed
from mai_core.plugin.interfaces import BackendContext, GenerationEvent, LoadProgress
from mai_core.policy.messages import GenerationOptions, Message
from mai_core.policy.models import Footprint, KvType, LoadedModel, LoadPlan, ModelProfile

if TYPE_CHECKING:
    from mai_backends.ollama.client.rows import Running
    from mai_backends.ollama.instance import Instance
    from mai_backends.ollama.residency import Residency
    from mai_core.plugin.interfaces import Backend, StatusNote

__all__ = ["OllamaBackend"]

log = logging.getLogger("mai.ollama")

CLOUD = "ollama.com"
SECONDS_TO_FREE = 10.0
CLOSE_SECONDS = 2.0
BEFORE_A_REPLY = 6.0
"""Seconds: a server that waits for a GPU to give memory back does not list what it holds for up to five."""


class OllamaBackend:
    """An Ollama server.

    Ollama keeps one copy of a model in memory and loads it anew for whoever asks with other options, so an instance
    here is a model together with the options it was loaded with. What others loaded with enough context is used as it
    is, with their options, and neither kept longer nor unloaded.
    """

    kind: ClassVar[str] = "ollama"

    def __init__(self, context: BackendContext) -> None:
        from mai_backends.ollama.catalogue import Catalogue
        from mai_backends.ollama.loading import Loader
        from mai_backends.ollama.options import OllamaOptions
        from mai_backends.ollama.server import Server
        from mai_backends.settings import options_of

        self.name = context.name
        self._options = options = options_of(OllamaOptions, context.name, context.options)
        self._secrets = Secrets()
        self._server = Server(context.name, options, self._secrets)
        self.host = CLOUD if options.cloud else self._server.host
        self.remote = self.host != "local"
        self._catalogue = Catalogue(context.name, self.host, passed_on_to=CLOUD if options.cloud else None)
        self._loader = Loader(self._server)
        self._instances: dict[str, Instance] = {}
        self._others: dict[str, Instance] = {}
        self._estimates: defaultdict[str, TokenEstimate] = defaultdict(TokenEstimate)
        self._moving: set[str] = set()
        self._numbers = count(1)
        self._closed = False

    @property
    def note(self) -> str:
        """Where the server is, and what of it is not offered."""
        if not self._server.version:
            return ""
        notes = [f"Ollama {self._server.version} at {self._server.url}"]
        if not self._server.refuses_long_prompts:
            notes.append("too old to refuse a prompt that is too long: update it")
        if self._catalogue.left_out:
            notes.append(f"{self._catalogue.left_out} cloud models left out")
        return "; ".join(notes)

    async def models(self) -> Sequence[ModelProfile]:
        """Every model on the server's disk that converses; those of ollama.com only where the options say so."""
        with self._secrets.kept():
            return await self._models()

    async def _models(self) -> Sequence[ModelProfile]:
        from mai_backends.ollama.client.errors import CALL_FAILED

        api = await self._server.find()
        seconds = self._options.listing_timeout
        try:
            return await self._catalogue.profiles(api, seconds=seconds)
        except TimeoutError as error:
            raise BackendUnavailable(f"{self._server.label} did not list its models within {seconds:g} s") from error
        except CALL_FAILED as error:
            raise BackendUnavailable(f"{self._server.label} cannot list its models", detail=str(error)) from error

    async def loaded(self) -> Sequence[LoadedModel]:
        """Every model in the server's memory with the size it tells, whoever loaded it.

        What was unloaded, or loaded anew, by somebody else is forgotten here. Of a server that was never found nothing
        is asked: ``models`` looks for it.
        """
        if not self._server.version:
            return []
        if self._options.cloud:
            return [instance.loaded for instance in self._instances.values()]
        with self._secrets.kept():
            return await self._loaded()

    async def _loaded(self) -> list[LoadedModel]:
        before = dict(self._instances)
        rows = {row.name: row for row in await self._running()}
        now = datetime.now(UTC)
        listed = []
        for key, instance in tuple(self._instances.items()):
            row = rows.get(key)
            if row is not None and _same(row, instance):
                instance.loaded = _measured(instance.loaded, row, now)
            elif before.get(key) is instance:
                await self._forget(instance, "it was unloaded" if row is None else "it was loaded anew")
                continue
            listed.append(instance.loaded)
            rows.pop(key, None)
        return [*listed, *(self._of_others(row, now) for row in rows.values() if row.name not in self._moving)]

    async def load(self, model: ModelProfile, plan: LoadPlan, *, progress: LoadProgress | None = None) -> LoadedModel:
        """Let the server load a model, unless it holds it with that much context already. It reports no progress.

        ``LoadedModel.plan`` tells the context it really has. How the cache is stored and whether attention is fast are
        settings of the server, so the plan's are not kept.
        """
        report = progress or (lambda share: None)
        report(0.0)
        if self._closed:
            raise BackendUnavailable(f"{self.name} is closed")
        name = model.location
        if self._options.cloud:
            loaded = self._passed_on(model, plan)
        else:
            with self._secrets.kept():
                row = self._catalogue.resident(name, await self._running())
                if row is not None and row.context >= plan.context and self._keeps(name, plan):
                    loaded = self._in_memory(name, row)
                else:
                    loaded = await self._load(model, plan, replaced=row)
        report(1.0)
        return loaded

    async def unload(self, instance: str) -> None:
        """Free what Mai loaded; returns when the server no longer lists it. What others loaded stays."""
        found = next((one for one in self._instances.values() if one.loaded.instance == instance), None)
        if found is not None:
            with self._secrets.kept():
                await self._unload(found)

    async def _unload(self, found: Instance, *, seconds: float = SECONDS_TO_FREE) -> None:
        self._moving.add(found.key)
        try:
            mine = self._options.cloud or await self._is_still_mine(found, min(seconds, BEFORE_A_REPLY))
            self._instances.pop(found.key, None)
            await found.end()
            if mine and not self._options.cloud:
                await self._loader.free(found.key, seconds=seconds)
        finally:
            self._moving.discard(found.key)
        log.info("model unloaded" if mine else "model left to others", extra={"instance": found.loaded.instance})

    async def _is_still_mine(self, found: Instance, seconds: float) -> bool:
        """Of a server that does not say so it is believed, as long as nothing speaks against it."""
        try:
            rows = await self._running(seconds)
        except BackendUnavailable as error:
            log.warning("server does not say what it holds", extra={"backend": self.name, "error": str(error)})
            return True
        row = next((row for row in rows if row.name == found.key), None)
        return self._instances.get(found.key) is found and (row is None or _same(row, found))

    async def _running(self, seconds: float | None = None) -> list[Running]:
        """What is in the server's memory; what of it is no longer what Mai loaded is no longer taken for it.

        It goes on to be used, as what others loaded is.
        """
        before, asked = tuple(self._instances.values()), time.monotonic()
        rows = await (self._server.running() if seconds is None else self._server.running(seconds))
        listed, now, today = {row.name: row for row in rows}, time.monotonic(), datetime.now(UTC)
        for own in before:
            row = listed.get(own.key)
            if row is None or own.residency is None or own.answering or self._instances.get(own.key) is not own:
                continue
            if _same(row, own) and not own.residency.goes_on(row, asked=asked, now=now, today=today):
                del self._instances[own.key]
                log.info("model is somebody else's now", extra={"instance": own.loaded.instance})
        return rows

    async def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        """A reply; where the last message is the assistant's, the rest of that one.

        Ollama would load a model that is gone by itself, unseen by whoever shares out the memory: that is a crash.
        """
        with self._secrets.kept():
            found = await self._instance(instance, min(BEFORE_A_REPLY, options.first_token_deadline))
            async with aclosing(found.generate(await self._server.api(), messages, options)) as events:
                async for event in events:
                    yield event

    async def count_tokens(self, instance: str, texts: Sequence[str]) -> Sequence[int]:
        """An estimate, which the true counts of replies make better: Ollama keeps its tokenizers to itself."""
        estimate = self._estimates[self._key(instance)]
        return [estimate.count(text) for text in texts]

    async def close(self) -> None:
        """Unload what Mai loaded, and hang up.

        What somebody else is using just now the server unloads when they are done: nobody waits for that.
        """
        self._closed = True
        freed = await asyncio.gather(
            *(self._unload(one, seconds=CLOSE_SECONDS) for one in tuple(self._instances.values())),
            return_exceptions=True,
        )
        for error in freed:
            if isinstance(error, BackendError):
                log.warning("not unloaded", extra={"error": str(error)})
            elif isinstance(error, BaseException):
                raise error
        await self._loader.close()
        await self._server.close()

    async def _load(self, model: ModelProfile, plan: LoadPlan, *, replaced: Running | None) -> LoadedModel:
        from mai_backends.ollama.client.request import runner_options
        from mai_backends.ollama.residency import Residency

        began, name = time.monotonic(), model.location
        if (old := self._instances.pop(name, None)) is not None:
            await old.end()
        runner, keep_alive = runner_options(plan), self._options.keep_alive
        self._moving.add(name)
        try:
            row = await self._loader.load(name, runner, keep_alive=keep_alive, seconds=self._options.load_timeout)
            residency = Residency(row, keep_alive=keep_alive, now=time.monotonic())
            loaded = LoadedModel(
                instance=f"{self.name}:{name}#{next(self._numbers)}",
                key=name,
                backend=self.name,
                plan=_plan(plan, row.context or plan.context),
                footprint=_footprint(row),
                host=self.host,
                expires_in=row.expires_in(datetime.now(UTC)),
            )
            self._instances[name] = self._new(loaded, runner, keep_alive=keep_alive, residency=residency)
        finally:
            self._moving.discard(name)
        log.info(
            "model loaded",
            extra={
                "instance": loaded.instance,
                "seconds": round(time.monotonic() - began, 3),
                "context": loaded.plan.context,
                "bytes": loaded.footprint.total,
                "replaced": replaced is not None,
            },
        )
        return loaded

    def _keeps(self, name: str, plan: LoadPlan) -> bool:
        """Whether what is in memory is as good as planned: nobody can see how others placed its layers."""
        from mai_backends.ollama.client.request import runner_options

        own = self._instances.get(name)
        return own is None or own.runner.get("num_gpu") == runner_options(plan).get("num_gpu")

    def _in_memory(self, name: str, row: Running) -> LoadedModel:
        own, now = self._instances.get(name), datetime.now(UTC)
        if own is not None and row.name == name and _same(row, own):
            own.loaded = _measured(own.loaded, row, now)
            return own.loaded
        return replace(self._of_others(row, now), instance=self._borrowed(name), key=name)

    def _of_others(self, row: Running, now: datetime) -> LoadedModel:
        return LoadedModel(
            instance=self._borrowed(row.name),
            key=row.name,
            backend=self.name,
            plan=LoadPlan(context=row.context),
            footprint=_footprint(row),
            host=self.host,
            owned=False,
            expires_in=row.expires_in(now),
        )

    def _passed_on(self, model: ModelProfile, plan: LoadPlan) -> LoadedModel:
        """Nothing is loaded for a model of another machine; it is there with all its context."""
        loaded = LoadedModel(
            instance=self._borrowed(model.key),
            key=model.key,
            backend=self.name,
            plan=_plan(plan, model.max_context),
            footprint=Footprint(),
            host=self.host,
            owned=False,
        )
        self._instances[model.key] = self._new(loaded, {}, keep_alive=None)
        return loaded

    async def _instance(self, instance: str, seconds: float) -> Instance:
        """The instance, as long as it is in memory. Raises ``ModelCrashed`` or ``BackendUnavailable``."""
        key = self._key(instance)
        own = self._instances.get(key)
        if own is not None and own.loaded.instance == instance:
            if self._options.cloud:
                return own
            row = next((row for row in await self._running(seconds) if row.name == key), None)
            if row is None or not _same(row, own):
                await self._forget(own, "it was unloaded" if row is None else "it was loaded anew")
                raise ModelCrashed(f"{key} is no longer in Ollama's memory")
            if self._instances.get(key) is own:
                return own
        elif instance == self._borrowed(key) and not self._options.cloud:
            row = self._catalogue.resident(key, await self._running(seconds))
        else:
            row = None
        if row is None:
            raise ModelCrashed(f"{key} is not in Ollama's memory")
        known = self._others.get(key)
        if known is None or not _same(row, known):
            loaded = replace(self._of_others(row, datetime.now(UTC)), instance=instance, key=key)
            known = self._new(loaded, {"num_ctx": row.context} if row.context else {}, keep_alive=None)
            self._others[key] = known
        return known

    def _new(
        self,
        loaded: LoadedModel,
        runner: dict[str, int],
        *,
        keep_alive: float | None,
        residency: Residency | None = None,
    ) -> Instance:
        from mai_backends.ollama.instance import Instance

        return Instance(
            loaded=loaded,
            server=self._server.label,
            runner=runner,
            keep_alive=keep_alive,
            residency=residency,
            estimate=self._estimates[loaded.key],
            stops=self._catalogue.facts(loaded.key).stops,
            refuses_long_prompts=self._server.refuses_long_prompts,
        )

    async def _forget(self, instance: Instance, why: str) -> None:
        if self._instances.get(instance.key) is instance:
            del self._instances[instance.key]
        await instance.end()
        log.warning("model is gone", extra={"instance": instance.loaded.instance, "why": why})

    def _borrowed(self, key: str) -> str:
        return f"{self.name}:{key}"

    def _key(self, instance: str) -> str:
        return instance.removeprefix(f"{self.name}:").partition("#")[0]


def _plan(plan: LoadPlan, context: int) -> LoadPlan:
    return replace(plan, context=context, kv_type=KvType.F16, flash_attention=None)


def _same(row: Running, instance: Instance) -> bool:
    """Whether what is listed is what was loaded, as far as can be seen: an old server does not tell the window."""
    return row.context in (0, instance.loaded.plan.context)


def _measured(loaded: LoadedModel, row: Running, now: datetime) -> LoadedModel:
    return replace(loaded, footprint=_footprint(row), expires_in=row.expires_in(now))


def _footprint(row: Running) -> Footprint:
    """Without a GPU Ollama reads the weights into memory of its own rather than mapping their file."""
    return Footprint(anonymous=row.size - row.on_devices, devices={"gpu": row.on_devices} if row.on_devices else {})


if TYPE_CHECKING:
    _backend: type[Backend] = OllamaBackend

    def _noted(backend: OllamaBackend) -> StatusNote:
        return backend
