"""The command line: prints what the runtime says, decides nothing.

Exit codes: 0 done · 1 a ``MaiError``, told in one line · 2 wrong usage · 130 interrupted · 128 + n ended by signal n.
Anything that is not a ``MaiError`` is a defect and shows its trace.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from mai_core.errors import MaiError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run ``mai`` with these arguments, or the process's own, and exit."""
    from mai_core.cli.app import command

    try:
        command().main(None if arguments is None else list(arguments), prog_name="mai")
    except MaiError as error:
        _report(error)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has left. The interpreter's last flush must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(0)


def _report(error: MaiError) -> None:
    from mai_core.cli.output import error_line

    print(error_line(error), file=sys.stderr)
