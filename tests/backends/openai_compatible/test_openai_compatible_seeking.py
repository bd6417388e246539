"""A server that is only looked for: taken up when it is there and known, passed over without a word when not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap

import pytest
from openai_serving import backend_for, reply, text_of

from mai_core.errors import BackendUnavailable, EngineAbsent
from tests.standins.openai import Flavour, OpenAIStandIn


@pytest.mark.parametrize("flavour", [Flavour.LLAMA_SERVER, Flavour.VLLM])
async def test_a_server_of_a_known_kind_is_taken_up(flavour: Flavour) -> None:
    with OpenAIStandIn(flavour=flavour) as stand_in:
        backend = backend_for(stand_in.url, seek=True)
        assert await backend.models()
        assert text_of(await reply(backend))
        stand_in.stop()
        with pytest.raises(BackendUnavailable) as caught:
            await backend.models()
        assert not isinstance(caught.value, EngineAbsent), "one that was there is missed"
        await backend.close()


async def test_nobody_there_is_no_fault() -> None:
    stand_in = OpenAIStandIn()
    stand_in.start()
    url = stand_in.url
    stand_in.stop()
    backend = backend_for(url, seek=True)
    with pytest.raises(EngineAbsent, match="no server is running at"):
        await backend.models()
    assert list(await backend.loaded()) == []
    assert backend.note == ""
    await backend.close()


@pytest.mark.parametrize("says", [b"<h1>Hi</h1>\n", b'{"data": [{"id": "m", "owned_by": "somebody"}]}', b""])
async def test_another_program_at_that_port_is_left_alone(says: bytes) -> None:
    """Silent ones included: nobody waits long for what may be no server at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if says:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(says), says))
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        backend = backend_for(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seek=True)
        async with asyncio.timeout(15):
            with pytest.raises(EngineAbsent):
                await backend.models()
        await backend.close()


async def test_one_on_another_machine_is_asked_for_by_name() -> None:
    """Whoever writes a host means it: what is not there is a fault."""
    backend = backend_for("http://no-such-host.invalid", seek=True)
    with pytest.raises(BackendUnavailable) as caught:
        await backend.models()
    assert not isinstance(caught.value, EngineAbsent)
    await backend.close()


def test_looking_for_what_is_not_there_imports_nothing_heavy() -> None:
    script = """
        import asyncio, sys
        from pathlib import Path
        from mai_backends.ollama.backend import OllamaBackend
        from mai_backends.openai_compatible.backend import OpenAICompatibleBackend
        from mai_core.errors import EngineAbsent
        from mai_core.plugin.interfaces import BackendContext

        async def look(cls, **options):
            folders = {name: Path("/nonexistent") for name in ("data_dir", "cache_dir", "state_dir")}
            backend = cls(BackendContext(name="b", options=options, **folders))
            try:
                await backend.models()
            except EngineAbsent:
                await backend.close()
                return
            sys.exit("found something")

        asyncio.run(look(OpenAICompatibleBackend, base_url="http://127.0.0.1:1", seek=True))
        asyncio.run(look(OllamaBackend))
        print(*sorted({"httpx", "ollama"} & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        env={"OLLAMA_HOST": "127.0.0.1:1", "PATH": ""},
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr + done.stdout
