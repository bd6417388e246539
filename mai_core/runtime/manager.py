"""ModelManager: the models as one thing to ask, to switch and to answer with."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence

from mai_core.errors import BackendUnavailable, FetchError, MaiError, ModelFileError, NothingFits, UnknownModel
from mai_core.plugin.interfaces import Backend, FetchProgress, ModelAppraiser, ModelFetcher
from mai_core.policy.appraisal import Appraisal, Asked, appraise
from mai_core.policy.feasibility import Limits, Situation, feasible
from mai_core.policy.features import TaskFeatures
from mai_core.policy.ladder import rungs_of
from mai_core.policy.messages import GenerationOptions, Message
from mai_core.policy.models import ModelProfile
from mai_core.policy.selection import Decision, Move, Rejection, RejectionReason
from mai_core.runtime.answering import Answer, Answering, Emit
from mai_core.runtime.anticipating import Anticipating
from mai_core.runtime.background import BackgroundTasks
from mai_core.runtime.catalog import Catalog
from mai_core.runtime.decider import Decider
from mai_core.runtime.monitor import Monitor
from mai_core.runtime.pool import Pool
from mai_core.runtime.spending import Spending
from mai_core.runtime.status import BackendStatus, ModelRow, Placement, Status
from mai_core.runtime.store import Store
from mai_core.runtime.turn import Fetching, ModelChosen
from mai_core.runtime.watching import give_way

__all__ = ["ModelManager"]

log = logging.getLogger("mai.manager")


class ModelManager:
    """Selects, switches, preloads and answers; knows which model is in use.

    ``pinned`` holds for this process only and comes before the pin all processes of this person share.
    """

    def __init__(
        self,
        *,
        backends: Mapping[str, Backend],
        catalog: Catalog,
        pool: Pool,
        monitor: Monitor,
        decider: Decider,
        answering: Answering,
        anticipating: Anticipating,
        store: Store,
        spending: Spending,
        limits: Limits,
        fetch_starter: bool,
        unavailable: Sequence[BackendStatus] = (),
    ) -> None:
        self._backends = backends
        self._catalog = catalog
        self._pool = pool
        self._monitor = monitor
        self._decider = decider
        self._answering = answering
        self._anticipating = anticipating
        self._store = store
        self._spending = spending
        self._limits = limits
        self._fetch_starter = fetch_starter
        self._unavailable = tuple(unavailable)
        self._fetching = asyncio.Lock()
        self._reliefs = BackgroundTasks()
        self.pinned: str | None = None
        self.current: str | None = None

    async def select_best_model(self, features: TaskFeatures, *, explain: bool = False) -> Decision:
        """The model that would serve such a turn best now; loads nothing."""
        situation = await self._decider.situation(features, current=self.current, pinned=await self.pin())
        return await self._decider.decide(situation, explain=explain)

    async def switch_model(self, key: str | None, *, here_only: bool = False) -> str | None:
        """Pin a model for the coming turns, or release the pin with None; returns the full key.

        ``backend/key`` pins one placement of it, ``key`` the model wherever it runs best.
        ``here_only`` pins it for this process alone. Raises ``UnknownModel`` naming the nearest keys.
        """
        resolved = None
        if key is not None:
            resolved = await self._catalog.pin(key)
            for model in self._catalog.meant(resolved):
                await self._decider.worked(model.key)
        if here_only:
            self.pinned = resolved
        else:
            self.pinned = None
            places = {model.backend: None for model in self._catalog.meant(resolved)} if resolved else {}
            await asyncio.to_thread(self._store.pin, resolved, tuple(places))
        log.info("model pinned" if resolved else "pin released", extra={"model": resolved})
        return resolved

    async def generate_response(
        self,
        answer: Answer,
        conversation: str,
        messages: Sequence[Message],
        features: TaskFeatures,
        options: GenerationOptions,
        emit: Emit,
    ) -> Situation:
        """Decide, load and answer into ``answer``, fetching the starter model first when there is none at all.

        Returns the situation the decision was made in. Raises ``NothingFits`` when no model can run, else what the last
        model failed with.
        """
        await self._ensure_a_model(emit)
        situation, decision = await self._decided(features, conversation)
        if decision.choice is None and await self._catalog.is_back():
            situation, decision = await self._decided(features, conversation)
        answer.decision = decision
        emit(ModelChosen(decision))
        await self._anticipating.settle(decision.choice)
        if decision.choice is None:
            raise self._nothing_fits(decision.rejections)
        self._relieve(situation, decision)
        models = {m.key: m for m in situation.models}
        await self._answering.answer(answer, conversation, messages, decision, models, options, emit)
        self.current = answer.model
        if answer.model == decision.choice:
            self._decider.carried_out(decision, situation)
        self._pool.has_read(answer.model, conversation, answer.usage.prompt_tokens + answer.usage.completion_tokens)
        return situation

    async def explained(self, situation: Situation) -> Decision:
        """The decision of a situation with what would flip it: some dozens of decisions, so best when nobody waits."""
        return await self._decider.decide(situation, explain=True)

    @property
    def preparing(self) -> str | None:
        """The model that is being got ready for a coming turn."""
        return self._anticipating.model

    async def anticipate(self, features: TaskFeatures, conversation: str, messages: Sequence[Message]) -> None:
        """Save what would be dear to read again, and begin to get the model ready that such a turn would want."""
        situation = await self._decider.situation(
            features, current=self.current, pinned=await self.pin(), conversation=conversation
        )
        if (model := next((m for m in situation.models if m.key == self.current), None)) is not None:
            await self._pool.checkpoint(model.key, situation.speed(model).prompt_tps)
        self._anticipating.begin(situation, await self._decider.decide(situation), conversation, messages)

    async def close(self) -> None:
        """Call off what is being got ready. An unload that has begun is brought to its end by the pool."""
        await self._anticipating.close()
        await self._reliefs.cancel()

    async def give_way(self, host: str) -> bool:
        """Free what is in use on a host whose trouble lasts, if it would not answer the next turn as it is loaded."""
        pinned = await self.pin()
        return await give_way(host, decider=self._decider, pool=self._pool, current=self.current, pinned=pinned)

    async def preload_model(self, key: str | None = None) -> str | None:
        """Load ``key``, or what an ordinary turn would get, and leave it idle; returns what is loaded.

        Loads nothing when nothing fits. Raises ``UnknownModel`` or what the load fails with.
        """
        pinned = await self._catalog.pin(key) if key else await self.pin()
        situation = await self._decider.situation(TaskFeatures(), current=self.current, pinned=pinned)
        decision = await self._decider.decide(situation)
        candidate = decision.candidate(decision.choice)
        if candidate is None or (key and decision.move is not Move.PIN):
            return None
        model = next(m for m in situation.models if m.key == candidate.key)
        return model.key if await self._pool.preload(model, candidate.plan, evict=True) else None

    async def get_current_model_status(self) -> Status:
        """The model in use, what is loaded, the state of the machines and of the backends."""
        await self._catalog.settled()
        snapshot = await asyncio.to_thread(self._monitor.refresh)
        loaded = await self._pool.loaded()
        return Status(
            current=self.current or await asyncio.to_thread(self._store.last_model),
            pinned=await self.pin(),
            loaded=loaded,
            resources=snapshot,
            backends=(*self._catalog.statuses, *self._unavailable),
            probe_faults=self._monitor.faults,
            rungs=rungs_of(loaded, self._catalog.models, self._limits.window),
            kept_out=await self._decider.kept_out(),
            held=await self._decider.held(),
            budget=await asyncio.to_thread(self._spending.budget),
        )

    async def models(self) -> tuple[ModelRow, ...]:
        """Every model, each once with its placements, and how they stand now."""
        await self._catalog.settled()
        pinned = await self.pin()
        situation = await self._decider.situation(TaskFeatures(), current=self.current, pinned=pinned)
        found = feasible(situation)
        candidates = {c.key: c for c in found.candidates}
        rejections = {r.key: r for r in found.rejections}
        loaded = {m.key: m for m in situation.loaded}
        meant = {m.key for m in self._catalog.meant(pinned)} if pinned else set()
        rows: dict[str, list[Placement]] = {}
        for m in situation.models:
            placement = Placement(
                profile=m,
                candidate=candidates.get(m.key),
                rejection=rejections.get(m.key),
                loaded=loaded.get(m.key),
                pinned=m.key in meant,
            )
            rows.setdefault(m.model, []).append(placement)
        return tuple(map(ModelRow.of, rows.values()))

    async def estimate(self, names: Sequence[str] = (), asked: Asked | None = None) -> tuple[Appraisal, ...]:
        """What models would take, loaded the best way that fits now; all that are installed without ``names``.

        A name is one of a model, or a source as ``fetch`` takes it, of which at most the header is read. Raises
        ``UnknownModel``, ``Offline`` or ``FetchError``.
        """
        await self._catalog.settled()
        situation = await self._decider.situation(TaskFeatures(), current=self.current, pinned=await self.pin())
        if not names:
            told = [(m, "") for m in situation.models if m.installed and not m.fault]
        else:
            told = list(await asyncio.gather(*map(self._looked_up, names)))
        return tuple([await asyncio.to_thread(appraise, model, situation, asked, note=why) for model, why in told])

    async def _looked_up(self, name: str) -> tuple[ModelProfile, str]:
        """What a name or a source is; of a model of the catalogue whose header nobody tells, what the catalogue knows,
        and why no more."""
        known: ModelProfile | None = None
        with contextlib.suppress(UnknownModel):
            known = self._catalog.resolve(name)
        if known is not None and known.fault:
            raise ModelFileError(
                f"{known.key} cannot be used: {known.fault}", remedy=f"fetch it again: mai pull {known.key}"
            )
        if known is not None and known.installed:
            return known, ""
        appraiser = next((b for b in self._backends.values() if isinstance(b, ModelAppraiser)), None)
        if appraiser is None:
            raise BackendUnavailable(
                "no backend that is on can look at models that are not here",
                remedy="turn one on: mai config set backends.embedded.enabled true",
            )
        try:
            return await appraiser.appraise(known.key if known is not None else name), ""
        except FetchError as error:
            if known is None or not known.size_bytes:
                raise
            return known, f"guessed from its size, for its header cannot be read: {error.message}"

    async def pin(self) -> str | None:
        """The pinned model: this process's own, else the one all share."""
        return self.pinned or await asyncio.to_thread(self._store.pinned)

    async def fetch(
        self, source: str, *, sha256: str = "", progress: Callable[[FetchProgress], None] | None = None
    ) -> ModelProfile:
        """Bring a model to this disk through the first backend that can; see ``ModelFetcher.fetch``."""
        model = await self._fetcher().fetch(source, sha256=sha256, progress=progress)
        await self._catalog.refresh()
        return next((m for m in self._catalog.models if m.location == model.location), model)

    async def remove(self, key: str) -> int:
        """Delete an installed model; returns the bytes freed."""
        await self._catalog.current()
        model = self._catalog.resolve(key)
        backend = self._backends.get(model.backend)
        if not model.installed or not isinstance(backend, ModelFetcher):
            raise UnknownModel(f"{model.key} is not on this disk", remedy="mai models lists what is")
        await self._pool.unload(model.key)
        freed = await backend.remove(model)
        await self._catalog.refresh()
        return freed

    async def _decided(self, features: TaskFeatures, conversation: str) -> tuple[Situation, Decision]:
        situation = await self._decider.situation(
            features, current=self.current, pinned=await self.pin(), conversation=conversation
        )
        return situation, await self._decider.decide(situation)

    def _relieve(self, situation: Situation, decision: Decision) -> None:
        """While memory is short, what idles gives its own back; only the model that was chosen stays."""
        chosen = decision.candidate(decision.choice)
        if chosen is None or situation.snapshot.calm_seconds > 0.0:
            return
        self._reliefs.start(self._pool.relieve(chosen.host, spare=chosen.key))

    async def _ensure_a_model(self, emit: Emit) -> None:
        """Fetch the starter when no model that converses is installed anywhere."""
        async with self._fetching:
            models = await self._catalog.current()
            if any(m.installed and not m.fault and m.key not in self._catalog.not_chat for m in models):
                return
            starter = self._catalog.starter
            if starter is None or not self._fetch_starter:
                raise NothingFits(
                    "there is no model yet", remedy="fetch one: mai pull KEY (mai models --all lists some)"
                )
            await self.fetch(starter.key, progress=lambda p: emit(Fetching(starter.key, p)))

    def _fetcher(self) -> ModelFetcher:
        for backend in self._backends.values():
            if isinstance(backend, ModelFetcher):
                return backend
        raise BackendUnavailable(
            "no backend that is on can fetch models",
            remedy="turn one on: mai config set backends.embedded.enabled true",
        )

    def _nothing_fits(self, rejections: Sequence[Rejection]) -> MaiError:
        """The nearest miss among what is installed, in words."""
        installed = [r for r in rejections if r.reason is not RejectionReason.NOT_INSTALLED]
        if not installed:
            errors = [s.error for s in (*self._catalog.statuses, *self._unavailable) if s.error]
            return NothingFits("no backend offers a model" + (f": {errors[0]}" if errors else ""))
        nearest = min(installed, key=lambda r: (r.reason is not RejectionReason.MEMORY, r.missing))
        return NothingFits(
            f"none of {len(installed)} models can run now; nearest is {nearest.key}: {nearest.message}",
            remedy=nearest.remedy or "mai models shows them all",
        )
