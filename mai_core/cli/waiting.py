"""One discreet line on standard error while something takes time; nothing at all where that is not a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mai_core.cli.output import err, ink, is_fancy, size

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from mai_core.plugin.interfaces import FetchProgress

__all__ = ["Waiting"]


class Waiting:
    """A spinner or a progress bar that leaves no trace once it is stopped. Stop it before printing anything."""

    def __init__(self) -> None:
        self._enabled = is_fancy(sys.stderr)
        self._shown: tuple[str, Progress, TaskID] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def spin(self, text: str) -> None:
        """Show a spinner and what is going on."""
        self._update("spinner", text, None, None)

    def share(self, text: str, share: float) -> None:
        """Show how far something of unknown size has come, from 0 to 1."""
        self._update("share", text, share, 1.0)

    def fetch(self, name: str, progress: FetchProgress) -> None:
        """Show a download: bar, bytes, rate and the time that is left."""
        if progress.total:
            self._update("bytes", f"{progress.stage} {name}", progress.done, progress.total)
        else:
            self.spin(f"{progress.stage} {name}…")

    def stop(self) -> None:
        """Take the line away."""
        if self._shown is not None:
            self._shown[1].stop()
            self._shown = None

    def _update(self, kind: str, text: str, done: float | None, total: float | None) -> None:
        if not self._enabled:
            return
        if self._shown is None or self._shown[0] != kind:
            self.stop()
            progress = _progress(kind)
            self._shown = (kind, progress, progress.add_task(text, total=total))
            progress.start()
        _, progress, task = self._shown
        if progress.tasks[0].description != text and kind == "bytes":
            progress.reset(task, description=text, total=total)
        progress.update(task, description=text, completed=done, total=total)


def _progress(kind: str) -> Progress:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Bytes a second, in the units of the sizes beside it."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return ink((f"{size(speed)}/s" if speed else "", "dim"))

    what = TextColumn("{task.description}", style="dim", markup=False)
    bar = BarColumn(bar_width=24, complete_style="cyan", finished_style="cyan", style="bright_black")
    columns: dict[str, tuple[ProgressColumn, ...]] = {
        "spinner": (SpinnerColumn("dots", style="cyan"), what),
        "share": (SpinnerColumn("dots", style="cyan"), what, bar),
        "bytes": (
            what,
            bar,
            DownloadColumn(binary_units=True),
            Rate(),
            TimeRemainingColumn(compact=True),
        ),
    }
    return Progress(*columns[kind], console=err(), transient=True, refresh_per_second=12)
