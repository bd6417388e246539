"""The table of all settings, made of the model and the comments of ``config/mai.yaml``.

``python -m mai_core.settings.reference > docs/settings.md`` writes the page anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mai_core.settings.document import Where, parse_document
from mai_core.settings.model import Settings
from mai_core.settings.overrides import variable
from mai_core.settings.problems import dotted
from mai_core.settings.schema import slot_at
from mai_core.settings.shipped import shipped_file
from mai_core.settings.spans import render

__all__ = ["comments", "page"]

_HEAD = """# Settings

Every setting, its default and what it means. `config/mai.yaml` holds the same with the same words.

Your own settings go into the file `mai config path` names; write only what you change. Later layers win: built-in <
your file < environment < command line.

```console
$ mai config set selection.arbiter first     # writes your file and keeps your comments
$ MAI_SELECTION__ARBITER=first mai chat      # two underscores between the levels
$ mai --set selection.arbiter=first chat
$ mai config show                            # every value and where it comes from
```

In variables and on the command line, values are written as in the file: `[a, b]`, `true`, `null`, `256 MiB`; text needs
no quotes. A variable that is empty counts as not set. `MAI_HOME` (the folder everything is kept in) and `MAI_TEST_*`
are no settings; any other `MAI_` variable that names no setting is an error.

Backends, probes and the options of strategies and transfers carry names of your choice: `backends.NAME.type`,
`selection.options.NAME.OPTION`. In a variable, write `_` for the hyphen in a name.
"""


def page() -> str:
    """The page ``docs/settings.md``."""
    text = shipped_file("mai.yaml").read_text(encoding="utf-8")
    document = parse_document(text, "mai.yaml")
    meanings = comments(text, document.lines)
    parts = [_HEAD]
    for name in Settings.model_fields:
        rows = [where for where in _settings(document.data) if where[0] == name]
        about = "" if rows == [(name,)] else f"{meanings[(name,)]}\n\n"
        parts.append(f"## {name}\n\n{about}{_table(rows, document.data, meanings)}")
    return "\n".join(parts)


def comments(text: str, lines: Mapping[Where, int]) -> dict[Where, str]:
    """What the comments of a settings file say of each key: beside it, or else in the lines above it."""
    written = text.splitlines()
    found: dict[Where, str] = {}
    for where, number in lines.items():
        if isinstance(where[-1], str):
            found[where] = _beside(written[number - 1]) or _above(written, number - 1)
    return found


def _beside(line: str) -> str:
    return line.partition(" # ")[2].strip()


def _above(lines: Sequence[str], index: int) -> str:
    said: list[str] = []
    while index > 0 and lines[index - 1].lstrip().startswith("#"):
        index -= 1
        said.insert(0, lines[index].lstrip(" #").rstrip())
    return " ".join(said)


def _settings(data: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _settings(value, (*above, name))
        else:
            yield (*above, name)


def _table(rows: Sequence[tuple[str, ...]], data: Mapping[str, Any], meanings: Mapping[Where, str]) -> str:
    lines = ["| setting | default | what it takes | meaning |", "|---|---|---|---|"]
    for where in rows:
        value: Any = data
        for part in where:
            value = value[part]
        slot = slot_at(Settings, where)
        takes = slot.allowed() if slot is not None else ""
        cells = (f"`{dotted(where)}`<br>`{variable(where)}`", f"`{render(value)}`", takes, meanings[where])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
