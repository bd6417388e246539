"""Whether the engine can use a GPU is asked of the engine, once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mai_backends.embedded.devices import Devices

ENGINE = """
import enum

with open({asked!r}, "a") as file:
    file.write("asked ")

class Type(enum.Enum):
    GGML_BACKEND_DEVICE_TYPE_CPU = 0
    GGML_BACKEND_DEVICE_TYPE_IGPU = 2

def get_device_info():
    return [{{"type": Type.{one}}}]
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """An engine that answers so, before the real one on the path of this process and its children."""
    package = folder / "xllamacpp"
    package.mkdir()
    (package / "__init__.py").write_text(source)
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.parametrize(
    ("one", "can"), [("GGML_BACKEND_DEVICE_TYPE_CPU", False), ("GGML_BACKEND_DEVICE_TYPE_IGPU", True)]
)
async def test_is_asked_once(one: str, can: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    install(tmp_path, monkeypatch, ENGINE.format(asked=str(asked), one=one))
    for _ in range(2):
        assert await Devices(tmp_path / "devices.json").any() is can
    assert asked.read_text() == "asked "


async def test_one_that_does_not_answer_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "raise OSError('libcuda.so.1: cannot open shared object file')")
    devices = Devices(tmp_path / "devices.json")
    assert await devices.any() is False
    assert not (tmp_path / "devices.json").exists(), "the next process may ask again"


async def test_the_real_one_tells(tmp_path: Path) -> None:
    await Devices(tmp_path / "devices.json").any()
    assert (tmp_path / "devices.json").exists(), "what it told is kept"
