"""Writes ``docs/cli.md``: ``python -m mai_core.cli.manual > docs/cli.md``. A test keeps the two the same."""

from __future__ import annotations

from typing import Any

from mai_core.cli.app import COMMANDS, command
from mai_core.cli.lazy import NO_PLUGINS
from mai_core.cli.slash import COMMANDS as SLASH_COMMANDS

__all__ = ["manual"]

WIDTH = 88

INTRODUCTION = """# The command line

<!-- Written by `python -m mai_core.cli.manual > docs/cli.md`. Do not edit: change the help of the command instead. -->

Standard output gets results and nothing else: the answer, the table, the JSON. Progress, remarks and errors go to
standard error, and only a terminal gets colours, spinners and progress bars; `NO_COLOR` and `TERM=dumb` switch them off
there too. A failure is one line, `mai: what went wrong → what to do about it`.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | it could not be done, for the reason given; or whoever read the output has left |
| 2 | wrong usage |
| 130 | interrupted with Ctrl-C |
| 129, 143 | ended by SIGHUP, SIGTERM: engines stopped, conversation stored |

`--json` prints one document: the frozen values of `mai_core`, field by field, as their docstrings describe them.
Enumerations are their values, sets sorted lists, and infinite numbers `null`. `mai models` adds `fit` to every row and
`mai chat` adds `text`, the reply. New fields may come; those that exist stay.

`python -m mai_core` is the same program.
"""


def manual() -> str:
    """The manual as Markdown."""
    root = command()
    parts = [INTRODUCTION, _section("mai", root, _context(root, "mai"), level=2)]
    for name in COMMANDS:
        parts += _sections(f"mai {name}", type(root).load(name), 2)
    parts.append("## Inside a conversation\n\n| command | what it does |\n|---|---|")
    rows = [(f"/{c.usage}", c.help) for c in SLASH_COMMANDS.values()]
    rows += [
        ("//text", "say something that begins with a slash"),
        ("Alt-Enter", "a new line; pasting several lines works too"),
        ("Ctrl-C", "stop the reply; at the prompt, clear it"),
        ("Ctrl-D", "leave"),
    ]
    parts[-1] += "".join(f"\n| `{usage}` | {help} |" for usage, help in rows)
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _sections(path: str, found: Any, level: int) -> list[str]:
    context = _context(found, path)
    parts = [_section(path, found, context, level)]
    for name, inner in getattr(found, "commands", {}).items():
        parts += _sections(f"{path} {name}", inner, level + 1)
    return parts


def _context(found: Any, path: str) -> Any:
    context = found.context_class(
        found, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH, help_option_names=["--help", "-h"]
    )
    context.meta.update(NO_PLUGINS)
    return context


def _section(path: str, found: Any, context: Any, level: int) -> str:
    return f"{'#' * level} {path}\n\n```text\n{found.get_help(context).strip()}\n```"


if __name__ == "__main__":
    print(manual(), end="")
