"""An OpenAI-compatible server as a backend: its models, which it holds and runs by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, ClassVar

from mai_backends.hosts import LOCAL, host_of, listens
from mai_backends.wire.secrecy import Secrets
from mai_core.errors import AccessDenied, BackendUnavailable, EngineAbsent, ModelCrashed, ModelFileError
from mai_core.plugin.interfaces import BackendContext, GenerationEvent, LoadProgress
from mai_core.policy.messages import GenerationOptions, Message
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, ModelProfile

if TYPE_CHECKING:
    from mai_backends.openai_compatible.listing import Listing
    from mai_backends.openai_compatible.offers import Offer
    from mai_backends.openai_compatible.served import ServedModel
    from mai_backends.openai_compatible.server import Server
    from mai_core.plugin.interfaces import Backend, StatusNote

__all__ = ["OpenAICompatibleBackend"]

log = logging.getLogger("mai.openai-compatible")

LOADED_SECONDS = 1.0
"""What a turn waits at most to hear what is in memory."""
SEEK_SECONDS = 0.5
"""What a server that may not be there has to answer."""


class OpenAICompatibleBackend:
    """The models of one server. Mai owns none of them: it unloads nothing, and counts no memory of this machine.

    The instance of a model is its id. A plan asks for nothing: the server has decided, and ``LoadedModel.plan`` tells
    the window it really serves, as far as it says.
    """

    kind: ClassVar[str] = "openai-compatible"

    def __init__(self, context: BackendContext) -> None:
        from mai_backends.openai_compatible.options import OpenAICompatibleOptions
        from mai_backends.settings import options_of

        self.name = context.name
        self._options = options_of(OpenAICompatibleOptions, context.name, context.options)
        self.host = host_of(self._options.base_url)
        self._elsewhere = self.host != LOCAL
        self.remote = self._elsewhere if self._options.remote is None else self._options.remote
        self._secrets = Secrets()
        self._listing: Listing | None = None
        self._served: dict[str, ServedModel] = {}
        self._closed = False

    @property
    def note(self) -> str:
        """What answers, and where, and whether it asks to be left alone for a while."""
        if self._closed or (self._listing is None and self._seeks):
            return ""
        kind = self._listing.kind if self._listing is not None else "OpenAI-compatible server"
        notes = [f"{kind} at {self._server.where}"]
        if self._elsewhere and self._options.api_key and self._server.where.startswith("http:"):
            notes.append("its key goes there unencrypted")
        if wait := self._server.asks_to_wait:
            notes.append(f"asks to wait {ceil(wait)} s")
        return ", ".join(notes)

    async def models(self) -> Sequence[ModelProfile]:
        """What the server lists, or those of it that the settings name."""
        before = self._listing
        with self._secrets.kept():
            listing = await (self._sought() if self._seeks and before is None else self._listed())
        if before is not None and not listing.whole and listing.kind is before.kind:
            listing = before.updated(listing)
        self._listing = self._compared(listing)
        if self._options.remote is None:
            self.remote = self._elsewhere or listing.kind.forwards

        from mai_backends.openai_compatible.profiles import chosen, profile

        placed = ModelProfile(
            key="",
            location="",
            backend=self.name,
            host=self.host,
            remote=self.remote,
            origin=self._listing.kind.value,
        )
        return [
            profile(offer, placed, self._options.models.get(offer.id), window=self._window(offer), fault=fault)
            for offer, fault in chosen(self._listing, self._options.models)
        ]

    async def loaded(self) -> Sequence[LoadedModel]:
        """What is in the server's memory, where it can tell; nothing is claimed of one that cannot be reached."""
        if self._seeks and self._listing is None:
            return []
        try:
            with self._secrets.kept():
                async with asyncio.timeout(LOADED_SECONDS):
                    return await self._in_memory()
        except (BackendUnavailable, TimeoutError) as error:
            log.debug("server cannot say what it has loaded", extra={"backend": self.name, "error": str(error)})
            return []

    async def load(self, model: ModelProfile, plan: LoadPlan, *, progress: LoadProgress | None = None) -> LoadedModel:
        """Make sure the server has the model; where it loads on demand, let it load with the shortest request.

        Raises ``ModelFileError`` for a model it does not have. A load that was begun there cannot be called back:
        cancelling ends the request alone.
        """
        with self._secrets.kept():
            return await self._load(model.location, progress or (lambda share: None))

    async def _load(self, key: str, progress: LoadProgress) -> LoadedModel:
        from mai_backends.openai_compatible.warming import warm

        progress(0.0)
        offer = self._offer(key)
        if offer is None or self._loads:
            await self._refresh()
            offer = self._offer(key)
        if offer is None:
            raise ModelFileError(f"{self._server.where} has no model {key}", remedy="mai models shows what it has")
        if self._loads and key not in {one.key for one in await self.loaded()}:
            await warm(self._server, key, seconds=self._options.deadlines.load)
            await self._refresh()  # some tell the window only of what is loaded
            await self._look_behind(self._model(key), again=True)
        progress(1.0)
        return self._resident(self._offer(key) or offer)

    async def unload(self, instance: str) -> None:
        """Nothing: Mai loaded none of them."""

    async def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        """A reply; where the last message is the assistant's, the rest of that one."""
        from mai_backends.openai_compatible.replies import stream

        with self._secrets.kept():
            model = await self._known(instance)
            async with aclosing(
                stream(self._server, self.name, model, messages, options, retries=self._options.retries)
            ) as events:
                async for event in events:
                    yield event

    async def count_tokens(self, instance: str, texts: Sequence[str]) -> Sequence[int]:
        """Tokens by the server's tokenizer, where it has one, else an estimate on the large side."""
        with self._secrets.kept():
            model = await self._known(instance)
            counted = await model.tokenizer.count(texts)
        return counted if counted is not None else [model.estimate.count(text) for text in texts]

    async def close(self) -> None:
        """Close all connections; replies under way end."""
        self._closed = True
        if "_server" in self.__dict__:
            await self._server.close()

    @property
    def _seeks(self) -> bool:
        return self._options.seek and not self._elsewhere

    async def _sought(self) -> Listing:
        """What is listed by a server that may be there or not.

        Raises ``EngineAbsent``, with a remedy where something is there that a person may expect to be used.
        """
        url = self._options.base_url
        absent = EngineAbsent(f"no server is running at {url}")
        silent = EngineAbsent(
            f"something listens at {url} but does not answer within {SEEK_SECONDS:g} s",
            remedy=f"restart it, if it is {self.name}",
        )
        try:
            if not await listens(url, within=SEEK_SECONDS):
                raise absent
        except TimeoutError as error:
            raise silent from error
        from mai_backends.openai_compatible.kinds import Kind
        from mai_backends.openai_compatible.listing import list_models

        try:
            listing = await list_models(self.name, self._server, seconds=SEEK_SECONDS)
        except AccessDenied as error:
            raise EngineAbsent(error.message, remedy=error.remedy) from error
        except BackendUnavailable as error:
            raise (silent if isinstance(error.__cause__, TimeoutError) else absent) from error
        if listing.kind is Kind.UNKNOWN or listing.kind.forwards:
            raise EngineAbsent(f"what runs at {self._server.where} is no server Mai takes up by itself")
        return listing

    async def _in_memory(self) -> list[LoadedModel]:
        from mai_backends.openai_compatible.residency import known, residents

        if self._listing is not None and not known(self._listing):
            return []
        listing = await self._refresh()
        models = []
        for one in await residents(self._server, listing, seconds=LOADED_SECONDS):
            if (offer := self._offer(one.id)) is not None:
                await self._look_behind(self._model(offer.id))
                models.append(self._resident(offer, one.expires_in))
        return models

    async def _listed(self) -> Listing:
        from mai_backends.openai_compatible.listing import list_models

        options = self._options
        return await list_models(self.name, self._server, seconds=options.deadlines.listing, assumed=options.models)

    @cached_property
    def _server(self) -> Server:
        """Made when it is first needed: a server that is only looked for, and not there, never is."""
        from mai_backends.openai_compatible.server import Server

        if self._closed:
            raise BackendUnavailable(f"{self.name} is closed")
        return Server(self.name, self._options, self._secrets)

    @property
    def _loads(self) -> bool:
        return self._listing is not None and self._listing.kind.loads

    async def _refresh(self) -> Listing:
        """The listing as it is now; what does not change is asked for once. Raises ``BackendUnavailable``."""
        from mai_backends.openai_compatible.listing import list_models

        before = self._listing
        seconds = LOADED_SECONDS if before is not None else self._options.deadlines.listing
        newer = await list_models(
            self.name, self._server, seconds=seconds, brief=before is not None, assumed=self._options.models
        )
        self._listing = self._compared(before.updated(newer) if before is not None else newer)
        return self._listing

    def _compared(self, listing: Listing) -> Listing:
        """The listing; what was found out about a window holds until another one is listed."""
        before = self._listing.offers if self._listing is not None else {}
        for key, offer in listing.offers.items():
            if key in before and key in self._served and before[key].context != offer.context:
                self._served[key].window = 0
                self._served[key].seen = False
        return listing

    def _offer(self, key: str) -> Offer | None:
        """What the server offers under this id, unless the settings leave it out."""
        from mai_backends.openai_compatible.profiles import chosen

        if self._listing is None:
            return None
        offers = chosen(self._listing, self._options.models)
        return next((offer for offer, fault in offers if offer.id == key and not fault), None)

    async def _known(self, instance: str) -> ServedModel:
        """The model of that id. Raises ``ModelCrashed`` when the server has none."""
        if self._offer(instance) is None:
            await self._refresh()
            if self._offer(instance) is None:
                raise ModelCrashed(f"{self._server.where} does not serve {instance}")
        return self._model(instance)

    def _model(self, key: str) -> ServedModel:
        """What is known of a listed model, begun anew when another kind of server took the place of the first."""
        from mai_backends.openai_compatible.served import ServedModel

        assert self._listing is not None
        found = self._served.get(key)
        if found is None or found.listed_by is not self._listing.kind:
            found = ServedModel.of(key, self._listing.kind, self._server, continues=self._options.continues)
            self._served[key] = found
        return found

    async def _look_behind(self, model: ServedModel, *, again: bool = False) -> None:
        """Ask the server behind a router what it is and what window it has, once it runs."""
        from mai_backends.openai_compatible.listing import props_of

        if model.props_path and (again or not model.seen):
            model.seen = True
            model.learn(await props_of(self._server, model.props_path))

    def _window(self, offer: Offer) -> int:
        model = self._served.get(offer.id)
        return model.window if model is not None else 0

    def _resident(self, offer: Offer, expires_in: float | None = None) -> LoadedModel:
        from mai_backends.openai_compatible.profiles import context_of

        context = context_of(offer, self._options.models.get(offer.id), window=self._window(offer))
        return LoadedModel(
            instance=offer.id,
            key=offer.id,
            backend=self.name,
            plan=LoadPlan(context=context),
            footprint=Footprint(),
            host=self.host,
            owned=False,
            expires_in=expires_in,
        )


if TYPE_CHECKING:
    _backend: type[Backend] = OpenAICompatibleBackend
    _note: type[StatusNote] = OpenAICompatibleBackend
