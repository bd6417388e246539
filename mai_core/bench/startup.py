"""``mai --help`` beside the help of a bare typer program, as whole processes in turn.

python -m mai_core.bench.startup
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from mai_core.bench.timing import medians

__all__ = ["main"]

BARE = """
import typer
app = typer.Typer()
@app.command()
def one(): "One command."
@app.command()
def two(): "Another."
app()
"""
ROUNDS = 15


def main() -> None:
    """Print both medians and their ratio."""
    run = partial(subprocess.run, stdout=subprocess.DEVNULL, check=True)
    bare, mai = medians(
        [
            partial(run, [sys.executable, "-c", BARE, "--help"]),
            partial(run, [sys.executable, "-m", "mai_core", "--help"]),
        ],
        ROUNDS,
    )
    print(f"bare typer {1000 * bare:.0f} ms, mai --help {1000 * mai:.0f} ms, ratio {mai / bare:.2f} (aim: 1.5)")


if __name__ == "__main__":
    main()
