"""Models that see: a projector beside the model, really loaded and run, and projectors that are of no use."""

from __future__ import annotations

import shutil
from contextlib import aclosing
from pathlib import Path

import pytest
from embedded_engine import MakeBackend, said

from mai_backends.embedded.backend import EmbeddedBackend
from mai_backends.embedded.projector import reason_in
from mai_core.errors import GenerationError
from mai_core.policy.messages import GenerationOptions, Image, Message, ReplyEnd, Role, StopReason, TextDelta
from mai_core.policy.models import Addition, Capability, LoadedModel, LoadPlan, ModelProfile
from tests.pictures import png, webp
from tests.projectors import projector

STARTER_WIDTH = 576
SHORT = GenerationOptions(max_tokens=6, temperature=0.0, seed=1)
PLAN = LoadPlan(context=512, threads=1)


@pytest.fixture
def folder(tmp_path: Path, starter_gguf: Path) -> Path:
    """A folder of its own with the starter model, as LM Studio and the Hugging Face hub keep them."""
    folder = tmp_path / "models-of-mine" / "SmolLM2"
    folder.mkdir(parents=True)
    (folder / starter_gguf.name).symlink_to(starter_gguf)
    return folder


async def only(backend: EmbeddedBackend) -> ModelProfile:
    (model,) = (model for model in await backend.models() if "mmproj" not in model.key)
    return model


async def ask(backend: EmbeddedBackend, loaded: LoadedModel, *images: Image) -> tuple[str, ReplyEnd]:
    messages = [*said()[:1], Message(role=Role.USER, content="What is this?", images=images)]
    async with aclosing(backend.generate(loaded.instance, messages, SHORT)) as events:
        heard = [event async for event in events]
    assert isinstance(heard[-1], ReplyEnd)
    return "".join(event.text for event in heard if isinstance(event, TextDelta)), heard[-1]


@pytest.mark.weights
async def test_a_projector_beside_a_model_lets_it_see(make_backend: MakeBackend, folder: Path) -> None:
    plain = await only(make_backend(models_dirs=[str(folder)]))
    assert Capability.VISION not in plain.capabilities
    (folder / "mmproj-model-f16.gguf").write_bytes(content := projector(STARTER_WIDTH))
    backend = make_backend(models_dirs=[str(folder)])
    model = await only(backend)
    assert Capability.VISION in model.capabilities
    assert (model.size_bytes, model.additions) == (plain.size_bytes, (Addition("projector", len(content)),))
    loaded = await backend.load(model, PLAN)
    text, end = await ask(backend, loaded, Image(name="cat.png", data=png(64, 48)))
    _, without = await ask(backend, loaded)
    assert text
    assert end.stop is StopReason.LENGTH
    assert end.usage.prompt_tokens >= without.usage.prompt_tokens + 4, "four patches of an image"
    assert await backend.save_state(loaded.instance, "c") == 0, "llama.cpp saves no states of a model that sees"
    with pytest.raises(GenerationError):
        await ask(backend, loaded, Image(name="cat.webp", data=webp()))
    assert (await ask(backend, loaded))[0], "an image it cannot decode fails at that prompt only"


@pytest.mark.weights
@pytest.mark.parametrize("width", [STARTER_WIDTH + 320, 0])
async def test_a_foreign_projector_costs_the_model_its_sight_and_nothing_else(
    make_backend: MakeBackend, folder: Path, width: int
) -> None:
    file = folder / "mmproj-model-f16.gguf"
    file.write_bytes(projector(width) if width else projector(STARTER_WIDTH, kind="of-the-future"))
    backend = make_backend(models_dirs=[str(folder)])
    model = await only(backend)
    assert Capability.VISION in model.capabilities, "the header tells nothing against it"
    loaded = await backend.load(model, PLAN)
    assert (await ask(backend, loaded))[0]
    with pytest.raises(GenerationError, match="image input is not supported"):
        await ask(backend, loaded, Image(name="cat.png", data=png()))
    for later in (backend, make_backend(models_dirs=[str(folder)])):
        assert Capability.VISION not in (await only(later)).capabilities, "remembered, also by the next process"
        assert f"{file.name} is of no use: " in later.note
        assert ("mismatch between text model" if width else "unknown projector type") in later.note


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"junk", "is not a GGUF file"),
        (projector(STARTER_WIDTH)[:400], ""),
        (None, "it is no projector"),
    ],
)
async def test_what_is_no_projector_is_told_without_a_load(
    make_backend: MakeBackend, folder: Path, starter_gguf: Path, content: bytes | None, says: str
) -> None:
    if content is None:
        shutil.copyfile(starter_gguf, folder / "mmproj.gguf")
    else:
        (folder / "mmproj.gguf").write_bytes(content)
    backend = make_backend(models_dirs=[str(folder)])
    model = await only(backend)
    assert not model.fault
    assert Capability.VISION not in model.capabilities
    assert "mmproj.gguf is of no use: " in backend.note
    assert says in backend.note


def test_the_reason_is_the_engines_own() -> None:
    assert reason_in("E clip_init: failed to load model 'x.gguf': load_hparams: unknown projector type: x\n") == (
        "load_hparams: unknown projector type: x"
    )
    assert reason_in("/src/clip.cpp:123: GGML_ASSERT(n == 1) failed\n") == "clip.cpp:123: GGML_ASSERT(n == 1) failed"
    assert reason_in("llama_model_load: error loading model: missing tensor 'output.weight'") == ""
