"""How fast a model reads, writes and loads: measured here where it was, else from first principles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from mai_core.policy.models import UNKNOWN_PARAMETERS, LoadPlan, ModelProfile

__all__ = ["DEFAULT_MACHINE", "Machine", "MeasuredSpeed", "Speed", "active_share", "expected_speed"]

# From spawn to ready: 0.2 s and 2.5 s a GB.
LOAD_SECONDS = 0.2
LOAD_SECONDS_PER_BYTE = 2.6e-9
# What is tried first of servers elsewhere and nothing is known of: a hosted model of medium size, cautiously.
REMOTE_PROMPT_TPS = 1000.0
REMOTE_TPS = 40.0
# 4-bit weights with their scales.
PARAMETERS_PER_BYTE = 1.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a machine can do: bytes of weights it reads a second, and floating-point operations a second a core makes.

    The defaults are those of plain processors with AVX2, as three models of 0.1 to 1.5 GB showed on two cores:
    9.3-16.7 GB/s of weights read for each token written, and 45-105 GFLOP/s a core while reading a prompt. A GPU's are
    what is usual for the smaller half of those in use.
    """

    bytes_per_second: float = 10e9
    flops_per_core: float = 45e9
    device_bytes_per_second: float = 150e9
    device_flops: float = 5e12

    @classmethod
    def learned(cls, runs: Iterable[tuple[ModelProfile, MeasuredSpeed]], cores: int) -> Machine:
        """This machine, as models that ran on its processor with ``cores`` showed it: what a model that never ran here
        will do follows from those that did. The medians of what each would have needed; defaults where none ran."""
        widths, rates = [], []
        for model, speed in runs:
            if model.remote or not model.size_bytes:
                continue
            active = active_share(model)
            widths += [speed.generation_tps * active * model.size_bytes] if speed.generation_tps > 0.0 else []
            parameters = active * (model.parameters or model.size_bytes * PARAMETERS_PER_BYTE)
            rates += [speed.prompt_tps * 2.0 * parameters / cores] if speed.prompt_tps > 0.0 else []
        return cls(
            bytes_per_second=median(widths) if widths else DEFAULT_MACHINE.bytes_per_second,
            flops_per_core=median(rates) if rates else DEFAULT_MACHINE.flops_per_core,
        )


DEFAULT_MACHINE = Machine()


@dataclass(frozen=True, slots=True)
class MeasuredSpeed:
    """Medians over this machine's own runs; 0 where nothing was measured."""

    prompt_tps: float = 0.0
    generation_tps: float = 0.0
    load_seconds: float = 0.0


UNMEASURED = MeasuredSpeed()


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second while reading a prompt and while writing, and seconds to load."""

    prompt_tps: float
    generation_tps: float
    load_seconds: float


def expected_speed(
    model: ModelProfile,
    cores: int,
    measured: MeasuredSpeed | None = None,
    *,
    plan: LoadPlan | None = None,
    machine: Machine = DEFAULT_MACHINE,
) -> Speed:
    """The speed to expect on ``cores`` free cores, loaded by ``plan`` where that puts layers on a GPU.

    Writing a token reads every weight it passes once, so it is bound by the bandwidth of the memory they lie in;
    reading a prompt takes two floating-point operations for each of these weights and tokens, so it is bound by compute
    (the roofline model, Williams et al. 2009; two operations by Kaplan et al. 2020). Of experts a token passes only
    those it is sent to. Layers here and layers on a GPU work one after the other, so their times add up. A measured
    figure replaces its estimate. Another machine's processor and GPU are not known here: its models get one cautious
    figure until measured.
    """
    known = measured or UNMEASURED
    if model.remote:
        return Speed(known.prompt_tps or REMOTE_PROMPT_TPS, known.generation_tps or REMOTE_TPS, known.load_seconds)
    size = model.size_bytes or round((model.parameters or UNKNOWN_PARAMETERS) / PARAMETERS_PER_BYTE)
    active = active_share(model)
    parameters = active * (model.parameters or size * PARAMETERS_PER_BYTE)
    away = _share_on_device(model, plan)
    reading = 2.0 * parameters * ((1.0 - away) / (machine.flops_per_core * cores) + away / machine.device_flops)
    writing = active * size * ((1.0 - away) / machine.bytes_per_second + away / machine.device_bytes_per_second)
    return Speed(
        prompt_tps=known.prompt_tps or max(1.0, 1.0 / reading),
        generation_tps=known.generation_tps or max(0.05, 1.0 / writing),
        load_seconds=known.load_seconds or LOAD_SECONDS + LOAD_SECONDS_PER_BYTE * size,
    )


def active_share(model: ModelProfile) -> float:
    """The share of its weights a token passes: all of a dense model's; of a mixture's experts those it is sent to.

    Where the header does not tell how many bytes are experts', all but a tenth of a mixture is taken to be.
    """
    shape = model.architecture
    if shape is None or not 0 < shape.experts_used < shape.experts:
        return 1.0
    idle = 1.0 - shape.experts_used / shape.experts
    table = shape.weights
    return 1.0 - idle * (table.experts / table.total if table is not None and table.total else 0.9)


def _share_on_device(model: ModelProfile, plan: LoadPlan | None) -> float:
    """The share of the layers that a GPU computes."""
    layers = plan.gpu_layers if plan is not None else None
    if not layers:
        return 0.0
    if layers < 0:
        return 1.0
    return min(1.0, layers / (model.architecture.layers + 1)) if model.architecture is not None else 0.0
