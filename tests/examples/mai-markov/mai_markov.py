"""A backend for Mai: every text in a folder is a model, which rambles on from word to word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import ClassVar

from markov_chain import Chain

from mai_core import errors, hookimpl
from mai_core.plugin.interfaces import Backend, BackendContext, GenerationEvent, LoadProgress
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, Role, StopReason, TextDelta, Usage
from mai_core.policy.models import Architecture, Footprint, LoadedModel, LoadPlan, ModelProfile

NO_CACHE = Architecture(name="markov", layers=0, embedding=0, feed_forward=0, kv_width=0, vocabulary=0)


class Markov:
    """The one option is ``folder``, where the texts are: files named ``*.txt``. A token is a word."""

    kind: ClassVar[str] = "markov"

    def __init__(self, context: BackendContext) -> None:
        self.name, self.host, self.remote = context.name, "local", False
        self._instances: dict[str, tuple[LoadedModel, Chain]] = {}
        self._numbers = count(1)
        if context.options.keys() != {"folder"}:
            raise errors.SettingsError(f"backends.{self.name} has one option, which it needs: folder")
        self._folder = Path(str(context.options["folder"])).expanduser()

    async def models(self) -> Sequence[ModelProfile]:
        """Disks block, and the event loop is for everyone: a thread waits for them."""
        return await asyncio.to_thread(lambda: [self._profile(f) for f in self._folder.glob("*.txt") if f.is_file()])

    async def loaded(self) -> Sequence[LoadedModel]:
        return [loaded for loaded, _ in self._instances.values()]

    async def load(self, model: ModelProfile, plan: LoadPlan, *, progress: LoadProgress | None = None) -> LoadedModel:
        """Nothing is kept before all is done, so that a load that is cancelled leaves nothing behind."""
        try:
            chain = await asyncio.to_thread(Chain, model.location)
        except (OSError, ValueError) as error:
            raise errors.ModelFileError(f"{model.key} cannot be read: {error}") from error
        name, takes = f"{model.key}#{next(self._numbers)}", Footprint(Chain.MEMORY * model.size_bytes)
        loaded = LoadedModel(instance=name, key=model.key, backend=self.name, plan=plan, footprint=takes)
        self._instances[name] = loaded, chain
        return loaded

    async def unload(self, instance: str) -> None:
        self._instances.pop(instance, None)

    async def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        """Closing it ends the walk, as the engine only takes a step when it is asked for one."""
        loaded, chain = self._found(instance)
        prompt, window = sum(len(message.content.split()) for message in messages), loaded.plan.context
        if prompt >= window:
            raise errors.ContextExceeded(f"the prompt has {prompt} words, {loaded.key} a window of {window}")
        limit = min(options.max_tokens or window, window - prompt)
        begun = messages[-1].content if messages[-1].role is Role.ASSISTANT else ""  # a reply to be continued
        walk = chain.walk(begun, limit, options.temperature, options.seed, options.stop)
        written, deadline = 0, options.first_token_deadline
        try:
            while (piece := await asyncio.wait_for(asyncio.to_thread(next, walk, None), deadline)) is not None:
                self._found(instance)  # not when it was unloaded meanwhile
                written, deadline = written + 1, options.token_deadline
                if piece:
                    yield TextDelta(piece)
        except TimeoutError:
            raise errors.ModelStalled(f"{loaded.key} gave no word for {deadline:g} s") from None
        full = StopReason.LENGTH if limit == options.max_tokens else StopReason.CONTEXT
        stop = full if written == limit else StopReason.STOP
        yield ReplyEnd(stop, Usage(prompt_tokens=prompt, completion_tokens=written))

    async def count_tokens(self, instance: str, texts: Sequence[str]) -> Sequence[int]:
        return [len(text.split()) for text in texts]

    async def close(self) -> None:
        self._instances.clear()

    def _found(self, instance: str) -> tuple[LoadedModel, Chain]:
        if instance not in self._instances:
            raise errors.ModelCrashed(f"{instance} is not loaded")
        return self._instances[instance]

    def _profile(self, file: Path) -> ModelProfile:
        size = file.stat().st_size
        shape = replace(NO_CACHE, repack_bytes=Chain.MEMORY * size)
        return ModelProfile(key=file.stem, backend=self.name, location=str(file), size_bytes=size, architecture=shape)


@hookimpl
def mai_register_backends() -> list[type[Backend]]:
    return [Markov]
