"""Rows as LM Studio sends them, and rows as it never should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_backends.lmstudio.catalogue import (
    DEFAULT_CONTEXT,
    ModelRow,
    loaded_rows,
    model_rows,
    parameters_of,
    profile,
)
from mai_backends.lmstudio.headers import Headers
from mai_core.policy.models import Capability, Tier
from tests.standins.lmstudio import Instance, StandInModel
from tests.standins.lmstudio.calls import MALFORMED

MODEL = StandInModel(key="qwen/qwen3-8b", params="8B", vision=True, size_bytes=5_000_000_000)
ROW: dict[str, Any] = MODEL.row()

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(ROW)) | st.text(), inner),
    max_leaves=12,
)
ROWS = st.dictionaries(st.sampled_from([*sorted(ROW), "identifier", "ttlMs", "contextLength"]), JSON, max_size=8)


def test_a_row_is_a_model() -> None:
    (row,) = model_rows([ROW])
    assert row == ModelRow(
        key="qwen/qwen3-8b",
        path=MODEL.file,
        name=ROW["displayName"],
        format="gguf",
        architecture="qwen2",
        quantisation="Q4_K_M",
        size_bytes=5_000_000_000,
        parameters=8e9,
        max_context=32768,
        vision=True,
        tools=True,
    )
    model = profile(row, backend="lm", host="box", remote=True, architecture=None)
    assert (model.key, model.location, model.backend, model.host, model.remote) == (row.key, row.key, "lm", "box", True)
    assert model.capabilities == {Capability.JSON, Capability.TOOLS, Capability.VISION}
    assert (model.tier, model.origin, model.installed) == (Tier.MEDIUM, "", True)


def test_what_an_older_server_leaves_out_is_unknown() -> None:
    older = {name: ROW[name] for name in ("type", "modelKey", "path", "sizeBytes")}
    (row,) = model_rows([older])
    assert (row.quantisation, row.parameters, row.max_context) == ("", 0.0, DEFAULT_CONTEXT)
    assert profile(row, backend="lm", host="local", remote=False, architecture=None).capabilities == {Capability.JSON}


@pytest.mark.parametrize(
    "change",
    [
        {"type": "embedding"},
        {"type": "drafter"},
        {"type": None},
        {"modelKey": ""},
        {"modelKey": 7},
        {"sizeBytes": "many"},
        {"sizeBytes": -1},
        {"sizeBytes": float("nan")},
        {"deviceIdentifier": "the machine next door"},
    ],
)
def test_some_rows_are_left_out(change: dict[str, Any]) -> None:
    assert model_rows([{**ROW, **change}]) == []


@pytest.mark.parametrize("absurd", [0, 1, 17, -1, -(10**18), 10**18, 1e18, float("nan"), "32768", None, True, [4096]])
def test_a_window_nobody_can_believe_is_unknown(absurd: object) -> None:
    (row,) = model_rows([{**ROW, "maxContextLength": absurd}])
    assert row.max_context == DEFAULT_CONTEXT
    (loaded,) = loaded_rows([{**Instance("mine", MODEL, 4096).row(), "contextLength": absurd}])
    assert loaded.context == DEFAULT_CONTEXT


def test_numbers_as_large_as_there_are() -> None:
    assert [row.max_context for row in model_rows([{**ROW, "maxContextLength": 10_000_000}])] == [10_000_000]
    assert [row.max_context for row in model_rows([{**ROW, "maxContextLength": 32768.0}])] == [32768]
    assert model_rows([{**ROW, "sizeBytes": 10**18}]) == []


def test_malformed_rows_cost_only_themselves() -> None:
    keys = [row.key for row in model_rows([*MALFORMED, ROW, *MALFORMED])]
    assert keys == ["phone-model", "qwen/qwen3-8b"], "a format nobody knows is LM Studio's business"


@given(st.lists(JSON | ROWS, max_size=6), st.integers(0, 6))
def test_no_row_costs_another(rows: list[Any], place: int) -> None:
    found = model_rows([*rows[:place], ROW, *rows[place:]])
    assert sum(row.key == "qwen/qwen3-8b" for row in found) == 1
    assert len({row.key for row in found}) == len(found)
    for row in found:
        assert row.size_bytes > 0
        assert 256 <= row.max_context <= 2**30
        assert profile(row, backend="lm", host="local", remote=False, architecture=None).key


@given(st.lists(JSON | ROWS, max_size=6), st.integers(0, 6))
def test_no_loaded_row_costs_another(rows: list[Any], place: int) -> None:
    mine = Instance("mine", MODEL, 4096, ttl=60).row()
    found = loaded_rows([*rows[:place], mine, *rows[place:]])
    (row,) = (row for row in found if row.identifier == "mine")
    assert (row.context, row.ttl, row.model.key) == (4096, 60.0, "qwen/qwen3-8b")


def test_loaded_for_ever() -> None:
    (row,) = loaded_rows([Instance("mine", MODEL, 4096).row()])
    assert row.ttl is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7B", 7e9),
        ("0.5B", 5e8),
        ("135M", 1.35e8),
        ("8x7B", 5.6e10),
        ("1T", 1e12),
        ("270m", 2.7e8),
        ("big", 0),
        ("", 0),
    ],
)
def test_parameters(text: str, number: float) -> None:
    assert parameters_of(text) == pytest.approx(number)


@given(st.text(max_size=400))
def test_parameters_of_anything_are_a_number(text: str) -> None:
    assert 0 <= parameters_of(text) < float("inf")


@pytest.mark.weights
def test_the_header_of_a_file_is_read_once(tmp_path: Path, starter_gguf: Path) -> None:
    folder = tmp_path / "home/models/someone/smol"
    folder.mkdir(parents=True)
    (folder / "smol.gguf").symlink_to(starter_gguf)
    row = ModelRow(key="smol", path="someone/smol/smol.gguf", size_bytes=1)
    cache = tmp_path / "cache.json"
    assert Headers(tmp_path / "home", cache).read([row])["smol"].layers == 30
    assert "SmolLM2" in cache.read_text()
    assert Headers(tmp_path / "home", cache).read([row])["smol"].layers == 30


@pytest.mark.parametrize(
    "path", ["../outside.gguf", "a/../../outside.gguf", "/etc/passwd", "gone.gguf", "a", "x\0.gguf", ""]
)
def test_nothing_outside_of_its_folder_is_read(tmp_path: Path, path: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "outside.gguf").write_bytes(b"GGUF")
    (tmp_path / "models/broken.gguf").write_bytes(b"GGUF and no more")
    headers = Headers(tmp_path, tmp_path / "cache.json")
    rows = [ModelRow(key="it", path=path, size_bytes=1), ModelRow(key="broken", path="broken.gguf", size_bytes=1)]
    assert headers.read(rows) == {}
    assert headers.read(rows) == {}
