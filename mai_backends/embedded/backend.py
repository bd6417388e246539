"""The embedded engine as a backend: a worker process for each loaded model."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mai_core.errors import BackendUnavailable, ModelCrashed, ModelFileError, OutOfMemory
from mai_core.plugin.interfaces import BackendContext, FetchProgress, GenerationEvent, LoadProgress
from mai_core.policy.messages import GenerationOptions, Message
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, ModelProfile

if TYPE_CHECKING:
    from mai_backends.embedded.instance import Instance
    from mai_backends.embedded.keeping import Kept
    from mai_backends.embedded.process import WorkerProcess
    from mai_backends.embedded.states import StateStore
    from mai_core.plugin.interfaces import Backend, ModelAppraiser, ModelFetcher, StateKeeper, StatusNote

__all__ = ["EmbeddedBackend"]

log = logging.getLogger("mai.embedded")


class ProjectorRefused(Exception):
    """The engine does not take a model and a projector together; ``why`` is its reason."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class EmbeddedBackend:
    """llama.cpp on this machine, with every GGUF file there is on its disks.

    A plan is kept but for two numbers, which ``LoadedModel.plan`` tells: ``threads`` 0 becomes the cores that are
    free, and ``batch`` is lowered so far that a reply can be stopped within half a second.
    """

    kind: ClassVar[str] = "embedded"

    def __init__(self, context: BackendContext) -> None:
        from mai_backends.embedded.devices import Devices
        from mai_backends.embedded.library import Library
        from mai_backends.embedded.options import EmbeddedOptions
        from mai_backends.embedded.states import StateStore
        from mai_backends.settings import options_of

        self.name = context.name
        self.host = "local"
        self.remote = False
        self._options = options_of(EmbeddedOptions, context.name, context.options)
        self._library = Library(
            context,
            models_dirs=self._options.models_dirs,
            scan_other_tools=self._options.scan_other_tools,
        )
        self._devices = Devices(context.cache_dir / "devices.json")
        self._states = StateStore(context.cache_dir / "states", self._options.saved_states)
        self._instances: dict[str, Instance] = {}
        self._starting: set[WorkerProcess] = set()
        self._numbers = count(1)
        self._closed = False

    @property
    def note(self) -> str:
        """Which projectors are of no use, and why."""
        return self._library.projectors.note

    async def models(self) -> Sequence[ModelProfile]:
        """Every chat model in a GGUF file on this disk."""
        profiles, offload = await asyncio.gather(self._library.profiles(), self._devices.any())
        return [replace(profile, offload=offload) for profile in profiles]

    async def loaded(self) -> Sequence[LoadedModel]:
        """Every model of this process with the memory it takes. Workers that died are forgotten here."""
        instances = dict(self._instances)
        await asyncio.gather(*(instance.measured() for instance in instances.values()))
        alive = [model for instance in instances.values() if (model := instance.describe()) is not None]
        for name in instances.keys() - {model.instance for model in alive}:
            if (gone := self._instances.pop(name, None)) is not None:
                await gone.end()
                log.warning("worker died", extra={"instance": name, "how": gone.process.remains.end})
        return alive

    async def load(self, model: ModelProfile, plan: LoadPlan, *, progress: LoadProgress | None = None) -> LoadedModel:
        """Check the file, start a worker, let it load; its memory is measured, not guessed.

        A projector that the engine refuses costs the model its sight, from the next ``models`` on, and nothing else.
        """
        began = time.monotonic()
        await self._library.verify(model)
        progress = _rising(progress)
        projector = self._library.projector_of(model)
        try:
            loaded = await self._begun(model, plan, progress, projector)
        except ProjectorRefused as refusal:
            if projector is None:
                raise
            await asyncio.to_thread(self._library.projectors.refused, projector, Path(model.location), refusal.why)
            loaded = await self._begun(model, plan, progress, None)
        log.info(
            "model loaded",
            extra={
                "instance": loaded.instance,
                "pid": loaded.pid,
                "seconds": round(time.monotonic() - began, 3),
                "plan": asdict(loaded.plan),
                "anonymous": loaded.footprint.anonymous,
                "file_backed": loaded.footprint.file_backed,
            },
        )
        return loaded

    async def unload(self, instance: str) -> None:
        """End the worker; returns when its process is gone."""
        if (found := self._instances.pop(instance, None)) is not None:
            await found.end()
            log.info("model unloaded", extra={"instance": instance})

    async def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        """A reply; where the last message is the assistant's, the rest of that one."""
        async with aclosing(self._instance(instance).generate(messages, options)) as events:
            async for event in events:
                yield event

    async def count_tokens(self, instance: str, texts: Sequence[str]) -> Sequence[int]:
        """Tokens by the model's own tokenizer."""
        return await self._instance(instance).count_tokens(texts)

    async def save_state(self, instance: str, conversation: str) -> int:
        """Keep what the engine holds of a conversation on disk, where that is worth it."""
        found = self._instances.get(instance)
        return await found.save_state(conversation) if found is not None else 0

    async def restore_state(self, instance: str, conversation: str) -> int:
        """Give the engine back what is kept of a conversation; returns the tokens it need not read again."""
        found = self._instances.get(instance)
        return await found.restore_state(conversation) if found is not None else 0

    async def forget_state(self, conversation: str) -> None:
        """Delete what is kept of a conversation."""
        from mai_backends.embedded.states import digest

        await asyncio.gather(*(instance.settle() for instance in self._instances.values()))
        try:
            await asyncio.to_thread(self._states.forget, digest(conversation))
        except OSError as error:
            raise BackendUnavailable(
                f"{error.filename} cannot be deleted: {error.strerror}", remedy="check its permissions"
            ) from error

    async def fetch(
        self, source: str, *, sha256: str = "", progress: Callable[[FetchProgress], None] | None = None
    ) -> ModelProfile:
        """Bring a model to this disk."""
        return await self._library.fetch(source, sha256=sha256, progress=progress)

    async def appraise(self, source: str) -> ModelProfile:
        """What a model is that is not on this disk, by its header."""
        profile, offload = await asyncio.gather(self._library.appraise(source), self._devices.any())
        return replace(profile, offload=offload)

    async def remove(self, model: ModelProfile) -> int:
        """Delete a model that Mai fetched; returns the bytes freed."""
        return await self._library.remove(model)

    async def measure(self, file: Path, plan: LoadPlan, *, filled: int) -> tuple[ModelProfile, Footprint]:
        """What a file takes in memory of its own, loaded exactly by ``plan``, after a prompt of ``filled`` tokens."""
        from mai_backends.embedded.measuring import measure

        profile = await asyncio.to_thread(self.profile_of, file)
        return profile, (await measure(profile, plan, filled=filled, silence=self._options.load_timeout)).footprint

    def profile_of(self, file: Path) -> ModelProfile:
        """The model in a file, wherever it lies. Blocks on the disk; raises ``ModelFileError``."""
        return self._library.profile_of(file)

    async def close(self) -> None:
        """End every worker, also those that still load."""
        self._closed = True
        instances, self._instances = tuple(self._instances.values()), {}
        await asyncio.gather(
            *(instance.end() for instance in instances), *(process.kill() for process in tuple(self._starting))
        )

    async def _begun(
        self, model: ModelProfile, plan: LoadPlan, progress: LoadProgress, projector: Path | None
    ) -> LoadedModel:
        """A worker that has loaded the model; none is left where that fails."""
        from mai_backends.embedded.process import WorkerProcess

        if self._closed:
            raise BackendUnavailable(f"{self.name} is closed")
        process = await WorkerProcess.spawn()
        self._starting.add(process)
        try:
            return await self._start(process, model, plan, progress, projector)
        except BaseException:
            await process.kill()
            raise
        finally:
            self._starting.discard(process)

    async def _start(
        self,
        process: WorkerProcess,
        model: ModelProfile,
        plan: LoadPlan,
        progress: LoadProgress,
        projector: Path | None,
    ) -> LoadedModel:
        from mai_backends.embedded.client import EngineClient
        from mai_backends.embedded.failures import failed_load
        from mai_backends.embedded.instance import Instance
        from mai_backends.embedded.process import Configuration, LoadFailed
        from mai_backends.embedded.projector import LEAST_BATCH, reason_in

        progress(0.0)
        plan, reading = await self._settled(plan, model, process)
        if projector is not None:
            plan = replace(plan, batch=max(plan.batch, LEAST_BATCH))
        configuration = Configuration(
            model=model.location,
            context=plan.context,
            kv_type=plan.kv_type,
            gpu_layers=plan.gpu_layers or 0,
            threads=plan.threads,
            batch_threads=reading,
            batch=plan.batch,
            parallel=plan.parallel,
            # llama.cpp saves no states of a model that sees.
            states="" if projector else await self._folder_of_states(),
            projector=str(projector or ""),
        )
        file = Path(model.location).name
        try:
            address = await process.start(
                configuration, size_bytes=model.size_bytes, silence=self._options.load_timeout, progress=progress
            )
            footprint = await process.footprint()
            if footprint is None:
                raise LoadFailed(process.remains)
        except LoadFailed as error:
            if process.killed:
                raise BackendUnavailable(f"{self.name} was closed while it loaded {model.key}") from error
            failure = failed_load(file, model.key, error.remains)
            why = reason_in(error.remains.stderr) if projector is not None else ""
            if why and not isinstance(failure, OutOfMemory):
                raise ProjectorRefused(why) from error
            raise failure from error
        progress(1.0)
        name = f"{model.key}#{next(self._numbers)}"
        loaded = LoadedModel(
            instance=name,
            key=model.key,
            backend=self.name,
            plan=plan,
            footprint=footprint,
            measured=True,
            host=self.host,
            pid=process.pid,
        )
        client = EngineClient(address, api_key=configuration.api_key, key=model.key)
        kept = None if projector else await self._kept(loaded, model)
        self._instances[name] = Instance(loaded, process, client, kept)
        return loaded

    async def _folder_of_states(self) -> str:
        """Where engines may write states; empty when none are to be kept."""
        await asyncio.to_thread(self._states.tidy)
        return str(self._states.folder) if self._states.ready else ""

    async def _kept(self, loaded: LoadedModel, model: ModelProfile) -> tuple[StateStore, Kept] | None:
        """How the states of a model are kept; None when they are not."""
        from mai_backends.embedded.fitting import fit_of
        from mai_backends.embedded.keeping import Kept
        from mai_backends.embedded.tuning import reading_rate

        if not self._states.ready or loaded.pid is None:
            return None
        try:
            fit = await asyncio.to_thread(fit_of, Path(model.location), loaded.plan)
        except (OSError, ModelFileError) as error:
            log.info("states not kept", extra={"instance": loaded.instance, "error": str(error)})
            return None
        made, plan = model.architecture, loaded.plan
        cell = made.layers * made.kv_width * plan.kv_type.bytes_per_element if made is not None else 0
        return self._states, Kept(
            fit=fit,
            pid=loaded.pid,
            context=plan.context,
            # Of a model nobody knows the build of, all memory that is its own counts as the cache's.
            token_bytes=int(cell) or loaded.footprint.anonymous // plan.context,
            reading=reading_rate(model.size_bytes, plan.threads),
        )

    async def _settled(self, plan: LoadPlan, model: ModelProfile, process: WorkerProcess) -> tuple[LoadPlan, int]:
        """The plan with the numbers that were left to the backend, and the threads for reading prompts."""
        from mai_backends.embedded.tuning import choose_batch, free_threads, writing_threads

        threads = reading = plan.threads or self._options.threads
        if not threads:
            own = [process.pid, *(instance.process.pid for instance in self._instances.values())]
            reading, cores = await free_threads(own)
            threads = writing_threads(reading, cores=cores)
        batch = plan.batch if plan.gpu_layers else choose_batch(model.size_bytes, reading, largest=plan.batch)
        return replace(plan, threads=threads, batch=batch), reading

    def _instance(self, name: str) -> Instance:
        try:
            return self._instances[name]
        except KeyError:
            raise ModelCrashed(f"{name} is not loaded") from None


def _rising(progress: LoadProgress | None) -> LoadProgress:
    """Progress that never goes back: the memory of a process may."""
    highest = 0.0

    def report(share: float) -> None:
        nonlocal highest
        highest = max(highest, share)
        if progress is not None:
            progress(highest)

    return report


if TYPE_CHECKING:
    _backend: type[Backend] = EmbeddedBackend
    _appraiser: type[ModelAppraiser] = EmbeddedBackend
    _fetcher: type[ModelFetcher] = EmbeddedBackend
    _keeper: type[StateKeeper] = EmbeddedBackend
    _note: type[StatusNote] = EmbeddedBackend
