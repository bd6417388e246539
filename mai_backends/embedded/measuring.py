"""What a model takes in memory: loaded in a worker of its own, asked once, looked at, and gone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from mai_backends.embedded.failures import failed_load
from mai_backends.embedded.process import Configuration, LoadFailed, WorkerProcess
from mai_core.errors import GenerationError
from mai_core.policy.models import Footprint, LoadPlan, ModelProfile

__all__ = ["Measured", "buffers_of", "measure"]

MIB = 1024 * 1024
REPLY = 4
_TELLS_BUFFERS = 4
_BUFFER = re.compile(r"(\w+) +(model|KV|RS|compute|output) buffer size = +([\d.]+) MiB")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a worker took after a reply, and the sizes of the engine's ``buffers`` in bytes, where it told of them.

    They are called ``CPU_Mapped model``, ``CPU_REPACK model``, ``CPU KV``, ``CPU RS``, ``CPU compute``, ``CPU output``.
    """

    footprint: Footprint
    buffers: Mapping[str, int] = field(default_factory=dict)


async def measure(
    model: ModelProfile, plan: LoadPlan, *, filled: int, silence: float = 60.0, tell: bool = False
) -> Measured:
    """Load ``model`` exactly by ``plan``, let every conversation read ``filled`` tokens and write a few, and look.

    ``tell`` has the engine tell of its buffers. Nothing else is loaded meanwhile by this. Raises what a load raises,
    or ``GenerationError``.
    """
    process = await WorkerProcess.spawn()
    configuration = Configuration(
        model=model.location,
        context=plan.context,
        kv_type=plan.kv_type,
        gpu_layers=plan.gpu_layers or 0,
        threads=plan.threads or 1,
        batch_threads=plan.threads or 1,
        batch=plan.batch,
        parallel=plan.parallel,
        verbosity=_TELLS_BUFFERS if tell else 2,
    )
    try:
        address = await process.start(
            configuration, size_bytes=model.size_bytes, silence=silence, progress=lambda share: None
        )
        await _fill(address, configuration, model, min(filled, plan.context - REPLY))
        footprint = await process.footprint()
        if footprint is None:
            raise LoadFailed(process.remains)
        return Measured(footprint, buffers_of(process.remains.stderr) if tell else {})
    except LoadFailed as error:
        raise failed_load(Path(model.location).name, model.key, error.remains) from error
    finally:
        await process.kill()


def buffers_of(log: str) -> dict[str, int]:
    """Bytes of every buffer the engine's log tells of; a cache in several pieces is one buffer."""
    buffers: dict[str, int] = {}
    for pool, kind, size in _BUFFER.findall(log):
        name = f"{pool} {kind}"
        before = buffers.get(name, 0) if kind in ("KV", "RS") else 0
        buffers[name] = before + round(float(size) * MIB)
    return buffers


async def _fill(address: str, configuration: Configuration, model: ModelProfile, tokens: int) -> None:
    """Have every conversation read a prompt of as many tokens and write a few more."""
    vocabulary = model.architecture.vocabulary if model.architecture is not None else 0
    prompt = [(100 + 7 * place) % max(200, vocabulary // 2) for place in range(max(1, tokens))]
    headers = {"Authorization": f"Bearer {configuration.api_key}"}
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=None, trust_env=False) as http:
        for slot in range(configuration.parallel):
            body = {"prompt": prompt, "n_predict": REPLY, "id_slot": slot, "temperature": 0.0, "ignore_eos": True}
            try:
                answer = await http.post("/completion", json=body)
            except httpx.TransportError as error:
                raise GenerationError(f"{model.key} dropped the connection", detail=repr(error)) from error
            if answer.status_code != httpx.codes.OK:
                raise GenerationError(f"{model.key} did not answer", detail=answer.text[:500])
