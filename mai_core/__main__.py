"""``python -m mai_core`` is ``mai``."""

from __future__ import annotations

from mai_core.cli import main

if __name__ == "__main__":
    main()
