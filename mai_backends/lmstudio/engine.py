"""A server that was found, and what is done with it. From here on the SDK is needed."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmstudio import LMStudioError

from mai_backends.lmstudio import failures
from mai_backends.lmstudio.absence import ServerGone
from mai_backends.lmstudio.catalogue import LoadedRow, ModelRow, loaded_rows, model_rows, profile
from mai_backends.lmstudio.client import Connection
from mai_backends.lmstudio.discovery import Address
from mai_backends.lmstudio.headers import Headers
from mai_backends.lmstudio.holdings import Holdings
from mai_backends.lmstudio.loading import Loader, specifier
from mai_backends.lmstudio.options import LMStudioOptions
from mai_backends.lmstudio.orphans import Orphans
from mai_backends.lmstudio.streaming import stream
from mai_core.errors import BackendUnavailable, GenerationError, ModelCrashed, ModelStalled, OutOfMemory
from mai_core.plugin.interfaces import GenerationEvent
from mai_core.policy.footprint import predict_footprint
from mai_core.policy.messages import GenerationOptions, Message
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, ModelProfile

__all__ = ["Engine"]

log = logging.getLogger("mai.lmstudio")

LOADED_SECONDS = 2.0
LOADED_WITH_CONNECTING_SECONDS = 4.0
"""Five sockets of the SDK take more than a second on a machine that is busy; a turn waits for them only to use them."""
QUIET_SECONDS = 15.0
CLOSE_SECONDS = 3.0
COUNTS_AT_ONCE = 8
GGUF = "gguf"
PREFIX = "mai-"
LONGEST_NAME = 100


class Engine:
    """LM Studio's server under the name of one backend. ``locate`` tells where it is each time a link is made.

    What processes of Mai that were killed have left there is used, and made room with, as what was loaded here; once
    something of it is, or anything was loaded here, all of it is unloaded in the end. Who only looks leaves it alone.
    """

    def __init__(
        self,
        name: str,
        host: str,
        options: LMStudioOptions,
        *,
        home: Path,
        cache: Path,
        holdings: Path,
        locate: Callable[[], Awaitable[Address]],
        token: Callable[[], Awaitable[str]],
    ) -> None:
        self._name = name
        self._host = host
        self._remote = host != "local"
        self._headers = Headers(home, cache / "lmstudio-headers.json")
        self._connection = Connection(
            locate,
            token=token,
            token_option=f"backends.{name}.api_token",
            connect_timeout=options.connect_timeout,
            rpc_timeout=options.rpc_timeout,
        )
        self._holdings = Holdings(holdings)
        self._orphans = Orphans(self._connection, seconds=options.load_timeout, unloaded=self._holdings.drop)
        self._loader = Loader(
            self._connection, self._orphans, gpu=options.gpu, ttl=options.ttl, silence=options.load_timeout
        )
        self._rows: dict[str, ModelRow] = {}
        self._profiles: dict[str, ModelProfile] = {}
        self._instances: dict[str, LoadedModel] = {}
        self._left: dict[str, LoadedModel] = {}
        self._tidied = False
        self._works = False
        self._quiet_until = 0.0

    async def models(self) -> list[ModelProfile]:
        """Every language model on LM Studio's disk."""
        rows = model_rows(await self._rows_of("system", "listDownloadedModels"))
        shapes = {} if self._remote else await asyncio.to_thread(self._headers.read, rows)
        self._rows = {row.key: row for row in rows}
        self._profiles = {
            row.key: profile(
                row, backend=self._name, host=self._host, remote=self._remote, architecture=shapes.get(row.key)
            )
            for row in rows
        }
        self._quiet_until = 0.0
        return list(self._profiles.values())

    async def loaded(self) -> list[LoadedModel]:
        """Every instance in its memory. A silent server is left alone for a while: nobody waits for it twice."""
        now = asyncio.get_running_loop().time()
        if now < self._quiet_until and not self._connection.open:
            raise BackendUnavailable("LM Studio does not say what it has loaded")
        before = set(self._instances)
        try:
            async with asyncio.timeout(LOADED_WITH_CONNECTING_SECONDS):
                rows = loaded_rows(await self._rows_of("llm", "listLoaded", seconds=LOADED_SECONDS))
        except ServerGone:
            return []  # should it come back with what it had, its next list will tell
        except (BackendUnavailable, TimeoutError) as error:
            self._quiet_until = now + QUIET_SECONDS
            if isinstance(error, BackendUnavailable):
                raise
            raise BackendUnavailable("LM Studio does not say what it has loaded") from error
        for gone in before - {row.identifier for row in rows}:
            if self._instances.pop(gone, None) is not None:
                self._holdings.drop(gone)
                log.info("instance gone", extra={"instance": gone})
        self._look_for_the_left([row.identifier for row in rows])
        return [self._described(row) for row in rows]

    async def load(self, model: ModelProfile, plan: LoadPlan, tell: Callable[[float], None]) -> LoadedModel:
        """A new instance, under an identifier of our own."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", model.key)[:LONGEST_NAME]
        identifier = f"{PREFIX}{name}-{secrets.token_hex(4)}"
        predicted = predict_footprint(model, plan)
        row = self._rows.get(model.key)
        wanted = LoadedModel(
            instance=identifier, key=model.key, backend=self._name, plan=plan, footprint=predicted, host=self._host
        )
        self._works = True
        self._holdings.keep(wanted)
        try:
            real, estimate = await self._loader.load(
                model,
                plan,
                identifier,
                gguf=row is None or row.format in ("", GGUF),
                progress=tell,
                short_of_memory=lambda: not self._remote and _available() < predicted.ram,
            )
        except BaseException:
            if identifier not in self._orphans:
                self._holdings.drop(identifier)
            raise
        footprint = estimate.footprint(model.size_bytes) if estimate else predict_footprint(model, real)
        loaded = replace(wanted, plan=real, footprint=footprint)
        self._holdings.keep(loaded)
        self._instances[identifier] = loaded
        self._quiet_until = 0.0
        log.info(
            "model loaded", extra={"instance": identifier, "context": real.context, "total": loaded.footprint.total}
        )
        return loaded

    async def unload(self, instance: str) -> None:
        """Free an instance that is Mai's; others are left alone."""
        loaded = self._own(instance)
        if loaded is None:
            return
        try:
            await self._connection.call("llm", "unloadModel", {"identifier": instance})
        except ServerGone:
            return  # its memory went with the server; should it come back with what it had, this is ours still
        except LMStudioError as error:
            if not failures.is_gone(error):
                raise BackendUnavailable(
                    f"LM Studio did not unload {loaded.key}", detail=failures.describe(error)
                ) from error
        self._instances.pop(instance, None)
        self._holdings.drop(instance)

    async def generate(
        self, instance: str, messages: Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[GenerationEvent, None]:
        """A reply. A connection that breaks before anything was shown is made anew, once."""
        self._works = True
        self._own(instance)
        key = self._key(instance)
        for last_time in (False, True):
            shown = False
            async with self._connection.link() as link:
                try:
                    async with aclosing(stream(link, instance, key, messages, options)) as events:
                        async for event in events:
                            shown = True
                            yield event
                    return
                except LMStudioError as error:
                    lost = failures.is_lost(error)
                    if lost:
                        self._connection.retire(link)
                    if not lost or shown:
                        classified = failures.generating(error, key)
                        if not lost and isinstance(classified, ModelCrashed | OutOfMemory):
                            await self._discard(instance)
                        raise classified from error
                    if last_time:
                        raise failures.connecting(error, str(link.address)) from error
                except ModelStalled:
                    self._connection.retire(link)
                    raise
                except ModelCrashed:
                    await self._discard(instance)
                    raise

    async def count_tokens(self, instance: str, texts: Sequence[str]) -> list[int]:
        """Tokens by the model's own tokenizer."""
        turns = asyncio.Semaphore(COUNTS_AT_ONCE)

        async def count(text: str) -> int:
            if not text:
                return 0
            async with turns:
                return await self._count(instance, text)

        counts = [asyncio.ensure_future(count(text)) for text in texts]
        try:
            return list(await asyncio.gather(*counts))
        finally:
            for one in counts:
                one.cancel()
            await asyncio.gather(*counts, return_exceptions=True)

    async def has_others(self) -> bool:
        """Whether anything is loaded there that is not Mai's to unload, or nobody can tell."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                rows = [*await self._rows_of("llm", "listLoaded"), *await self._rows_of("embedding", "listLoaded")]
        except ServerGone:
            return False
        except (BackendUnavailable, TimeoutError):
            return True
        ours = {*self._instances, *self._left}
        return any(not isinstance(row, Mapping) or row.get("identifier") not in ours for row in rows)

    async def close(self) -> None:
        """Unload what is Mai's, and let go of the server."""
        await self._orphans.close()
        for instance in tuple(self._left) if self._works else ():
            self._own(instance)
        if self._instances:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await asyncio.gather(*(self.unload(instance) for instance in tuple(self._instances)))
            except (BackendUnavailable, TimeoutError) as error:
                log.warning("left loaded in LM Studio", extra={"instances": list(self._instances), "why": str(error)})
        self._instances.clear()
        await self._connection.close()

    async def _rows_of(self, namespace: str, endpoint: str, *, seconds: float = 0.0) -> list[Any]:
        try:
            rows = await self._connection.call(namespace, endpoint, seconds=seconds)
        except LMStudioError as error:
            raise BackendUnavailable(
                "LM Studio cannot list its models", remedy="look at it", detail=failures.describe(error)
            ) from error
        if not isinstance(rows, list):
            raise BackendUnavailable("LM Studio's list of models is none", remedy="update LM Studio or Mai")
        return rows

    async def _count(self, instance: str, text: str) -> int:
        parameter = {"specifier": specifier(instance), "inputString": text.encode("utf-8", "replace").decode()}
        try:
            answer = await self._connection.call("llm", "countTokens", parameter)
        except LMStudioError as error:
            raise failures.generating(error, self._key(instance)) from error
        match answer:
            case {"tokenCount": int(count)} if count >= 0:
                return count
        raise GenerationError(f"LM Studio does not count tokens for {self._key(instance)}")

    async def _discard(self, instance: str) -> None:
        """Have a broken instance unloaded, so that a reload is one."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.unload(instance)
        except (BackendUnavailable, TimeoutError) as error:
            log.info("broken instance not unloaded", extra={"instance": instance, "why": str(error)})

    def _look_for_the_left(self, listed: Sequence[str]) -> None:
        """Which of the instances there a killed process has left."""
        if not self._tidied:
            self._holdings.tidy(listed)
            self._tidied = True
        strange = [name for name in listed if name.startswith(PREFIX) and name not in self._instances]
        found = self._holdings.left(strange) if strange else {}
        self._left = {
            name: replace(note, backend=self._name, host=self._host, owned=True) for name, note in found.items()
        }

    def _own(self, instance: str) -> LoadedModel | None:
        """An instance that is Mai's, from now on this process's; None for those of others."""
        left = self._left.pop(instance, None)
        if left is not None and self._holdings.claim(instance):
            self._instances[instance] = left
            log.info("took over what a killed process left", extra={"instance": instance})
        return self._instances.get(instance)

    def _described(self, row: LoadedRow) -> LoadedModel:
        if (own := self._instances.get(row.identifier) or self._left.get(row.identifier)) is not None:
            return replace(own, expires_in=row.ttl)
        key = self._key_of(row.model)
        known, plan = self._profiles.get(key), LoadPlan(context=row.context)
        return LoadedModel(
            instance=row.identifier,
            key=key,
            backend=self._name,
            plan=plan,
            footprint=predict_footprint(known, plan) if known else Footprint(0, row.model.size_bytes),
            host=self._host,
            owned=False,
            expires_in=row.ttl,
        )

    def _key_of(self, model: ModelRow) -> str:
        """The key under which a loaded model is listed: one of its variants goes by another."""
        if model.key in self._rows:
            return model.key
        same = (row.key for row in self._rows.values() if row.path and row.path == model.path)
        base = model.key.partition("@")[0]
        return next(same, base if base in self._rows else model.key)

    def _key(self, instance: str) -> str:
        return self._instances[instance].key if instance in self._instances else instance


def _available() -> int:
    """Bytes of main memory that are free on this machine."""
    import psutil

    return int(psutil.virtual_memory().available)
