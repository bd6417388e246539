"""A backend for Mai: every text in a folder is a model, which rambles on from word to word. A token is a word."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from mai_core import errors, hookimpl
from mai_core.plugin.interfaces import Backend, BackendContext, GenerationEvent, LoadProgress
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, Role, StopReason, TextDelta, Usage
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, ModelProfile

Reply = AsyncGenerator[GenerationEvent, None]


class Markov(Backend):
    kind, host, remote = "markov", "local", False

    def __init__(self, context: BackendContext) -> None:
        if context.options.keys() != {"folder"}:
            raise errors.SettingsError(f"backends.{context.name} has one option, which it needs: folder")
        self.name, self._folder = context.name, Path(str(context.options["folder"])).expanduser()
        self._instances: dict[str, tuple[LoadedModel, dict[str, list[str]]]] = {}

    async def models(self) -> Sequence[ModelProfile]:
        files = await asyncio.to_thread(lambda: [(f, f.stat()) for f in self._folder.glob("*.txt") if f.is_file()])
        return [ModelProfile(key=f.stem, backend=self.name, location=str(f), size_bytes=s.st_size) for f, s in files]

    async def loaded(self) -> Sequence[LoadedModel]:
        return [loaded for loaded, _ in self._instances.values()]

    async def load(self, model: ModelProfile, plan: LoadPlan, *, progress: LoadProgress | None = None) -> LoadedModel:
        name, memory = f"{model.key}#{random.getrandbits(32):x}", Footprint(15 * model.size_bytes)  # as measured
        loaded = LoadedModel(instance=name, key=model.key, backend=self.name, plan=plan, footprint=memory)
        self._instances[name] = loaded, await asyncio.to_thread(self._learn, model)  # a cancelled load keeps nothing
        return loaded

    def _learn(self, model: ModelProfile) -> dict[str, list[str]]:
        follows: dict[str, list[str]] = {}  # all words that follow a word; "" begins and ends a paragraph
        try:
            for words in filter(None, map(str.split, Path(model.location).read_text("utf-8").split("\n\n"))):
                for word, following in zip(["", *words], [*words, ""], strict=True):
                    follows.setdefault(word, []).append(following)
        except (OSError, ValueError) as error:
            raise errors.ModelFileError(f"{model.key} cannot be read: {error}") from error
        if not follows:
            raise errors.ModelFileError(f"{model.key} has no words")
        return follows

    async def unload(self, instance: str) -> None:
        self._instances.pop(instance, None)

    async def generate(self, instance: str, messages: Sequence[Message], options: GenerationOptions) -> Reply:
        if instance not in self._instances:
            raise errors.ModelCrashed(f"{instance} is not loaded")
        loaded, follows = self._instances[instance]
        prompt = [word for message in messages for word in message.content.split()]
        if (room := loaded.plan.context - len(prompt)) <= 0:
            raise errors.ContextExceeded(f"{len(prompt)} words are too many for a window of {loaded.plan.context}")
        dice, sent, last = random.Random(options.seed), 0, prompt[-1] if messages[-1].role is Role.ASSISTANT else ""
        while sent < min(options.max_tokens or room, room) and (word := dice.choice(follows.get(last) or follows[""])):
            yield TextDelta(f" {word}" if last else word)
            await asyncio.sleep(0)  # others get their turn
            if instance not in self._instances:
                raise errors.ModelCrashed(f"{instance} was unloaded while it answered")
            last, sent = word, sent + 1
        stop = StopReason.STOP if not word else StopReason.CONTEXT if sent == room else StopReason.LENGTH
        yield ReplyEnd(stop, Usage(prompt_tokens=len(prompt), completion_tokens=sent))

    async def count_tokens(self, instance: str, texts: Sequence[str]) -> Sequence[int]:
        return [len(text.split()) for text in texts]

    async def close(self) -> None:
        self._instances.clear()


@hookimpl
def mai_register_backends() -> list[type[Backend]]:
    return [Markov]
