"""Writes what docs/backends.md has of tables and code: ``python -m tests.standins.page --write``.

Without ``--write`` the page is printed. What stands between ``<!-- generated: NAME -->`` and ``<!-- end -->`` is made
anew, all else is left as it is. A test keeps the page the same as what is printed here.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mai_backends.embedded.options import EmbeddedOptions
from mai_backends.lmstudio.options import LMStudioOptions
from mai_backends.ollama.options import OllamaOptions
from mai_backends.openai_compatible.options import Deadlines, ModelOptions, OpenAICompatibleOptions
from tests.backends.embedded import failures_of_embedded
from tests.backends.lmstudio import failures_of_lmstudio
from tests.backends.ollama import failures_of_ollama
from tests.backends.openai_compatible import failures_of_openai_compatible
from tests.standins.faults import Fault, Row

__all__ = ["ENGINES", "EXAMPLE", "OPTIONS", "PAGE", "options_table", "renewed"]

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "backends.md"
EXAMPLE = ROOT / "tests" / "examples" / "mai-markov"

# The module that holds the table of each backend, by the heading it gets; its tests lie beside it.
ENGINES = {
    "The embedded engine": failures_of_embedded,
    "LM Studio": failures_of_lmstudio,
    "Ollama": failures_of_ollama,
    "OpenAI-compatible servers": failures_of_openai_compatible,
}
# What each type of backend may be told: the models of its options, by what their names begin with.
OPTIONS: Mapping[str, Mapping[str, type[BaseModel]]] = {
    "embedded": {"": EmbeddedOptions},
    "lmstudio": {"": LMStudioOptions},
    "ollama": {"": OllamaOptions},
    "openai-compatible": {"": OpenAICompatibleOptions, "deadlines.": Deadlines, "models.ID.": ModelOptions},
}
_PART = re.compile(r"(?<=<!-- generated: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
_MEANING = re.compile(r"^(\w+) {2,}(.+(?:\n +.+)*)", re.MULTILINE)


def renewed(page: str) -> str:
    """The page with its generated parts made anew."""
    return _PART.sub(lambda part: f"{part[1]}{part[2]}\n{PARTS[part[1]]()}\n", page)


def failures() -> str:
    """One table for each backend, and why some rows are missing."""
    sections = []
    for heading, module in ENGINES.items():
        table: Mapping[Fault, Row] = module.FAILURES
        rows = ((fault, _sentence(row.does), row.noticed) for fault, row in table.items())
        sections.append(f"### {heading}\n\n{_table('Failure', 'What Mai does', 'Noticed', rows=rows)}")
        sections += _reasons(module.__doc__ or "", [fault for fault in Fault if fault not in table])
    return "\n\n".join(sections) + "\n"


def options() -> str:
    """One table for each type of backend."""
    return "\n\n".join(f"### `{kind}`\n\n{options_table(kind)}" for kind in OPTIONS) + "\n"


def options_table(kind: str) -> str:
    """Every option of a type of backend with its default and, from the docstring of its model, its meaning."""
    return _table("option", "default", "meaning", rows=_options(OPTIONS[kind]))


def example() -> str:
    """The module of the example."""
    return f"```python\n{(EXAMPLE / 'mai_markov.py').read_text(encoding='utf-8')}```\n"


PARTS: Mapping[str, Callable[[], str]] = {
    "options": options,
    "failures": failures,
    "example": example,
}


def _options(models: Mapping[str, type[BaseModel]]) -> Iterator[tuple[str, str, str]]:
    for prefix, model in models.items():
        meanings = {name: " ".join(words.split()) for name, words in _MEANING.findall(inspect.getdoc(model) or "")}
        for name, field in model.model_fields.items():
            if f"{name}." not in models:  # else its own options are told
                yield f"`{prefix}{name}`", _default(field), meanings[name]


def _default(field: FieldInfo) -> str:
    """A default as it is written in a settings file."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`" if value or value == 0 else "none"


def _reasons(docstring: str, left_out: list[Fault]) -> list[str]:
    """The paragraphs of a docstring that speak of faults the table has not, in a person's words."""
    told = [
        paragraph.strip() for paragraph in docstring.split("\n\n") if any(fault.name in paragraph for fault in left_out)
    ]
    for fault in left_out:
        told = [re.sub(rf"`*{fault.name}`*", f"*{fault.value}*", paragraph) for paragraph in told]
    return [textwrap.fill(paragraph, 118, break_on_hyphens=False) for paragraph in told]


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:].rstrip(".") + "."


def _table(*heads: str, rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown; a docstring's double backticks become single ones."""
    cells = [[cell.replace("``", "`").replace("|", "\\|") for cell in row] for row in (heads, *rows)]
    cells.insert(1, ["---"] * len(heads))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


if __name__ == "__main__":
    written = renewed(PAGE.read_text(encoding="utf-8"))
    if "--write" in sys.argv:
        PAGE.write_text(written, encoding="utf-8")
    else:
        print(written, end="")
