"""What one call of ``mai`` works with: settings, plugins, Mai itself, and a loop that ends cleanly on signals."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from mai_core.cli.output import note

if TYPE_CHECKING:
    from mai_core.paths import Paths
    from mai_core.plugin.registry import PluginRegistry
    from mai_core.runtime.mai import AsyncMai
    from mai_core.runtime.store import Store
    from mai_core.settings import LoadedSettings, Settings

__all__ = ["Invocation", "run"]

T = TypeVar("T")


@dataclass(kw_only=True)
class Invocation:
    """The options that stand before the command, and what follows from them; everything is made when first used."""

    overrides: tuple[str, ...] = ()
    verbose: bool = False
    trace_plugins: bool = False
    block: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @classmethod
    def of(cls, ctx: typer.Context) -> Invocation:
        """This call's, whichever command asks; one without options while a shell completes a line."""
        found = ctx.find_object(cls)
        return cls() if found is None else found

    @cached_property
    def paths(self) -> Paths:
        """Where this person's files are."""
        from mai_core.paths import Paths

        return Paths.of(self.environment)

    @cached_property
    def settings(self) -> LoadedSettings:
        """The settings, with ``--set`` on top. Raises ``SettingsError``."""
        from mai_core.settings import load_settings

        return load_settings(self.paths, self.environment, self.overrides)

    def registry(self, *, hasty: bool = False, settings: Settings | None = None) -> PluginRegistry:
        """The plugins, without those blocked by the settings or ``--block``.

        ``settings`` take the place of this call's own. ``hasty`` leaves the settings unread where a glance shows that
        they block nothing: ``mai --help`` asks so.
        """
        from mai_core.plugin.registry import PluginRegistry

        # What goes wrong in a plugin is told by `mai plugins` and the log, never by logging's last resort.
        logging.getLogger("mai").addHandler(logging.NullHandler())
        trace = (lambda line: print(f"plugin {line}", file=sys.stderr)) if self.trace_plugins else None
        if settings is not None:
            blocked = settings.plugins.blocked
        else:
            blocked = () if hasty and not self._may_block() else self.settings.settings.plugins.blocked
        return PluginRegistry.discover(blocked=(*blocked, *self.block), trace=trace)

    def _may_block(self) -> bool:
        texts = [*self.overrides, *(name.lower() for name in self.environment if name.startswith("MAI_PLUGINS"))]
        with suppress(OSError):
            texts.append(self.paths.settings_file.read_text(encoding="utf-8", errors="replace"))
        return any("blocked" in text for text in texts)

    @asynccontextmanager
    async def mai(self) -> AsyncIterator[AsyncMai]:
        """Mai, opened for this command and shut down after it; what it does is logged."""
        from mai_core.runtime.mai import AsyncMai

        with self.log():
            registry = self.registry()
            mai = await AsyncMai.open(self.settings, paths=self.paths, environment=self.environment, registry=registry)
            try:
                yield mai
            finally:
                await mai.shutdown()

    @contextmanager
    def store(self) -> Iterator[Store]:
        """What Mai remembers, for commands that need no model."""
        from mai_core.runtime.store import Store

        store = Store.open(self.paths.database, now=time.time)
        try:
            yield store
        finally:
            store.close()

    @contextmanager
    def log(self) -> Iterator[None]:
        """Keep the log while this lasts; one that cannot be kept is told, and Mai goes on without."""
        from mai_core.runtime.logs import configure

        with configure(self.paths.log_file, self.settings.settings.log, self.verbose) as session:
            if session.warning:
                note(session.warning)
            yield


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command's work in an event loop that a signal ends in order.

    SIGTERM and SIGHUP cancel the work, so that engines are stopped and what was said is stored; the process then
    exits with 128 + the signal's number. Ctrl-C does the same with 130.
    """
    import asyncio

    caught: list[int] = []

    async def guarded() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop(number: int) -> None:
            caught.append(number)
            task.cancel()

        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop, number)
        return await main()

    try:
        return asyncio.run(guarded())
    except (asyncio.CancelledError, OSError):
        # An OSError too: after a hang-up there is no terminal left to write the last line to.
        if not caught:
            raise
        raise typer.Exit(128 + caught[0]) from None
    except KeyboardInterrupt:
        raise typer.Exit(128 + signal.SIGINT) from None
