"""The directions of the arrows, by import-linter, and the purity of what must be pure."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMPURE = {"os", "time", "random", "asyncio", "socket", "subprocess", "sqlite3", "httpx", "psutil", "logging", "pathlib"}


def test_arrows() -> None:
    linted = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize(
    "path",
    [*sorted((ROOT / "mai_core" / "policy").rglob("*.py")), *sorted((ROOT / "mai_strategies").rglob("*.py"))],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_pure_code_does_no_io_and_reads_no_clock(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not names & IMPURE


def test_policy_imports_the_standard_library_and_itself() -> None:
    for path in (ROOT / "mai_core" / "policy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                top = node.module.split(".")[0]
                assert top in sys.stdlib_module_names or node.module.startswith("mai_core.policy"), (path, node.module)
