"""Measures this machine with the models it has, and remembers it just as turns do."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median

from mai_core.errors import MaiError, ModelStalled, NothingFits
from mai_core.plugin.interfaces import Backend
from mai_core.policy.calibration import Trial, Untried, busyness, next_trial, short_of_memory, untried, words
from mai_core.policy.features import TaskFeatures
from mai_core.policy.learning import Corrections, Estimate
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, Role, Usage
from mai_core.policy.models import Footprint, LoadedModel, ModelProfile
from mai_core.policy.resources import Cpu
from mai_core.policy.situation import Situation
from mai_core.policy.speed import DEFAULT_MACHINE, Machine, MeasuredSpeed, Speed
from mai_core.runtime.catalog import Catalog
from mai_core.runtime.decider import Decider
from mai_core.runtime.observing import Observing
from mai_core.runtime.pool import Pool
from mai_core.runtime.store import Store

__all__ = ["Calibrated", "Calibrating", "Calibration"]

LOOK_SECONDS = 1.5
"""How long the machine is watched before anything is loaded: processor counters tell of what lies between two looks."""

GRACE_SECONDS = 10.0
ASKED = "Go on with this text for as long as you can, word by word."

Told = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What one model took and did, beside what was expected of it before.

    predicted, corrections   of memory: what was said for as many tokens as were read, and what is learnt by now
    expected, speed          tokens a second and seconds to load; 0 for what was not measured
    busy                     what others did meanwhile: then its speeds are shown and not kept
    """

    model: ModelProfile
    context: int
    repetitions: int = 0
    predicted: Estimate | None = None
    measured: Footprint | None = None
    corrections: Corrections = field(default_factory=Corrections)
    expected: Speed
    speed: MeasuredSpeed = field(default_factory=MeasuredSpeed)
    busy: str = ""
    fault: str = ""
    remedy: str = ""

    @property
    def error(self) -> float | None:
        """How far the prediction was off, as a share of what was measured; None when it was not."""
        if self.predicted is None or self.measured is None or not self.measured.total:
            return None
        return self.predicted.footprint.total / self.measured.total - 1.0


@dataclass(slots=True, kw_only=True)
class Calibration:
    """What has been measured so far; grows while it runs, and is whole as it stands whenever that ends."""

    models: list[Calibrated] = field(default_factory=list)
    untried: tuple[Untried, ...] = ()
    before: Machine = DEFAULT_MACHINE
    after: Machine = DEFAULT_MACHINE
    busy: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class _Heard:
    """The replies of one model, and why they do not count if they do not."""

    usages: list[Usage] = field(default_factory=list)
    busy: str = ""


