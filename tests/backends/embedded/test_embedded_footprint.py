"""What real loads take, beside what was predicted: by the engine's own log, part by part, and by its process."""

from __future__ import annotations

from pathlib import Path

import pytest
from embedded_engine import backend_in

from mai_backends.embedded.measuring import buffers_of, measure
from mai_core.policy.activations import buffer_bytes
from mai_core.policy.footprint import kv_cache_bytes, predict_footprint
from mai_core.policy.models import KvType, LoadPlan, ModelProfile

MIB = 2**20
LOG = """\
load_tensors:   CPU_Mapped model buffer size =    92.10 MiB
load_tensors:   CPU_REPACK model buffer size =    12.66 MiB
llama_kv_cache:        CPU KV buffer size =     3.00 MiB
llama_kv_cache:        CPU KV buffer size =    15.00 MiB
sched_reserve:        CPU compute buffer size =    16.64 MiB
"""


def profile_in(root: Path, file: Path) -> ModelProfile:
    return backend_in(root).profile_of(file)


def test_the_log_tells_of_buffers_and_a_cache_in_two_pieces_is_one() -> None:
    assert buffers_of(LOG) == {
        "CPU_Mapped model": round(92.10 * MIB),
        "CPU_REPACK model": round(12.66 * MIB),
        "CPU KV": 18 * MIB,
        "CPU compute": round(16.64 * MIB),
    }


@pytest.mark.weights
@pytest.mark.parametrize(
    "plan",
    [
        LoadPlan(context=1000, batch=512, threads=1),
        LoadPlan(context=512, batch=128, kv_type=KvType.Q8_0, parallel=2, threads=1),
    ],
    ids=["plain", "two conversations in a quantised cache"],
)
async def test_each_part_is_what_the_engine_says_and_their_sum_what_its_process_takes(
    starter_gguf: Path, tmp_path: Path, plan: LoadPlan
) -> None:
    model = profile_in(tmp_path, starter_gguf)
    shape = model.architecture
    assert shape is not None
    assert shape.weights is not None
    found = await measure(model, plan, filled=400, tell=True)
    assert found.buffers["CPU_Mapped model"] == pytest.approx(shape.weights.total, rel=0.001)
    assert found.buffers["CPU KV"] == pytest.approx(kv_cache_bytes(shape, plan), rel=0.001)
    assert found.buffers["CPU compute"] == pytest.approx(buffer_bytes(shape, plan, plan.context), rel=0.02)
    predicted = predict_footprint(model, plan, filled=404)
    assert found.footprint.anonymous == pytest.approx(predicted.anonymous, rel=0.05)
    assert found.footprint.file_backed == pytest.approx(predicted.file_backed, rel=0.05)


@pytest.mark.weights
async def test_copied_weights_are_what_the_engine_says(second_gguf: Path, tmp_path: Path) -> None:
    model = profile_in(tmp_path, second_gguf)
    assert model.architecture is not None
    found = await measure(model, LoadPlan(context=256, batch=32, threads=1), filled=16, tell=True)
    assert found.buffers["CPU_REPACK model"] == pytest.approx(model.architecture.repack_bytes, rel=0.001)
