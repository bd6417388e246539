"""How fast a model reads, writes and loads: measured here where it was, else from first principles."""

from __future__ import annotations

from dataclasses import dataclass

from mai_core.policy.models import UNKNOWN_PARAMETERS, ModelProfile

__all__ = ["MeasuredSpeed", "Speed", "expected_speed"]

# Plain CPU figures from engine.md's three models on two AVX2 cores: 9.3-16.7 GB/s of weights read per token written,
# 45-105 GFLOP/s a core while reading a prompt, and 0.2 s + 2.5 s per GB from spawn to ready.
BYTES_PER_SECOND = 10e9
FLOPS_PER_CORE = 45e9
LOAD_SECONDS = 0.2
LOAD_SECONDS_PER_BYTE = 2.6e-9
# What is tried first of servers elsewhere and nothing is known of: a hosted model of medium size, cautiously.
REMOTE_PROMPT_TPS = 1000.0
REMOTE_TPS = 40.0
# 4-bit weights with their scales.
PARAMETERS_PER_BYTE = 1.6


@dataclass(frozen=True, slots=True)
class MeasuredSpeed:
    """Medians over this machine's own runs; 0 where nothing was measured."""

    prompt_tps: float = 0.0
    generation_tps: float = 0.0
    load_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second while reading a prompt and while writing, and seconds to load."""

    prompt_tps: float
    generation_tps: float
    load_seconds: float


def expected_speed(model: ModelProfile, cores: int, measured: MeasuredSpeed | None = None) -> Speed:
    """The speed to expect on ``cores`` free cores.

    Writing a token reads every weight once, so it is bound by memory bandwidth; reading a prompt takes two
    floating-point operations per weight and token, so it is bound by compute. A measured figure replaces its
    estimate. Another machine's processor and GPU are not known here: its models get one cautious figure until measured.
    """
    known = measured or MeasuredSpeed()
    if model.remote:
        return Speed(known.prompt_tps or REMOTE_PROMPT_TPS, known.generation_tps or REMOTE_TPS, known.load_seconds)
    size = model.size_bytes or round((model.parameters or UNKNOWN_PARAMETERS) / PARAMETERS_PER_BYTE)
    parameters = model.parameters or size * PARAMETERS_PER_BYTE
    return Speed(
        prompt_tps=known.prompt_tps or max(1.0, FLOPS_PER_CORE * cores / (2.0 * parameters)),
        generation_tps=known.generation_tps or max(0.05, BYTES_PER_SECOND / size),
        load_seconds=known.load_seconds or LOAD_SECONDS + LOAD_SECONDS_PER_BYTE * size,
    )
