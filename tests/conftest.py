"""Real weights for tests that run the real engine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Machines that run tests are shared and slow at times: a law is broken by a counterexample, never by the clock.
settings.register_profile("mai", deadline=None)
settings.load_profile("mai")


def _weights(file: str) -> Path:
    path = Path(os.environ["MAI_TEST_WEIGHTS"], file) if "MAI_TEST_WEIGHTS" in os.environ else Path("/nonexistent")
    if not path.is_file():
        pytest.skip(f"no {file}: set MAI_TEST_WEIGHTS to a folder that holds it")
    return path


@pytest.fixture(scope="session")
def starter_gguf() -> Path:
    """SmolLM2-135M-Instruct Q4_1."""
    return _weights("SmolLM2-135M-Instruct.Q4_1.gguf")


@pytest.fixture(scope="session")
def second_gguf() -> Path:
    """Qwen2.5-Coder-0.5B-Instruct Q4_K_M."""
    return _weights("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf")
