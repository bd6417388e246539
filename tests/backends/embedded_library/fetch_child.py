"""Fetches one model in a process of its own: fetch_child.py ROOT SOURCE [MOST_BYTES_A_FILE]."""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from mai_backends.embedded.library import Library
from mai_backends.transport import Patience
from mai_core.errors import MaiError
from mai_core.plugin.interfaces import BackendContext


async def main(root: Path, source: str) -> str:
    context = BackendContext(
        name="embedded", data_dir=root / "data", cache_dir=root / "cache", state_dir=root / "state"
    )
    library = Library(context, scan_other_tools=False, environment={}, home=root, patience=Patience(first_delay=0.01))
    try:
        return (await library.fetch(source)).key
    except MaiError as error:
        return f"{type(error).__name__}: {error}"


if len(sys.argv) > 3:
    limit = int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
print(asyncio.run(main(Path(sys.argv[1]), sys.argv[2])), flush=True)
