"""Holds what models in memory take against what was predicted, and remembers it: the next predictions are better."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from mai_core.plugin.interfaces import Backend
from mai_core.policy.footprint import DEVICE, predict_footprint
from mai_core.policy.learning import MOST_SEEN, Learned, Observation, learn
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, ModelProfile
from mai_core.policy.resources import ResourceSnapshot
from mai_core.policy.room import Room
from mai_core.runtime.store import Store

__all__ = ["Observing"]


class Observing:
    """Only memory that was measured teaches anything; what an engine tells may be a prediction of its own."""

    def __init__(self, store: Store, backends: Mapping[str, Backend], latest: Callable[[], ResourceSnapshot]) -> None:
        self.engines = {name: backend.kind for name, backend in backends.items()}
        self._store = store
        self._latest = latest
        self._seen: deque[Observation] = deque(maxlen=MOST_SEEN)
        self._learned: Learned | None = None
        self._reading = asyncio.Lock()

    async def learned(self) -> Learned:
        """What was learnt until now, by earlier processes too."""
        async with self._reading:
            if self._learned is None:
                self._seen.extend(await asyncio.to_thread(self._store.observations, MOST_SEEN))
                self._learned = learn(self._seen)
            return self._learned

    async def last(self) -> dict[tuple[str, str], Observation]:
        """What was last seen of each model, by backend and the backend's reference to it."""
        await self.learned()
        return {(one.backend, one.model): one for one in reversed(self._seen)}

    def predict(self, model: ModelProfile, plan: LoadPlan) -> Footprint:
        """What loading a model will take, in the light of what was learnt until now."""
        corrections = (self._learned or Learned()).of(model, self.engines[model.backend])
        return corrections.estimate(self.predicted(model, plan)).footprint

    async def observe(self, model: ModelProfile, loaded: LoadedModel, filled: int) -> None:
        """Learn from what ``loaded`` takes after its longest conversation, of ``filled`` tokens."""
        if not loaded.measured or not loaded.owned or not model.size_bytes or not filled:
            return
        observation = Observation(
            host=model.host,
            engine=self.engines[model.backend],
            architecture=model.architecture.name if model.architecture else "",
            backend=model.backend,
            model=model.location,
            predicted=self.predicted(model, loaded.plan, filled),
            observed=loaded.footprint,
        )
        await self.learned()
        self._seen.appendleft(observation)
        self._learned = learn(self._seen)
        await asyncio.to_thread(self._store.record_footprint, observation)

    def predicted(self, model: ModelProfile, plan: LoadPlan, filled: int | None = None) -> Footprint:
        """What a header alone says, after ``filled`` tokens: nothing learnt is in it.

        Engines share layers out to the devices of their host by what is free there.
        """
        host = self._latest().host(model.host)
        room = Room.of(host.ram, host, offload=model.offload) if host is not None and host.ram is not None else None
        devices = {device.name: float(max(1, device.free)) for device in room.devices} if room is not None else {}
        return predict_footprint(model, plan, device=devices or DEVICE, filled=filled)
