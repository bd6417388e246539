"""What is known of each plugin and of what went wrong in it; the fence around other people's code."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["FaultBook", "PluginFault", "PluginInfo", "PluginStatus", "one_line"]


class PluginStatus(StrEnum):
    """Whether a plugin takes part."""

    OK = "ok"
    BLOCKED = "blocked"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFault:
    """Something a plugin did wrong: while it was imported, registered, called or constructed (``stage``).

    ``error`` is one line for a person; ``traceback`` is empty when nothing was raised.
    """

    plugin: str
    stage: str
    error: str
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """One plugin as ``mai plugins`` shows it.

    name           of its entry point
    distribution, version   the installed package it came with; empty for one that was handed over as an object
    module         where its hooks are
    registers      names by kind: ``backends``, ``probes``, ``strategies``, ``transfers``, and ``hooks`` for the rest
    """

    name: str
    distribution: str = ""
    version: str = ""
    module: str = ""
    status: PluginStatus = PluginStatus.OK
    registers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    faults: tuple[PluginFault, ...] = ()


def one_line(error: BaseException) -> str:
    """The class of an exception and the first line of what it says."""
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


class FaultBook:
    """Every fault so far, each told once to the listener. May be used from any thread."""

    def __init__(self, listener: Callable[[PluginFault], None] | None = None) -> None:
        self._listener = listener
        self._faults: dict[PluginFault, None] = {}
        self._lock = threading.Lock()

    @property
    def faults(self) -> tuple[PluginFault, ...]:
        """Oldest first."""
        with self._lock:
            return tuple(self._faults)

    def report(self, plugin: str, stage: str, error: str, *, cause: BaseException | None = None) -> None:
        """Note a fault; the same one again changes nothing."""
        trace = "".join(traceback.format_exception(cause)) if cause is not None else ""
        fault = PluginFault(plugin=plugin, stage=stage, error=error, traceback=trace)
        with self._lock:
            if fault in self._faults:
                return
            self._faults[fault] = None
        if self._listener is not None:
            self._listener(fault)

    @contextmanager
    def isolated(self, plugin: str, stage: str) -> Iterator[None]:
        """Run a plugin's code: whatever it raises, ``SystemExit`` included, becomes a fault. Ctrl-C goes through."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the fence around third-party code; reported with its plugin
            self.report(plugin, stage, one_line(error), cause=error)
