"""Which models of a table would run on a machine: the core's own planner is asked, with nothing else in memory."""

from __future__ import annotations

import re
from collections.abc import Callable

from mai_core.bench.replay.tables import RatedModel
from mai_core.bench.simulator.machines import MachineSpec
from mai_core.policy.models import ModelProfile
from mai_core.policy.planning import Wants, plan_load
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind

__all__ = ["BITS", "bytes_of", "fitting", "host_of", "with_memory"]

# Bits a weight takes in GGUF files, over all tensors: llama.cpp, tools/quantize/README.md, for Llama 3.1 8B.
BITS = {
    "Q2_K": 3.16,
    "Q3_K_M": 4.00,
    "Q4_K_M": 4.89,
    "Q5_K_M": 5.70,
    "Q6_K": 6.56,
    "Q8_0": 8.50,
    "F16": 16.0,
}
CONTEXT = 4096
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B?|B)?", re.IGNORECASE)


def bytes_of(written: str) -> int:
    """The bytes of a size such as ``8GiB``, ``8G`` (the same) or ``8GB`` (a little less). Raises ``ValueError``."""
    found = _SIZE.fullmatch(written.strip())
    if found is None or not float(found[1]):
        raise ValueError(f"{written}: a size such as 8GiB is wanted")
    decimal = found[2] and not found[3] and written.strip().upper().endswith("B")
    power = "KMGT".index(found[2].upper()) + 1 if found[2] else 0
    return int(float(found[1]) * (1000 if decimal else 1024) ** power)


def with_memory(size: int) -> Host:
    """A machine with so many bytes of main memory free, and no GPU."""
    return Host(pools=(MemoryPool("ram", PoolKind.RAM, size, size),), cpu=Cpu(8))


def host_of(machine: MachineSpec) -> Host:
    """A machine of the simulator, with what the system and its GPUs' drivers hold from the start."""
    gpus = (MemoryPool(g.name, g.kind, g.total, int(g.total * (1.0 - g.kept))) for g in machine.gpus)
    ram = MemoryPool("ram", PoolKind.RAM, machine.ram, int(machine.ram * (1.0 - machine.system)))
    return Host(name=machine.name, pools=(ram, *gpus), cpu=Cpu(machine.cores))


def fitting(host: Host, quantisation: str = "Q4_K_M") -> Callable[[RatedModel], str]:
    """Says of a model why it cannot run on ``host``, and nothing where it can.

    It runs where some plan fits with at least a thousand tokens of context, the usual share of memory left free. All
    parameters have to be there, of a mixture of experts too.
    """
    bits = BITS[quantisation]

    def why_not(model: RatedModel) -> str:
        if not model.parameters:
            return "its parameters are not known, so nothing tells its memory"
        profile = ModelProfile(
            key=model.name,
            backend="replay",
            location=model.name,
            size_bytes=int(model.parameters * bits / 8.0),
            parameters=model.parameters,
            quantisation=quantisation,
            max_context=CONTEXT,
        )
        if plan_load(profile, host, Wants(context=CONTEXT)) is not None:
            return ""
        return f"does not fit: {profile.size_bytes / 2**30:.1f} GiB of weights alone"

    return why_not
