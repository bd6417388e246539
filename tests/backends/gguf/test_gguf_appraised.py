"""A model elsewhere is told by its header: little is read, and what is wrong is said shortly."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gguf_bytes import header
from range_server import RangeServer
from test_gguf_remote import HEADER, METADATA, ROWS, SIZE

from mai_backends.embedded.library import Library
from mai_backends.transport import Patience
from mai_core.errors import FetchError, UnknownModel
from mai_core.plugin.interfaces import BackendContext

QUICK = Patience(first_delay=0.01, longest_delay=0.05, connect_timeout=2.0, read_timeout=5.0)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    context = BackendContext(
        name="embedded", data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", state_dir=tmp_path / "state"
    )
    return Library(context, environment={}, home=tmp_path, patience=QUICK)


@pytest.mark.parametrize("ranges", [True, False])
async def test_only_the_header_is_read(server: RangeServer, library: Library, tmp_path: Path, ranges: bool) -> None:
    written, size = header(METADATA, [*ROWS, ("blk.0.ffn_up.weight", (1 << 20, 1 << 16), "F16")])
    url = server.serve("/far.gguf", written, size=size, ranges=ranges)
    found = await library.appraise(url)
    assert (found.key, found.size_bytes, found.installed, found.max_context) == ("far", size, False, 4096)
    assert found.architecture is not None
    await asyncio.sleep(0.1)
    assert server.sent < len(written) + (16 << 20) < size
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


async def test_a_header_that_breaks_off_is_taken_up(server: RangeServer, library: Library) -> None:
    url = server.serve("/far.gguf", HEADER, size=SIZE, drops=[100_000, 10])
    assert (await library.appraise(url)).size_bytes == SIZE


async def test_what_cannot_be_told_is_said_with_a_remedy(server: RangeServer, library: Library) -> None:
    for body in (b"<!doctype html>", b"GGUF" + b"\xff" * 4096):
        url = server.serve("/bad.gguf", body)
        with pytest.raises(FetchError, match="no usable model") as caught:
            await library.appraise(url)
        assert caught.value.remedy
    with pytest.raises(FetchError):
        await library.appraise(server.serve("/here.gguf", HEADER).replace("here", "absent"))
    with pytest.raises(UnknownModel):
        await library.appraise("nobody-knows")
