"""The computer the stand-in plays: its models, its memory, and what is wrong with it just now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from tests.standins.faults import Fault
from tests.standins.lmstudio import problems
from tests.standins.lmstudio.models import Instance, StandInModel
from tests.standins.lmstudio.quirks import Quirk

__all__ = ["Machine"]

DEFAULT_CONTEXT = 4096


class Machine:
    """State that tests read and change while the server runs.

    fault          what is wrong; None when healthy. Held-back answers are given when it is taken away
    fault_times    how often the fault strikes before it goes away by itself; None for as long as it is set
    after_pieces   how many fragments a reply gives before a fault in mid-stream strikes
    spoils         which answers INVALID_UTF8 and HUGE_LINE spoil: "predict" or "listing"
    huge_bytes     size of the frame of HUGE_LINE
    generating     predictions the server is still working on
    loading        loads the server is still working on
    files          what clients uploaded, by the identifiers it was given
    greetings      how often somebody asked whether this is LM Studio
    """

    def __init__(self, models: Iterable[StandInModel]) -> None:
        self.models = {model.key: model for model in models}
        self.instances: dict[str, Instance] = {}
        self.memory = 64 * 1024**3
        self.raw_rows: list[Any] = []
        self.fault: Fault | None = None
        self.fault_times: int | None = None
        self.after_pieces = 3
        self.spoils = "predict"
        self.huge_bytes = 100_000_000
        self.quirks: set[Quirk] = set()
        self.calls: list[tuple[str, Any]] = []
        self.violations: list[str] = []
        self.generating = 0
        self.loading = 0
        self.files: dict[str, bytes] = {}
        self.greetings = 0

    async def held(self, *faults: Fault) -> None:
        """Says nothing for as long as one of these faults is set."""
        while self.fault in faults:
            await asyncio.sleep(0.01)

    def strikes(self, fault: Fault) -> bool:
        """Whether the fault is set; counts the times it struck."""
        if self.fault is not fault:
            return False
        if self.fault_times is not None:
            self.fault_times -= 1
            if self.fault_times <= 0:
                self.fault, self.fault_times = None, None
        return True

    def shown(self, identifier: str) -> bytes:
        """The file of that identifier."""
        if identifier not in self.files:
            raise problems.no_such_file(identifier)
        return self.files[identifier]

    def used(self) -> int:
        """Bytes taken by what is loaded."""
        return sum(instance.memory for instance in self.instances.values())

    def sweep(self) -> None:
        """Unloads what was idle for longer than its time to live."""
        for identifier, instance in list(self.instances.items()):
            if instance.expired:
                self.instances.pop(identifier, None)

    def model(self, key: str, domain: str) -> StandInModel:
        """The downloaded model of this key, or path."""
        for model in self.models.values():
            if key in (model.key, model.file):
                if model.type != domain:
                    raise problems.wrong_domain(key, model.type, domain)
                return model
        raise problems.path_not_found(key, self.models)

    def instance(self, specifier: Mapping[str, Any], domain: str) -> Instance:
        """What a request means: an instance, or anything loaded that fits a query."""
        self.sweep()
        mine = [instance for instance in self.instances.values() if instance.model.type == domain]
        if specifier["type"] == "instanceReference":
            for instance in mine:
                if instance.reference == specifier["instanceReference"]:
                    return instance
            raise problems.unloaded_instance()
        query = specifier["query"]
        for instance in mine:
            if (
                query.get("identifier") in (None, instance.identifier)
                and query.get("path") in (None, instance.model.file, instance.key)
                and query.get("vision") in (None, instance.model.vision)
            ):
                return instance
        raise problems.no_model_matching(query, self.instances)

    def free_identifier(self, wanted: str | None, key: str) -> str:
        """The identifier asked for, else the key, numbered where it is taken."""
        name, number = wanted or key, 1
        while name in self.instances:
            number += 1
            name = f"{wanted or key}:{number}"
        return name

    def load(
        self,
        key: str,
        identifier: str | None = None,
        *,
        context: int = DEFAULT_CONTEXT,
        ttl: float | None = None,
        config: Mapping[str, Any] | None = None,
        jit: bool = False,
    ) -> Instance:
        """Loads at once, as somebody else at the machine would; beyond the memory it raises what the server says."""
        model = self.models[key]
        if self.used() + model.memory(context) > self.memory:
            raise problems.insufficient_resources(model.memory(context))
        name = self.free_identifier(identifier, key)
        made = Instance(name, model, context, ttl=ttl, config=dict(config or {}), jit=jit)
        self.instances[name] = made
        return made
