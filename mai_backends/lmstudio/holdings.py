"""What the Mai processes of this person hold in LM Studio: a note on disk for each instance, with whose it is.

A process that is killed unloads nothing. Its notes are what tells its instances from those of processes that live, and
from everybody else's, which have no note at all.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mai_backends.lmstudio.processes import Process
from mai_core.policy.models import LoadedModel

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["Holdings"]

log = logging.getLogger("mai.lmstudio")

BETWEEN = "~"
"""Stands between instance and process in the name of a note, and in no identifier of ours."""

FORGOTTEN_AFTER = 3600.0
"""Seconds after which a dead process's note of an instance that is not there is deleted: a load may still be ending."""


class Holdings:
    """The notes in ``folder``. Whose a note is stands in its name: it changes hands by being renamed, to one only.

    Notes that cannot be read or written cost what they are for, and nothing else: the instance then waits for its TTL.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, loaded: LoadedModel) -> None:
        """This process holds ``loaded``, or is about to."""
        file = self._mine(loaded.instance)
        draft = file.with_suffix(".tmp")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.write_bytes(_notes().dump_json(loaded))
            draft.replace(file)
        except OSError as error:
            log.warning("what is loaded cannot be noted", extra={"instance": loaded.instance, "why": str(error)})

    def drop(self, instance: str) -> None:
        """This process no longer holds it."""
        _remove(self._mine(instance))

    def left(self, instances: Iterable[str]) -> dict[str, LoadedModel]:
        """Those of ``instances`` that were held by processes of this machine that have ended."""
        wanted = set(instances)
        found: dict[str, LoadedModel] = {}
        for file, instance in self._of_the_dead():
            if instance in wanted:
                try:
                    note = _notes().validate_json(file.read_bytes())
                except (OSError, ValueError) as error:
                    log.info("note not read", extra={"instance": instance, "why": type(error).__name__})
                    continue
                if note.instance == instance:
                    found[instance] = note
        return found

    def claim(self, instance: str) -> bool:
        """Take over what a dead process held; False when another process was faster."""
        for file, of in self._of_the_dead():
            if of == instance:
                try:
                    file.rename(self._mine(instance))
                except OSError:
                    continue
                return True
        return False

    def tidy(self, listed: Collection[str]) -> None:
        """Delete old notes that dead processes left of what is not ``listed`` any more."""
        for file, instance in self._of_the_dead():
            try:
                old = time.time() - file.stat().st_mtime > FORGOTTEN_AFTER
            except OSError:
                continue
            if old and instance not in listed:
                _remove(file)

    def _mine(self, instance: str) -> Path:
        return self._folder / f"{instance}{BETWEEN}{Process.this()}.json"

    def _of_the_dead(self) -> Iterator[tuple[Path, str]]:
        dead: dict[Process, bool] = {}
        try:
            names = sorted(os.listdir(self._folder))
        except OSError:
            return
        for name in names:
            instance, _, whose = name.removesuffix(".json").rpartition(BETWEEN)
            process = Process.of(whose) if name.endswith(".json") else None
            if instance and process is not None and dead.setdefault(process, process.is_dead):
                yield self._folder / name, instance


@lru_cache(maxsize=1)
def _notes() -> TypeAdapter[LoadedModel]:
    from pydantic import TypeAdapter

    return TypeAdapter(LoadedModel)


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        log.info("note not deleted", extra={"file": file.name, "why": str(error)})
