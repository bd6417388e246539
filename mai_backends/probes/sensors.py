"""Asking sensors one by one: one that fails leaves the others their say."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mai_backends.probes.kernel import FAULTS

__all__ = ["Sensors"]

T = TypeVar("T")


class Sensors:
    """The sensors of one sample. ``faults`` are those left out, each with the reason."""

    def __init__(self) -> None:
        self._faults: list[str] = []

    @property
    def faults(self) -> tuple[str, ...]:
        """One line for each sensor that failed or told what cannot be."""
        return tuple(self._faults)

    def ask(self, sensor: str, read: Callable[[], T]) -> T | None:
        """What ``read`` returns; None when it fails."""
        try:
            return read()
        except FAULTS as error:
            self.leave_out(sensor, str(error) or type(error).__name__)
            return None

    def leave_out(self, sensor: str, reason: str) -> None:
        """Name a sensor that did not tell what it should have."""
        self._faults.append(f"{sensor}: {reason}")
