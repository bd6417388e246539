"""Loading and unloading, as LM Studio's channels tell of it."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from tests.standins.faults import Fault
from tests.standins.lmstudio import problems
from tests.standins.lmstudio.machine import DEFAULT_CONTEXT, Machine
from tests.standins.lmstudio.models import Instance
from tests.standins.lmstudio.quirks import Quirk

__all__ = ["Channel", "config_of", "get_or_load", "load_model"]

STEPS = 4


class Channel(Protocol):
    """One stream of packets to a client."""

    domain: str
    cancelled: asyncio.Event

    async def send(self, packet: dict[str, Any]) -> None:
        """One packet; one for a client that has gone is lost."""

    async def spoil(self, fault: Fault) -> None:
        """The frame no client wants."""


def config_of(stack: dict[str, Any]) -> dict[str, Any]:
    """The keys of all layers, the first layer winning."""
    found: dict[str, Any] = {}
    for layer in stack["layers"]:
        for entry in layer["config"]["fields"]:
            found.setdefault(entry["key"], entry.get("value"))
    return found


async def load_model(machine: Machine, channel: Channel, parameter: dict[str, Any]) -> None:
    """``loadModel``: always one instance more."""
    model = machine.model(parameter["modelKey"], channel.domain)
    await channel.send({"type": "resolved", "info": model.row()})
    instance = await _load(machine, channel, model.key, parameter.get("identifier"), parameter, "progress")
    await channel.send({"type": "success", "info": instance.row()})


async def get_or_load(machine: Machine, channel: Channel, parameter: dict[str, Any]) -> None:
    """``getOrLoad``: what is loaded as it is, else a load that makes other loads of this kind give way."""
    machine.sweep()
    wanted = parameter["identifier"]
    for instance in machine.instances.values():
        if instance.model.type == channel.domain and wanted in (instance.identifier, instance.key):
            instance.touch()
            await channel.send({"type": "alreadyLoaded", "info": instance.row()})
            return
    model = machine.model(wanted, channel.domain)
    for other in [each for each in machine.instances.values() if each.jit]:
        await channel.send({"type": "unloadingOtherJITModel", "info": other.row()})
        machine.instances.pop(other.identifier, None)
    await channel.send(
        {"type": "startLoading", "identifier": machine.free_identifier(None, model.key), "info": model.row()}
    )
    loaded = await _load(machine, channel, model.key, None, parameter, "loadProgress", jit=True)
    await channel.send({"type": "loadSuccess", "info": loaded.row()})


async def _load(
    machine: Machine,
    channel: Channel,
    key: str,
    identifier: str | None,
    parameter: dict[str, Any],
    progress: str,
    *,
    jit: bool = False,
) -> Instance:
    config = config_of(parameter["loadConfigStack"])
    context = int(config.pop(f"{channel.domain}.load.contextLength", DEFAULT_CONTEXT))
    model = machine.models[key]
    ttl = parameter.get("loadTtlMs" if jit else "ttlMs")
    machine.loading += 1
    try:
        if Quirk.FAILS_TO_LOAD in machine.quirks:
            raise problems.load_failed()
        if machine.strikes(Fault.OUT_OF_MEMORY_AT_LOAD) or machine.used() + model.memory(context) > machine.memory:
            raise problems.insufficient_resources(model.memory(context))
        for step in range(STEPS):
            await channel.send({"type": progress, "progress": step / STEPS})
            await machine.held(Fault.HANGS_AT_LOAD)
            await _pause(channel, model.load_seconds / STEPS)
        loaded = machine.load(
            key, identifier, context=context, ttl=None if ttl is None else ttl / 1000, config=config, jit=jit
        )
    finally:
        machine.loading -= 1
    await channel.send({"type": progress, "progress": 1.0})
    return loaded


async def _pause(channel: Channel, seconds: float) -> None:
    """Works for so long on a load, unless it is cancelled."""
    if seconds:
        await asyncio.wait([asyncio.ensure_future(asyncio.sleep(seconds))], timeout=seconds)
    if channel.cancelled.is_set():
        raise problems.Problem("Model loading was cancelled")