class Calibrating:
    """Loads what fits beside everything else, one model at a time; what was not in memory before is not afterwards."""

    def __init__(
        self,
        *,
        backends: Mapping[str, Backend],
        catalog: Catalog,
        pool: Pool,
        decider: Decider,
        observing: Observing,
        store: Store,
        look_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backends = backends
        self._catalog = catalog
        self._pool = pool
        self._decider = decider
        self._observing = observing
        self._store = store
        self._look_seconds = look_seconds
        self._clock = clock

    async def run(
        self,
        keys: Sequence[str] = (),
        *,
        seconds: float = 60.0,
        keep_all: bool = False,
        progress: Told = lambda text, share: None,
    ) -> AsyncGenerator[Calibration, None]:
        """Measure the models a person means by ``keys``, else all, for about ``seconds``; after each what is known.

        Speeds measured while others use the machine are kept only with ``keep_all``. Whatever ends this early, what
        was measured is kept. Raises ``UnknownModel`` or, without any model on this disk, ``NothingFits``.
        """
        started = self._clock()
        progress("looking at the machine", 0.0)
        wanted = [await self._catalog.pin(key) for key in keys]
        meant = {m.key for key in wanted for m in self._catalog.meant(key)} if wanted else None
        models = await self._catalog.settled()
        if meant is None and not any(m.installed and not m.remote for m in models):
            raise NothingFits(
                "no model is on this disk", remedy="fetch one: mai pull KEY (mai models --all lists some)"
            )
        cpu = await self._look()
        before = await self._situation(cpu)
        busy = busyness(before.snapshot.host("local"), alone=not any(m.leased for m in before.loaded))
        machine = before.machines.get("local", DEFAULT_MACHINE)
        found = Calibration(before=machine, after=machine, busy=busy)
        done: set[str] = set()
        now = before
        while (trial := next_trial(now, seconds - (self._clock() - started), done=done, wanted=meant)) is not None:
            done.add(trial.key)
            share = min(1.0, (self._clock() - started) / seconds)
            left = max(seconds - (self._clock() - started), trial.seconds)
            one = await self._one(trial, before, busy, left, keep_all, partial(_told, progress, share))
            now = await self._situation(cpu)
            model = _profile(now, trial.key)
            found.models.append(replace(one, corrections=now.corrections(model)))
            found.after = now.machines.get("local", DEFAULT_MACHINE)
            found.seconds = self._clock() - started
            yield found
        found.untried = untried(now, done=done, wanted=meant)
        found.seconds = self._clock() - started
        yield found

    async def _look(self) -> Cpu:
        """What the processor does while nothing of this calibration runs, Mai's own start left out."""
        first = (await self._situation()).snapshot
        await asyncio.sleep(self._look_seconds)
        then = (await self._situation()).snapshot
        was, host = first.host("local"), then.host("local")
        if was is None or host is None:
            return Cpu(1)
        return host.cpu.since(was.cpu, then.taken_at - first.taken_at)

    async def _situation(self, cpu: Cpu | None = None) -> Situation:
        """The world now; ``cpu`` is what the processor did before models of this calibration used it."""
        now = await self._decider.situation(TaskFeatures(), current=None, pinned=None)
        if cpu is None:
            return now
        hosts = tuple(replace(h, cpu=cpu) if h.name == "local" else h for h in now.snapshot.hosts)
        return replace(now, snapshot=replace(now.snapshot, hosts=hosts))

    async def _one(
        self, trial: Trial, before: Situation, busy: str, left: float, keep_all: bool, told: Callable[[str], None]
    ) -> Calibrated:
        """Load, read, write, measure, unload."""
        model = _profile(before, trial.key)
        result = Calibrated(model=model, context=trial.plan.context, expected=before.speed(model, trial.plan))
        was_there = {m.instance for m in before.loaded if m.key == model.key}
        heard, instance, deadline = _Heard(busy=busy), None, left + trial.seconds + GRACE_SECONDS
        told(f"loading {model.key}")
        try:
            try:
                async with asyncio.timeout(deadline):
                    if not await self._pool.preload(model, trial.plan):
                        return replace(result, fault="there is no free memory for it now", remedy="close something")
                    async with self._pool.acquire(model, trial.plan) as instance:
                        await self._listen(trial, instance, left, heard, keep_all, told)
            except TimeoutError:
                if not heard.usages:
                    raise ModelStalled(f"{model.key} took longer than {deadline:.0f} s", remedy="mai logs") from None
            observed = await self._observed(model, result, before, heard)
            return observed if instance is None else replace(observed, speed=self._speed(model, heard.usages))
        except MaiError as error:
            return replace(result, fault=error.message, remedy=error.remedy)
        except Exception as error:  # noqa: BLE001 - maybe a third party's backend; it is named
            return replace(result, fault=f"{model.backend} failed: {type(error).__name__}: {error}")
        finally:
            if not was_there:
                await asyncio.shield(self._pool.unload(model.key))

    async def _listen(
        self,
        trial: Trial,
        instance: LoadedModel,
        left: float,
        heard: _Heard,
        keep_all: bool,
        told: Callable[[str], None],
    ) -> None:
        backend, size = self._backends[instance.backend], trial.size
        own, key = self._catalog.origin(trial.key)
        ended = self._clock() + left
        salt = secrets.randbits(31)
        (counted,) = await backend.count_tokens(instance.instance, [words(size.prompt, salt)])
        count = max(1, round(size.prompt * size.prompt / max(1, counted)))
        for number in range(1, size.repetitions + 1):
            told(f"{trial.key}: {size.prompt} tokens to read, {size.reply} to write, {number} of {size.repetitions}")
            began, first = self._clock(), 0.0
            asked = Message(role=Role.USER, content=f"{words(count, salt + number)}\n\n{ASKED}")
            options = GenerationOptions(max_tokens=size.reply, temperature=0.0)
            async with aclosing(backend.generate(instance.instance, [asked], options)) as events:
                async for event in events:
                    first = first or self._clock() - began
                    if isinstance(event, ReplyEnd):
                        heard.usages.append(event.usage)
            usage = heard.usages[-1]
            self._pool.has_read(trial.key, "", usage.prompt_tokens + usage.completion_tokens)
            now = await self._situation()
            heard.busy = heard.busy or busyness(now.snapshot.host("local"), alone=False)
            if keep_all or not heard.busy:
                await asyncio.to_thread(
                    self._store.record_reply, key=key, backend=own, usage=usage, first_token_seconds=first
                )
            if self._clock() > ended:
                return

    async def _observed(self, model: ModelProfile, result: Calibrated, before: Situation, heard: _Heard) -> Calibrated:
        """The result with the memory the model takes by now, which is learnt from where it was measured in peace."""
        result = replace(result, repetitions=len(heard.usages), busy=heard.busy)
        for loaded, filled in await self._pool.filled(model):
            predicted = self._observing.predicted(model, loaded.plan, filled or None)
            estimate = before.corrections(model).estimate(predicted)
            result = replace(result, context=loaded.plan.context, predicted=estimate)
            host = (await self._situation()).snapshot.host(model.host)
            if loaded.measured and not (host and short_of_memory(host)):
                result = replace(result, measured=loaded.footprint)
                await self._observing.observe(model, loaded, filled)
        return result

    def _speed(self, model: ModelProfile, usages: Collection[Usage]) -> MeasuredSpeed:
        """Medians over the repetitions."""
        reading = [
            (u.prompt_tokens - u.cached_tokens) / u.prompt_seconds
            for u in usages
            if u.prompt_seconds > 0.0 and u.prompt_tokens > u.cached_tokens
        ]
        writing = [u.completion_tokens / u.completion_seconds for u in usages if u.completion_seconds > 0.0]
        load = next((slot.load_seconds for slot in self._pool.slots if slot.is_of(model)), 0.0)
        return MeasuredSpeed(median(reading) if reading else 0.0, median(writing) if writing else 0.0, load)


def _told(progress: Told, share: float, text: str) -> None:
    progress(text, share)


def _profile(situation: Situation, key: str) -> ModelProfile:
    return next(m for m in situation.models if m.key == key)
