"""Every model on a server's disk, with what it says about each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mai_backends.ollama.client.errors import CALL_FAILED
from mai_backends.ollama.client.rows import Installed, Running, installed
from mai_backends.ollama.facts import Facts, facts_from
from mai_core.policy.models import ModelProfile, Tier

if TYPE_CHECKING:
    from mai_backends.ollama.client.api import Api

__all__ = ["Catalogue"]

log = logging.getLogger("mai.ollama")

_AT_ONCE = 4
_UNKNOWN_CONTEXT = 2048


class Catalogue:
    """Asks for each model's details once, as long as its digest stays the same.

    ``passed_on_to`` names the host of the cloud models to list, and those alone; None lists the server's own.
    """

    def __init__(self, backend: str, host: str, *, passed_on_to: str | None = None) -> None:
        self._backend = backend
        self._host = host
        self._passed_on_to = passed_on_to
        self._facts: dict[str, Facts] = {}
        self._rows: dict[str, Installed] = {}
        self.left_out = 0

    async def profiles(self, api: Api, *, seconds: float) -> list[ModelProfile]:
        """The models that converse. Whose details do not come within ``seconds`` has those of its row.

        Raises what ``Api.tags`` does, and ``TimeoutError`` when the list itself takes longer.
        """
        end = asyncio.get_running_loop().time() + seconds
        async with asyncio.timeout_at(end):
            rows = installed(await api.tags())
        wanted = [row for row in rows if (row.passed_on_to or None) == self._passed_on_to]
        self.left_out = sum(1 for row in rows if row.passed_on_to and not self._passed_on_to)
        facts = await self._all_facts(api, wanted, end)
        self._rows = {row.name: row for row in wanted}
        return [self._profile(row, known) for row, known in zip(wanted, facts, strict=True) if known.converses]

    def facts(self, name: str) -> Facts:
        """What is known of a model that was listed."""
        row = self._rows.get(name)
        return self._facts.get(_identity(row), Facts()) if row is not None else Facts()

    def resident(self, name: str, rows: Sequence[Running]) -> Running | None:
        """The row of what is in memory that serves ``name``: Ollama loads the same weights of two names once."""
        by_name = next((row for row in rows if row.name == name), None)
        if by_name is not None:
            return by_name
        digest, weights = self._digest(name), self.facts(name).sha256
        for row in rows:
            if (digest and row.digest == digest) or (weights and self.facts(row.name).sha256 == weights):
                return row
        return None

    def _digest(self, name: str) -> str:
        row = self._rows.get(name)
        return row.digest if row is not None else ""

    async def _all_facts(self, api: Api, rows: Sequence[Installed], end: float) -> list[Facts]:
        free = asyncio.Semaphore(_AT_ONCE)
        asked: dict[str, asyncio.Task[Facts | None]] = {}
        async with asyncio.TaskGroup() as group:
            for row in rows:
                if (identity := _identity(row)) not in self._facts and identity not in asked:
                    asked[identity] = group.create_task(self._ask(api, row, free, end))
        for identity, task in asked.items():
            if (facts := task.result()) is not None:
                self._facts[identity] = facts
        return [self._facts.get(_identity(row)) or facts_from(row, {}) for row in rows]

    async def _ask(self, api: Api, row: Installed, free: asyncio.Semaphore, end: float) -> Facts | None:
        try:
            async with asyncio.timeout_at(end), free:
                return facts_from(row, await api.details(row.name))
        except (*CALL_FAILED, TimeoutError) as error:
            log.warning("no details of a model", extra={"model": row.name, "error": f"{type(error).__name__}: {error}"})
            return None

    def _profile(self, row: Installed, facts: Facts) -> ModelProfile:
        away = bool(row.passed_on_to)
        return ModelProfile(
            key=row.name,
            backend=self._backend,
            location=row.name,
            host=self._host,
            name=row.name,
            # A cloud model's row has the size of its manifest, which says nothing of its weights.
            size_bytes=0 if away else row.size,
            parameters=facts.parameters,
            quantisation=facts.quantisation,
            max_context=facts.max_context or _UNKNOWN_CONTEXT,
            architecture=None if away else facts.architecture,
            capabilities=facts.capabilities,
            tier=Tier.of_parameters(facts.parameters) if facts.parameters else Tier.SMALL,
            remote=away or self._host != "local",
            origin="ollama",
            sha256="" if away else facts.sha256,
        )


def _identity(row: Installed) -> str:
    return row.digest or row.name
