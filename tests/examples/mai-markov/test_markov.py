"""Mai's promises for backends, and what this one does of its own."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mai_markov import Markov

from mai_core.errors import ModelFileError, SettingsError
from mai_core.plugin.interfaces import Backend, BackendContext
from mai_core.policy.messages import GenerationOptions, Message, ReplyEnd, Role, StopReason, TextDelta
from mai_core.policy.models import LoadedModel, LoadPlan
from mai_core.testing import BackendConformance

TEXT = """
It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.

Call me Ishmael. Some years ago I thought I would sail about a little and see the watery part of the world.
"""


def options_in(folder: Path, text: str | bytes = TEXT) -> dict[str, Any]:
    """The settings of a backend with one model, ``novels``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "novels.txt").write_bytes(text.encode() if isinstance(text, str) else text)
    return {"folder": str(folder)}


def backend_in(folder: Path, options: dict[str, Any]) -> Markov:
    return Markov(BackendContext(name="mine", options=options, data_dir=folder, cache_dir=folder, state_dir=folder))


def reply(
    folder: Path, *said: str, text: str | bytes = TEXT, context: int = 512, **options: Any
) -> tuple[str, ReplyEnd]:
    """What the model answers, and how the reply ends. The person speaks first, then both in turn."""
    roles = (Role.USER, Role.ASSISTANT)
    messages = [Message(role=roles[i % 2], content=content) for i, content in enumerate(said)]

    async def play() -> tuple[str, ReplyEnd]:
        backend = backend_in(folder, options_in(folder, text))
        [model] = await backend.models()
        loaded = await backend.load(model, LoadPlan(context=context))
        chosen = GenerationOptions(**{"seed": 1, **options})
        async with aclosing(backend.generate(loaded.instance, messages, chosen)) as stream:
            *deltas, end = [event async for event in stream]
        assert isinstance(end, ReplyEnd)
        assert all(isinstance(delta, TextDelta) and delta.text for delta in deltas)
        return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)), end

    return asyncio.run(play())


class TestMarkov(BackendConformance):
    def make(self, context: BackendContext) -> Backend:
        return Markov(replace(context, options=options_in(context.data_dir)))

    async def crash(self, backend: Backend, loaded: LoadedModel) -> None:
        """It has no process that could die: all that can happen to it is to be unloaded."""
        await backend.unload(loaded.instance)


def test_goes_from_word_to_word_to_the_end_of_a_paragraph(tmp_path: Path) -> None:
    said, end = reply(tmp_path, "Hello", text="One  two\nthree.")
    assert said == "One two three."
    assert (end.stop, end.usage.prompt_tokens, end.usage.completion_tokens) == (StopReason.STOP, 1, 3)


def test_goes_on_with_what_another_model_began(tmp_path: Path) -> None:
    assert reply(tmp_path, "Who?", "My friends call me Ishmael. Some")[0].startswith(" years ago I")
    assert reply(tmp_path, "Who?", "Nobody said this")[0].startswith(" It was the")


def test_a_full_window_is_not_a_full_measure(tmp_path: Path) -> None:
    _, end = reply(tmp_path, "Hello there", text="on and on", context=5)
    assert (end.stop, end.usage.completion_tokens) == (StopReason.CONTEXT, 3)


def test_lists_the_texts_of_its_folder_and_nothing_else(tmp_path: Path) -> None:
    options = options_in(tmp_path)
    (tmp_path / "notes.md").write_text("no text")
    (tmp_path / "chapters.txt").mkdir()
    (tmp_path / "lost.txt").symlink_to(tmp_path / "gone")
    [model] = asyncio.run(backend_in(tmp_path, options).models())
    assert (model.key, model.size_bytes) == ("novels", len(TEXT))


@pytest.mark.parametrize("text", [b"", b" \n\n ", b"\xff\xfe"], ids=["empty", "blank", "no text"])
def test_a_file_without_words_is_one_clear_line(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(ModelFileError, match=r"novels (cannot be read: |has no words)") as caught:
        reply(tmp_path, "Hello", text=text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"folder": "x", "colour": "red"}, {"foldr": "x"}])
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"backends\.mine .*folder"):
        backend_in(tmp_path, options)


def test_a_seed_makes_it_repeatable(tmp_path: Path) -> None:
    def answers() -> list[str]:
        text = "\n\n".join(["yes"] * 6 + ["no"] * 4)
        return [reply(tmp_path, "Well?", text=text, seed=seed)[0] for seed in range(40)]

    assert answers() == answers()
    assert set(answers()) == {"yes", "no"}


def test_it_is_short() -> None:
    module = Path(__file__).with_name("mai_markov.py")
    assert len(module.read_text(encoding="utf-8").splitlines()) < 80
