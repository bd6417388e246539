"""What is wrong with a backend's options is said without what was written there, which may be a key."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from mai_backends.lmstudio.options import LMStudioOptions
from mai_backends.ollama.options import OllamaOptions
from mai_backends.openai_compatible.options import OpenAICompatibleOptions
from mai_backends.settings import options_of
from mai_core.errors import SettingsError

SECRET = "sk-hunter2"
ADDRESS = f"http://me:{SECRET}@box:99999"


@pytest.mark.parametrize(
    ("model", "options", "place"),
    [
        (LMStudioOptions, {"url": ADDRESS}, "url"),
        (OllamaOptions, {"url": ADDRESS}, "url"),
        (OllamaOptions, {"headers": {"Authorization": f"Bearer {SECRET}"}}, "headers"),
        (OpenAICompatibleOptions, {"base_url": ADDRESS}, "base_url"),
        (OpenAICompatibleOptions, {"base_url": "http://box", "api_key": SECRET}, "api_key"),
        (OpenAICompatibleOptions, {"base_url": "http://box", "retries": SECRET}, "retries"),
        (OpenAICompatibleOptions, {"base_url": "http://box", "key": SECRET}, "key"),
    ],
)
def test_a_refusal_names_the_option_and_repeats_nothing(
    model: type[BaseModel], options: dict[str, Any], place: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        options_of(model, "mine", options)
    assert caught.value.message.startswith(f"backends.mine.{place}: ")
    assert SECRET not in f"{caught.value} {caught.value.detail}"
    assert caught.value.__suppress_context__  # or a trace would quote what pydantic was given


def test_what_is_wrong_beside_a_key_is_still_said_in_words() -> None:
    with pytest.raises(SettingsError, match="keep_alive: 0 would unload"):
        options_of(OllamaOptions, "mine", {"keep_alive": 0, "url": "http://box"})
