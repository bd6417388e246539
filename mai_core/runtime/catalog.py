"""What models exist, merged over all backends and completed from ``models.yaml``."""

from __future__ import annotations

import asyncio
import difflib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mai_core.errors import BackendError, BackendUnavailable, EngineAbsent, MaiError, UnknownModel
from mai_core.plugin.interfaces import Backend, ModelFetcher, StatusNote
from mai_core.policy.catalogue import match, parameters_in
from mai_core.policy.families import family_quality
from mai_core.policy.models import Capability, KnownModel, LoadedModel, ModelProfile, Tier
from mai_core.policy.placements import describes, meant, placed
from mai_core.runtime.rows import fault_of
from mai_core.runtime.status import BackendStatus

__all__ = ["Catalog"]

log = logging.getLogger("mai.catalog")

LISTING_SECONDS = 10.0
FRESH_SECONDS = 30.0
GRACE_SECONDS = 1.0
PATIENCE_SECONDS = 5.0


class Catalog:
    """Every model of every backend, under one unique key each, which nobody who comes later takes from it.

    A backend that fails or hangs keeps the rows it gave last and is named in ``statuses``; until it lists them again
    they are out of the race. All are asked at once, each on its own deadline, and nobody waits long for one as long as
    another has models to offer.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        known: Sequence[KnownModel],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backends = backends
        self._known = tuple(known)
        self._clock = clock
        self._rows: dict[str, tuple[ModelProfile, ...]] = {}
        self._errors: dict[str, MaiError] = {}
        self._strange: dict[str, tuple[str, ...]] = {}
        self._own: dict[str, ModelProfile] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._ranks: dict[tuple[str, str], int] = {}
        self._some = asyncio.Event()
        self._refreshed_at = float("-inf")
        self._listed_once = False
        self._refreshing: asyncio.Task[None] | None = None
        self._patience_ends = float("-inf")
        self._models: tuple[ModelProfile, ...] = ()

    @property
    def models(self) -> tuple[ModelProfile, ...]:
        """Installed models first, then those that could be fetched; as of the last refresh."""
        return self._models

    @property
    def not_chat(self) -> frozenset[str]:
        """Keys of models that continue text but do not converse."""
        return frozenset(m.key for m in self._models if (k := match(self._known, m.key)) is not None and not k.chat)

    @property
    def starter(self) -> KnownModel | None:
        """The model to fetch when there is none."""
        return next((k for k in self._known if k.starter), None)

    @property
    def statuses(self) -> tuple[BackendStatus, ...]:
        """How each backend answered."""
        return tuple(self._status(name, backend) for name, backend in self._backends.items())

    @property
    def unavailable(self) -> Mapping[str, str]:
        """The backends whose models are out of the race until they list them again, and why."""
        late = {name: "has not answered yet" for name in self._backends if name not in self._rows}
        return late | {name: error.message for name, error in self._errors.items()}

    @property
    def remedies(self) -> Mapping[str, str]:
        """What would bring back those of them that say so."""
        return {name: error.remedy for name, error in self._errors.items() if error.remedy}

    def unreachable(self, backend: str, error: MaiError) -> None:
        """A backend was found gone while it was used: its models are out until it has been asked again, soon."""
        self._errors[backend] = error
        self._refreshed_at = float("-inf")

    def own(self, model: ModelProfile) -> ModelProfile:
        """A model as its backend lists it, which may know it by another key."""
        return self._own.get(model.key, model)

    def origin(self, key: str) -> tuple[str, str]:
        """The backend of a placement and the key it has there: the same whoever else offers the model, and when."""
        row = self._own.get(key)
        return ("", key) if row is None else (row.backend, row.key)

    def sees(self, key: str | None) -> bool:
        """Whether a model can be shown images."""
        return any(m.key == key and Capability.VISION in m.capabilities for m in self._models)

    def known_as(self, loaded: LoadedModel) -> LoadedModel:
        """A loaded model under the key it has here."""
        key = self._keys.get((loaded.backend, loaded.key), loaded.key)
        return loaded if key == loaded.key else replace(loaded, key=key)

    async def current(self) -> tuple[ModelProfile, ...]:
        """The models, listed now for the first time, later from memory while a refresh runs in the background.

        The first time ends a second after some backend has answered with models; the others' come later.
        """
        if self._refreshing is None and self._clock() - self._refreshed_at > FRESH_SECONDS:
            self._patience_ends = self._clock() + PATIENCE_SECONDS
            self._refreshing = asyncio.create_task(self.refresh())
            self._refreshing.add_done_callback(self._background_done)
        refreshing = self._refreshing
        if refreshing is not None and not self._listed_once:
            some = asyncio.create_task(self._some.wait())
            await asyncio.wait([refreshing, some], return_when=asyncio.FIRST_COMPLETED)
            some.cancel()
            await asyncio.wait([refreshing], timeout=GRACE_SECONDS)
            self._hand_out()
        return self._models

    async def settled(self) -> tuple[ModelProfile, ...]:
        """The models when every backend has had its say, or five seconds to have it."""
        await self.current()
        if self._refreshing is not None:
            await asyncio.wait([self._refreshing], timeout=max(0.0, self._patience_ends - self._clock()))
        return self._models

    async def heard(self) -> tuple[ModelProfile, ...]:
        """The models; as ``settled`` while there is a backend that has never had its say, at once afterwards."""
        if all(name in self._rows or name in self._errors for name in self._backends):
            return await self.current()
        return await self.settled()

    async def is_back(self) -> bool:
        """Ask anew, now, when backends are out of the race; says whether one of them has come back."""
        gone = self.unavailable.keys()
        if not gone:
            return False
        self._refreshed_at = float("-inf")
        await self.settled()
        return not gone <= self.unavailable.keys()

    async def refresh(self) -> None:
        """Ask every backend what it has."""
        await asyncio.gather(*(self._ask(name, backend) for name, backend in self._backends.items()))
        self._merge()
        self._hand_out()
        self._refreshed_at = self._clock()

    async def close(self) -> None:
        """Stop a refresh in the background."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    def resolve(self, key: str) -> ModelProfile:
        """The model a person means by ``key``: exact, in any case, or the only one that begins with or holds it.

        ``backend/key`` says which of its placements. Raises ``UnknownModel`` naming the nearest keys.
        """
        wanted = key.strip().lower()
        by_key = {m.key.lower(): m for m in self._models}
        by_place = {f"{m.backend}/{m.key}".lower(): m for m in self._models}
        if (model := by_key.get(wanted) or by_place.get(wanted)) is not None:
            return model
        for found in (
            [m for k, m in by_key.items() if k.startswith(wanted)],
            [m for k, m in by_key.items() if wanted in k],
        ):
            installed = [m for m in found if m.installed] or found
            if wanted and len(installed) == 1:
                return installed[0]
        raise UnknownModel(f'no model "{key}"', remedy=self._nearest(wanted, by_key))

    async def pin(self, key: str) -> str:
        """What to keep of a person's ``key``: the model's key, or ``backend/key`` when it was typed so.

        Nobody is told that a model is unknown before every backend had its say. Raises ``UnknownModel`` naming the
        nearest keys.
        """
        await self.current()
        try:
            model = self.resolve(key)
        except UnknownModel:
            await self.settled()
            model = self.resolve(key)
        place = f"{model.backend}/{model.key}"
        return place if key.strip().lower() == place.lower() else model.key

    def meant(self, pinned: str) -> tuple[ModelProfile, ...]:
        """The placements a pin speaks of."""
        return meant(pinned, self._models)

    def _nearest(self, wanted: str, by_key: Mapping[str, ModelProfile]) -> str:
        holding = [k for k in by_key if wanted and wanted in k]
        # What is typed is mostly a beginning, so it is held against beginnings of its own length, too.
        starts = {k[: len(wanted)]: k for k in reversed(list(by_key))} if wanted else {}
        near = (
            holding[:5]
            or difflib.get_close_matches(wanted, by_key, n=3, cutoff=0.4)
            or [starts[s] for s in difflib.get_close_matches(wanted, starts, n=3, cutoff=0.6)]
        )
        silent = [n for n, e in self._errors.items() if not isinstance(e, EngineAbsent)]
        unheard = f"; nobody knows what {' and '.join(silent)} would offer: mai status says why" if silent else ""
        return (f"did you mean {' or '.join(near)}?" if near else "mai models lists what there is") + unheard

    async def _ask(self, name: str, backend: Backend) -> None:
        try:
            rows = self._sound(name, tuple(await asyncio.wait_for(backend.models(), LISTING_SECONDS)))
        except MaiError as error:
            fault: MaiError = error
        except TimeoutError:
            fault = BackendUnavailable(f"did not list its models within {LISTING_SECONDS:.0f} s")
        except Exception as error:  # noqa: BLE001 - a third party's backend; it is named and left out
            fault = BackendError(f"{type(error).__name__}: {error}")
        else:
            self._rows[name] = rows
            self._errors.pop(name, None)
            self._merge()
            if rows:
                self._some.set()
            return
        self._errors[name] = fault
        if not isinstance(fault, EngineAbsent):
            log.warning("backend lists no models", extra={"backend": name, "error": str(fault)})

    def _sound(self, name: str, listed: tuple[Any, ...]) -> tuple[ModelProfile, ...]:
        """The rows that are what they should be; each of the others costs itself alone, and is told once."""
        faults = {place: fault for place, row in enumerate(listed) if (fault := fault_of(row, name))}
        told = tuple(faults.values())
        if told and told != self._strange.get(name):
            log.warning("rows of a backend are left out", extra={"backend": name, "faults": told})
        self._strange[name] = told
        if told and len(told) == len(listed):
            raise BackendError(f"lists nothing that could be used: {told[0]}")
        return tuple(row for place, row in enumerate(listed) if place not in faults)

    def _merge(self) -> None:
        """Bring the rows of all backends together, and remember by which key each is known where."""
        rows = [self._completed(row) for name in self._backends for row in self._rows.get(name, ())]
        # The first gets the plain key. Loads, leases and the model in use go by keys: nobody is to lose one again.
        rows.sort(key=lambda row: self._ranks.get((row.backend, row.key), len(self._ranks)))
        pairs = placed(rows, self._known)
        self._own = {model.key: row for row, model in pairs}
        self._keys = {(row.backend, row.key): model.key for row, model in pairs}
        merged = {model.key: model for _, model in pairs}
        fetcher = next((n for n, b in self._backends.items() if isinstance(b, ModelFetcher)), None)
        if fetcher is not None:
            for known in self._known:
                if known.sources and known.key not in merged:
                    merged[known.key] = _offered(known, fetcher)
        # Who has not changed stays the same object: what was worked out of a model is remembered by that.
        before = {model.key: model for model in self._models}
        same = {key: before[key] for key, model in merged.items() if before.get(key) == model}
        self._models = tuple((merged | same).values())
        if self._listed_once:
            self._hand_out()

    def _hand_out(self) -> None:
        """From now on the keys are in use."""
        self._listed_once = True
        for place in self._keys:
            self._ranks.setdefault(place, len(self._ranks))

    def _completed(self, row: ModelProfile) -> ModelProfile:
        known = match(self._known, row.key)
        if known is None:
            parameters = row.parameters or parameters_in(row.key)
            return replace(
                row,
                parameters=parameters,
                tier=Tier.of_parameters(parameters or row.size_bytes * 1.6),
                quality=row.quality or family_quality(self._known, row.key, parameters),
            )
        parameters = row.parameters or known.parameters
        return replace(
            row,
            # What a file says of itself is mostly how its training run was called.
            name=(describes(known, row.key) and known.name) or row.name or known.name,
            parameters=parameters,
            tier=known.tier or Tier.of_parameters(parameters or row.size_bytes * 1.6),
            quality=known.quality or row.quality,
            capabilities=row.capabilities | known.capabilities,
            sha256=row.sha256 or (known.sha256 if known.key == row.key else ""),
            price_in=row.price_in or known.price_in,
            price_out=row.price_out or known.price_out,
            fallbacks=row.fallbacks or known.fallbacks,
        )

    def _status(self, name: str, backend: Backend) -> BackendStatus:
        error = self._errors.get(name)
        waiting = "" if name in self._rows else "has not answered yet"
        strange = len(self._strange.get(name, ())) if error is None else 0
        notes = [backend.note] if isinstance(backend, StatusNote) else []
        notes += [f"{strange} malformed row{'s' * (strange > 1)} left out: mai logs"] if strange else []
        return BackendStatus(
            name=name,
            kind=backend.kind,
            host=backend.host,
            remote=backend.remote,
            models=len(self._rows.get(name, ())),
            error=error.message if error is not None else waiting,
            remedy=error.remedy if error is not None else "",
            absent=isinstance(error, EngineAbsent),
            note=" · ".join(filter(None, notes)),
        )

    def _background_done(self, task: asyncio.Task[None]) -> None:
        self._refreshing = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("refreshing the catalogue failed", exc_info=error)


def _offered(known: KnownModel, backend: str) -> ModelProfile:
    return ModelProfile(
        key=known.key,
        model=known.key,
        backend=backend,
        location=known.sources[0],
        name=known.name,
        size_bytes=known.size_bytes,
        parameters=known.parameters,
        max_context=known.max_context or 4096,
        capabilities=known.capabilities,
        tier=known.tier or Tier.of_parameters(known.parameters),
        quality=known.quality,
        installed=False,
        origin="catalogue",
        sha256=known.sha256,
    )
