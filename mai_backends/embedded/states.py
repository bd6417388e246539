"""Saved states of conversations on disk: their names, the room they take, and whether they are what was written.

A folder is all there is, and the name of a file says what must be known of it:

    CONVERSATION.FIT.TOKENS.CHECKSUM.kv   a state; both digests are cut off, the checksum is the CRC-32 of the content
    draft-PID-NUMBER                      a state the worker PID is writing
    FIT.useless                           the engine cannot make use of such states

So a state appears whole or not at all, several processes may share the folder, and nothing has to be kept in step. A
conversation can be read from its state: folder and files are for their owner alone.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

__all__ = ["SavedState", "StateStore", "common_tokens", "digest"]

log = logging.getLogger("mai.embedded.states")

KEPT_FREE = 0.05
"""Share of the disk that states leave free, whatever their budget."""

_STATE = re.compile(r"([0-9a-f]{24})\.([0-9a-f]{24})\.(\d{1,9})\.([0-9a-f]{8})\.kv")
_DRAFT = re.compile(r"draft-(\d+)-\d+")
_CHUNK = 4 << 20
_MAGIC = 0x67677371  # llama.cpp, LLAMA_STATE_SEQ_MAGIC
_LONGEST_PREAMBLE = 16


def digest(*parts: object) -> str:
    """Short for a sequence of values: 96 bits, as file names have them."""
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class SavedState:
    """A state on disk. ``used`` is when it was last saved or restored, in nanoseconds since the epoch."""

    path: Path
    conversation: str
    fit: str
    tokens: int
    checksum: str
    size: int
    used: int


class StateStore:
    """The states in ``folder``, which together take at most ``budget`` bytes; 0 keeps none.

    Conversations and fits are given as their ``digest``. Methods block on the disk, and but for ``forget`` take its
    errors for nothing saved.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self.folder = folder
        self._budget = budget
        self._numbers = count(1)
        self.ready = False

    def tidy(self) -> None:
        """Make the folder, private; remove what killed processes left behind and what exceeds the budget."""
        import psutil

        try:
            if self._budget:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.folder.chmod(0o700)
            elif not self.folder.exists():
                return
            for path in self.folder.iterdir():
                if (draft := _DRAFT.fullmatch(path.name)) and not psutil.pid_exists(int(draft[1])):
                    path.unlink(missing_ok=True)
            self._evict(0, ())
        except OSError as error:
            log.warning("states not kept", extra={"path": str(self.folder), "error": str(error)})
        else:
            self.ready = self._budget > 0

    def find(self, conversation: str, fit: str, context: int) -> SavedState | None:
        """The state of a conversation that fits, and leaves room in a window of ``context`` tokens."""
        fitting = [state for state in self._states(f"{conversation}.{fit}.*.kv") if state.tokens < context]
        return max(fitting, key=lambda state: state.used, default=None)

    def checked(self, conversation: str, fit: str, context: int) -> SavedState | None:
        """The same, read once to see that it is what was written. A damaged one is removed.

        The engine takes changed bytes for the conversation, and aborts when some are missing.
        """
        state = self.find(conversation, fit, context)
        try:
            if state is None or _checksum(state.path) == state.checksum:
                return state
        except OSError as error:
            log.info("state not readable", extra={"path": str(state.path if state else ""), "error": str(error)})
            return None
        log.warning("damaged state removed", extra={"path": str(state.path)})
        self.drop(state)
        return None

    def room_for(self, size: int, conversation: str, fit: str) -> bool:
        """Whether so many bytes may be written, once states that were not used for longest have made room.

        The older state of the same conversation does not count: it is about to be replaced.
        """
        try:
            return self.ready and self._evict(size, self._states(f"{conversation}.{fit}.*.kv"))
        except OSError as error:
            log.info("no room for a state", extra={"error": str(error)})
            return False

    def draft(self, pid: int) -> Path:
        """A file of its own for the worker ``pid`` to write to."""
        return self.folder / f"draft-{pid}-{next(self._numbers)}"

    def commit(self, draft: Path, conversation: str, fit: str, *, tokens: int, size: int) -> SavedState | None:
        """Make a draft of ``size`` bytes the state of a conversation and drop the older one; None if it is not whole.

        It is not forced to the disk: after a loss of power its checksum tells.
        """
        try:
            if tokens <= 0 or draft.stat().st_size != size:
                raise OSError(errno.ENOSPC, "the state was not written whole")
            draft.chmod(0o600)
            path = self.folder / f"{conversation}.{fit}.{tokens}.{_checksum(draft)}.kv"
            os.replace(draft, path)
            for older in self._states(f"{conversation}.{fit}.*.kv"):
                if older.path != path:
                    self.drop(older)
            self._evict(0, ())
        except OSError as error:
            log.warning("state not saved", extra={"path": str(self.folder), "error": str(error)})
            _remove(draft)
            return None
        return next(iter(self._states(path.name)), None)

    def touch(self, state: SavedState) -> None:
        """Count it as used now."""
        try:
            os.utime(state.path)
        except OSError as error:
            log.debug("state not touched", extra={"path": str(state.path), "error": str(error)})

    def drop(self, state: SavedState) -> None:
        """Remove a state."""
        _remove(state.path)

    def discard(self, pid: int) -> None:
        """Remove the drafts of a worker that has ended."""
        for path in self.folder.glob(f"draft-{pid}-*"):
            _remove(path)

    def forget(self, conversation: str) -> None:
        """Remove every state of a conversation. Raises ``OSError`` when one cannot be removed."""
        for state in self._states(f"{conversation}.*.kv"):
            state.path.unlink(missing_ok=True)

    def is_useless(self, fit: str) -> bool:
        """Whether states that fit so were found to be of no use to the engine."""
        return self._mark(fit).exists()

    def mark_useless(self, fit: str) -> None:
        """Remember that, and remove them."""
        try:
            self._mark(fit).touch(mode=0o600)
        except OSError as error:
            log.info("not remembered", extra={"path": str(self._mark(fit)), "error": str(error)})
        for state in self._states(f"*.{fit}.*.kv"):
            self.drop(state)

    def _mark(self, fit: str) -> Path:
        return self.folder / f"{fit}.useless"

    def _evict(self, size: int, sparing: Sequence[SavedState]) -> bool:
        """Remove the least recently used until ``size`` bytes more fit budget and disk; whether they do.

        Where others fill the disk so far that nothing would help, nothing is removed for its sake.
        """
        if size > self._budget:
            return False
        spared = {state.path for state in sparing}
        states = sorted((s for s in self._states("*.kv") if s.path not in spared), key=lambda state: state.used)
        disk, taken = shutil.disk_usage(self.folder), sum(state.size for state in states)
        free = int(disk.free - KEPT_FREE * disk.total)
        wanted, freed = taken + size - self._budget, 0
        if size <= free + taken:
            wanted = max(wanted, size - free)
        for state in states:
            if freed >= wanted:
                break
            self.drop(state)
            freed += state.size
        return size <= free + freed

    def _states(self, pattern: str) -> list[SavedState]:
        return list(_listed(self.folder, pattern))


def common_tokens(path: Path, prompt: Sequence[int]) -> int:
    """How many tokens at its beginning ``prompt`` shares with the state in a file. Raises ``OSError``.

    The engine writes its tokens after a short preamble of its own; 0 where it cannot be recognised.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if len(head) < 12 or (sizes := struct.unpack("<III", head))[0] != _MAGIC:
            return 0
        content = file.read(4 * min(sizes[2], len(prompt) + _LONGEST_PREAMBLE))
    written = struct.unpack(f"<{len(content) // 4}i", content[: len(content) // 4 * 4])
    return max(_common(written[skipped:], prompt) for skipped in range(_LONGEST_PREAMBLE))


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _listed(folder: Path, pattern: str) -> Iterator[SavedState]:
    for path in folder.glob(pattern):
        if (name := _STATE.fullmatch(path.name)) is None:
            continue
        try:
            status = path.stat()
        except OSError:
            continue  # another process removed it meanwhile
        yield SavedState(path, name[1], name[2], int(name[3]), name[4], status.st_size, status.st_mtime_ns)


def _checksum(path: Path) -> str:
    value = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return f"{value:08x}"


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("file not removed", extra={"path": str(path), "error": str(error)})
