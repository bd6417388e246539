"""Notes by which the running Mai processes of one person know of each other."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypedDict, Unpack

import psutil

from mai_core.policy.models import LoadedModel
from mai_core.runtime.store.codec import decode, encode

__all__ = ["NoteChanges", "Presence", "ProcessNote", "ProcessState", "others"]

log = logging.getLogger("mai.presence")

ProcessState = Literal["idle", "loading", "answering"]

# A process's start is read relative to a boot time that follows the system clock, so it shifts a little as that is set.
SAME_START_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessNote:
    """What one Mai process is doing.

    ``born`` is when the operating system started the process and ``started`` when Mai began its work in it, both in
    seconds since the epoch. ``model`` is the key of the model in use.
    """

    pid: int
    born: float
    command: str = ""
    started: float = 0.0
    state: ProcessState = "idle"
    model: str | None = None
    conversation: str | None = None
    loaded: tuple[LoadedModel, ...] = ()


class NoteChanges(TypedDict, total=False):
    """The fields of a note that change while the process runs."""

    state: ProcessState
    model: str | None
    conversation: str | None
    loaded: tuple[LoadedModel, ...]


class Presence:
    """Keeps this process's note up to date in ``folder``, where only this person can read it.

    A note is a courtesy to other terminals: when it cannot be written that is logged, and nothing else suffers.
    Usable from several threads, and as a context manager.
    """

    def __init__(self, folder: Path, *, pid: int | None = None, command: str = "", started: float = 0.0) -> None:
        process = psutil.Process(pid)
        born = process.create_time()
        self._file = folder / f"{process.pid}.json"
        self._note = ProcessNote(pid=process.pid, born=born, command=command, started=started or born)
        self._lock = threading.Lock()
        self._closed = False
        self._write()

    @property
    def note(self) -> ProcessNote:
        """The note as it stands."""
        return self._note

    def update(self, **changes: Unpack[NoteChanges]) -> None:
        """Replace the note when that changes it. After ``close`` nothing is written any more."""
        with self._lock:
            changed = replace(self._note, **changes)
            if changed != self._note and not self._closed:
                self._note = changed
                self._write()

    def close(self) -> None:
        """Remove the note."""
        with self._lock:
            self._closed = True
            _remove(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _write(self) -> None:
        draft = self._file.with_suffix(".tmp")
        try:
            draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.parent.chmod(0o700)
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
                file.write(encode(self._note))
            draft.replace(self._file)
        except OSError as error:
            log.warning("the note of this process cannot be written", extra={"error": str(error)})


def others(folder: Path) -> list[ProcessNote]:
    """The notes of all processes that are alive, the longest running first; this one's too when it has left one.

    Notes that dead processes left are removed; files that are no note are left alone.
    """
    alive = []
    for file, note in _notes(folder):
        if _is_alive(note):
            alive.append(note)
        else:
            _remove(file)
            _remove(file.with_suffix(".tmp"))
    return sorted(alive, key=lambda note: (note.started, note.pid))


def _notes(folder: Path) -> Iterator[tuple[Path, ProcessNote]]:
    for file in sorted(folder.glob("*.json")):
        try:
            note = decode(ProcessNote, file.read_bytes())
        except (OSError, ValueError):
            continue
        if file.name == f"{note.pid}.json":
            yield file, note


def _is_alive(note: ProcessNote) -> bool:
    """Whether the very process that wrote the note runs, not a later one that got the same number."""
    try:
        process = psutil.Process(note.pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - note.born) < SAME_START_SECONDS
    except (psutil.Error, ValueError, OverflowError):
        return False


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        log.warning("a note cannot be removed", extra={"file": str(file), "error": str(error)})
