"""What Mai learns about the models on an Ollama server's disk."""

from __future__ import annotations

from pathlib import Path

from ollama_talk import PLAN, backend_for

from mai_backends.ollama.client.rows import Installed
from mai_backends.ollama.facts import facts_from, parameters_of
from mai_core.policy.models import Architecture, Capability, ModelProfile, like_layers
from tests.standins.ollama import OllamaStandIn, StandInModel


async def listed(server: OllamaStandIn, folder: Path, **options: object) -> dict[str, ModelProfile]:
    async with backend_for(server, folder, **options) as backend:
        return {profile.key: profile for profile in await backend.models()}


async def test_a_model_with_all_its_facts(server: OllamaStandIn, tmp_path: Path) -> None:
    model = server.models["llama3.2:latest"]
    profile = (await listed(server, tmp_path))[model.name]
    assert profile.location == model.name
    assert (profile.backend, profile.host, profile.remote, profile.origin) == ("ollama", "local", False, "ollama")
    assert (profile.size_bytes, profile.parameters) == (model.size, 1235814432)
    assert (profile.quantisation, profile.max_context) == ("Q4_K_M", 8192)
    assert profile.capabilities == {Capability.TOOLS, Capability.JSON}
    assert profile.sha256 == model.weights
    assert profile.architecture == Architecture(
        name="llama",
        groups=like_layers(16, 1024),
        order=(0,) * 16,
        embedding=2048,
        feed_forward=8192,
        vocabulary=128256,
        heads=32,
        attention=2048,
        tokenizer="gpt2",
    )


async def test_only_models_that_converse(server: OllamaStandIn, tmp_path: Path) -> None:
    assert set(await listed(server, tmp_path)) == {"llama3.2:latest", "qwen3:4b", "llava:7b"}


async def test_what_leaves_the_machine_is_left_out_unless_asked_for_and_then_is_all_there_is(
    server: OllamaStandIn, tmp_path: Path
) -> None:
    async with backend_for(server, tmp_path) as backend:
        await backend.models()
        assert "1 cloud models left out" in backend.note
        assert not backend.remote
    async with backend_for(server, tmp_path, cloud=True) as backend:
        assert (backend.host, backend.remote) == ("ollama.com", True)
        (profile,) = await backend.models()
        assert (profile.key, profile.host, profile.remote) == ("gpt-oss:120b-cloud", "ollama.com", True)
        assert (profile.size_bytes, profile.max_context) == (0, 131072)
        loaded = await backend.load(profile, PLAN)
        assert not loaded.owned
        assert loaded.plan.context == 131072
        assert server.loads == []
        assert [one.key for one in await backend.loaded()] == [profile.key]


async def test_a_cloud_model_of_an_old_server_shows_by_its_tag_alone(tmp_path: Path) -> None:
    with OllamaStandIn([StandInModel(name="kimi-k2:1t-cloud"), StandInModel(name="glm:cloud")]) as server:
        assert await listed(server, tmp_path) == {}


async def test_details_are_asked_for_once_a_digest(server: OllamaStandIn, tmp_path: Path) -> None:
    async with backend_for(server, tmp_path) as backend:
        first = await backend.models()
        shown = [body for path, body in server.calls if path == "/api/show"]
        assert len(shown) == 4, "cloud models are not asked about"
        assert await backend.models() == first
        assert len([path for path, _ in server.calls if path == "/api/show"]) == 4
        server.models["llama3.2:latest"].weights = "0" * 64
        profile = next(one for one in await backend.models() if one.key == "llama3.2:latest")
        assert profile.sha256 == "0" * 64


def row(**fields: object) -> Installed:
    known = {"name": "m", "digest": "d", "size": 1, "family": "llama", "parameters": "8.0B", "quantisation": "Q4_0"}
    return Installed(**{**known, "context": 0, "capabilities": None, "passed_on_to": "", **fields})  # type: ignore[arg-type]


def test_a_server_too_old_to_name_capabilities() -> None:
    assert facts_from(row(), {}).converses
    assert not facts_from(row(family="nomic-bert"), {}).converses
    assert facts_from(row(), {"template": "{{ if .Tools }}"}).capabilities == {Capability.TOOLS, Capability.JSON}
    assert Capability.VISION in facts_from(row(), {"projector_info": {"clip.x": 1}}).capabilities
    assert facts_from(row(), {}).parameters == 8e9


def test_the_digest_of_the_weights_is_told_only_where_nothing_changes_them() -> None:
    blob = "a" * 64
    weights = f"# FROM m:latest\n\nFROM /home/x/blobs/sha256-{blob}\nFROM /home/x/blobs/sha256-{'b' * 64}\n"
    assert facts_from(row(), {"modelfile": weights}).sha256 == blob
    assert facts_from(row(), {"modelfile": f"FROM C:\\blobs\\sha256-{blob}\n"}).sha256 == blob
    assert facts_from(row(), {"modelfile": f"{weights}ADAPTER /x/sha256-{blob}\n"}).sha256 == ""
    assert facts_from(row(), {"modelfile": "FROM llama3.2"}).sha256 == ""


def test_numbers_that_make_no_sense_cost_the_architecture_only() -> None:
    info = {"general.architecture": "llama", "llama.block_count": -3, "llama.vocab_size": 10, "llama.context_length": 9}
    facts = facts_from(row(), {"model_info": info})
    assert facts.architecture is None
    assert facts.converses


def test_sizes_in_words() -> None:
    assert [parameters_of(one) for one in ("8.0B", "134.52M", "1.5T", "700K", "12", "", "x", "1.2.3B")] == [
        8e9,
        134.52e6,
        1.5e12,
        7e5,
        12.0,
        0.0,
        0.0,
        0.0,
    ]
