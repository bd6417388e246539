"""Telling plugins what happened, without letting any of them disturb a turn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mai_core.plugin.faults import FaultBook, one_line

__all__ = ["Observer", "Observers"]

FAILURES_ALLOWED = 3
SLOW_SECONDS = 0.1


@dataclass(slots=True)
class Observer:
    """One plugin's function for one event, and how it has behaved."""

    plugin: str
    hook: str
    call: Callable[..., Any]
    failures: int = 0
    told_slow: bool = False


class Observers:
    """Calls the observers of one event one by one.

    The first failure and the first slow answer (over 0.1 s) of an observer are reported; after three failures it
    is left out.
    """

    def __init__(self, observers: Sequence[Observer], faults: FaultBook, clock: Callable[[], float]) -> None:
        self._observers = list(observers)
        self._faults = faults
        self._clock = clock

    def tell(self, value: object) -> None:
        """Call every observer that is still taking part."""
        for observer in tuple(self._observers):
            started = self._clock()
            try:
                _call(observer, value)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - the fence around third-party code; reported below
                self._failed(observer, error)
            self._measured(observer, self._clock() - started)

    def _failed(self, observer: Observer, error: BaseException) -> None:
        observer.failures += 1
        if observer.failures == 1:
            self._faults.report(observer.plugin, observer.hook, one_line(error), cause=error)
        if observer.failures == FAILURES_ALLOWED:
            self._observers.remove(observer)
            self._faults.report(observer.plugin, observer.hook, f"left out after {FAILURES_ALLOWED} failures")

    def _measured(self, observer: Observer, seconds: float) -> None:
        if seconds > SLOW_SECONDS and not observer.told_slow:
            observer.told_slow = True
            self._faults.report(observer.plugin, observer.hook, f"took {seconds * 1000:.0f} ms: the turn waited for it")


def _call(observer: Observer, value: object) -> None:
    result = observer.call(value)
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError(f"{observer.hook} must be a plain function, not async: it was never awaited")
