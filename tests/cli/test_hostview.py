"""What ``mai status`` says of a machine's memory and GPUs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mai_core.cli.hostview import host_view
from mai_core.policy.resources import Cpu, Holder, Host, MemoryPool, MemoryUse, PoolKind

GIB = 2**30


def shown(*pools: MemoryPool, width: int = 200) -> dict[str, str]:
    """The words beside each pool, by its name."""
    console = Console(file=io.StringIO(), width=width)
    console.print(host_view(Host(pools=pools, cpu=Cpu(4)), alone=True))
    lines = [line.split(maxsplit=1) for line in console.file.getvalue().splitlines() if line.strip()]  # type: ignore[attr-defined]
    return {words[0]: " ".join(words[1].split()) for words in lines if len(words) == 2}


@pytest.mark.parametrize(
    ("pool", "told"),
    [
        (
            MemoryPool(
                "ram",
                PoolKind.RAM,
                16 * GIB,
                8 * GIB,
                "cgroup",
                use=MemoryUse(anonymous=3 * GIB, file_backed=5 * GIB, reclaimable=4 * GIB),
            ),
            "8.0 GiB 16.0 GiB limited by cgroup · programs 3.0 GiB, files 5.0 GiB, given up at need 4.0 GiB",
        ),
        (
            MemoryPool("ram", PoolKind.RAM, 16 * GIB, 8 * GIB, anonymous=GIB),
            "8.0 GiB 16.0 GiB 1.0 GiB of it for more than files (ulimit -d or strict overcommit)",
        ),
        (
            MemoryPool(
                "gpu0",
                PoolKind.DEVICE,
                24 * GIB,
                20 * GIB,
                label="NVIDIA RTX 4090",
                busy=0.37,
                held_by=(Holder(7, 2 * GIB, "ollama"), Holder(8, GIB), *[Holder(9, 1, "x")] * 3),
            ),
            "20.0 GiB 24.0 GiB NVIDIA RTX 4090 · 37% busy · ollama 2.0 GiB, process 8 1.0 GiB, x 1 B and 2 more",
        ),
        (
            MemoryPool("gpu0", PoolKind.UNIFIED, 48 * GIB, 44 * GIB, "macOS", "Apple M2 Max"),
            "44.0 GiB 48.0 GiB Apple M2 Max · part of main memory · limited by macOS",
        ),
        (MemoryPool("gpu0.1", PoolKind.DEVICE, 5 * GIB, GIB), "1.0 GiB 5.0 GiB"),
    ],
)
def test_a_pool_is_told_in_words(pool: MemoryPool, told: str) -> None:
    assert shown(pool)[pool.name].endswith(told)
