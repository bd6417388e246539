"""A machine that exists only in a test: memory that runs out, and a probe that reads it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from mai_core.errors import OutOfMemory
from mai_core.plugin.interfaces import ProbeContext
from mai_core.policy.resources import Cpu, HostReading, MemoryPool, PoolKind

__all__ = ["FakeMachine", "FakeProbe"]


@dataclass(slots=True)
class FakeMachine:
    """``total`` bytes of main memory, of which ``others`` are used by programs that are not Mai's."""

    total: int = 16 * 2**30
    others: int = 0
    name: str = "local"
    cpu: Cpu = field(default_factory=lambda: Cpu(4))
    taken: dict[str, int] = field(default_factory=dict)

    @property
    def available(self) -> int:
        """Bytes nobody has taken."""
        return max(0, self.total - self.others - sum(self.taken.values()))

    def take(self, owner: str, size: int) -> None:
        """Give ``size`` bytes to ``owner``. Raises ``OutOfMemory`` when there is less."""
        if size > self.available:
            raise OutOfMemory(f"{owner} needs {size} bytes, {self.available} are available")
        self.taken[owner] = self.taken.get(owner, 0) + size

    def free(self, owner: str) -> None:
        """Get everything back from ``owner``."""
        self.taken.pop(owner, None)

    def reading(self) -> HostReading:
        """What a perfect probe would read now."""
        pool = MemoryPool("ram", PoolKind.RAM, self.total, self.available)
        return HostReading(host=self.name, pools=(pool,), cpu=self.cpu)


class FakeProbe:
    """A probe with a script.

    Options: ``machine``, whose readings it gives; or ``script``, what successive samples do: give a ``HostReading``,
    raise an exception, or block for a number of seconds before reading the machine. The last entry repeats.
    """

    kind: ClassVar[str] = "fake"

    def __init__(self, context: ProbeContext) -> None:
        self.name = context.name
        self.samples = 0
        self._machine: FakeMachine = context.options.get("machine") or FakeMachine()
        self._script: Sequence[HostReading | Exception | float] = tuple(context.options.get("script", ()))

    @classmethod
    def scripted(cls, *script: HostReading | Exception | float, name: str = "fake") -> FakeProbe:
        """A probe that follows a script."""
        return cls(ProbeContext(name=name, options={"script": script}))

    def sample(self) -> HostReading:
        """The next entry of the script, or what the machine has now."""
        self.samples += 1
        if not self._script:
            return self._machine.reading()
        step = self._script[min(self.samples, len(self._script)) - 1]
        if isinstance(step, HostReading):
            return step
        if isinstance(step, Exception):
            raise step
        time.sleep(step)
        return self._machine.reading()
