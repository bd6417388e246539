"""The engine's last words and what they become."""

from __future__ import annotations

import signal

import pytest

from mai_backends.embedded.failures import Remains, crash, failed_load, refusal
from mai_core.errors import (
    BackendError,
    ContextExceeded,
    GenerationError,
    ModelCrashed,
    ModelFileError,
    ModelLoadError,
    OutOfMemory,
)


def load_line(stderr: str, code: int = 1) -> BackendError:
    return failed_load("m.gguf", "m", Remains(code, stderr))


@pytest.mark.parametrize(
    ("stderr", "code", "kind", "why"),
    [
        ("0.05.1 E ggml_aligned_malloc: insufficient memory (attempted to allocate 9 MB)", 1, OutOfMemory, "memory"),
        ("libgomp: Thread creation failed: Resource temporarily unavailable", 1, ModelLoadError, "Thread creation"),
        ("", -signal.SIGKILL, OutOfMemory, "the system killed its process"),
        ("", -signal.SIGBUS, ModelFileError, "the file became shorter"),
        ("", -signal.SIGSEGV, ModelLoadError, "its process was killed by SIGSEGV"),
        ("", 3, ModelLoadError, "its process ended with code 3"),
        ("", -250, ModelLoadError, "killed by signal 250"),
        ("E x: missing tensor 'blk.0.attn_q.weight'", 1, ModelFileError, "missing tensor"),
    ],
)
def test_failed_loads(stderr: str, code: int, kind: type[BackendError], why: str) -> None:
    error = load_line(stderr, code)
    assert type(error) is kind
    assert error.message.startswith("m.gguf cannot be loaded: ")
    assert why in error.message
    assert error.detail == stderr


def test_a_load_that_was_killed_while_memory_was_plenty_is_a_crash() -> None:
    killed = failed_load("m.gguf", "m", Remains(-signal.SIGKILL, "", starved=False))
    assert type(killed) is ModelCrashed
    assert type(failed_load("m.gguf", "m", Remains(-signal.SIGKILL, "", starved=True))) is OutOfMemory


def test_the_cause_is_told_and_not_what_followed_from_it() -> None:
    stderr = "\n".join(
        (
            "0.00.1 W llama_context: n_ctx_seq (20000000) > n_ctx_train (8192)",
            "0.00.2 E llama_model_load: error loading model: tensor 'a' data is not within the file bounds, model is "
            "corrupted or incomplete",
            "0.00.3 E llama_model_load_from_file_impl: failed to load model",
            "0.00.4 E srv          init: exiting due to model loading error",
        )
    )
    assert load_line(stderr).message == "m.gguf cannot be loaded: the file is truncated"


def test_words_nobody_foresaw_are_the_first_error_the_engine_told() -> None:
    stderr = "0.0 W a: a warning\n0.00.2 E srv    load_model: the moon is full\n0.00.3 E srv          init: exiting"
    assert load_line(stderr).message == "m.gguf cannot be loaded: the moon is full"


@pytest.mark.parametrize(
    ("code", "words"), [(-signal.SIGKILL, "memory ran out"), (-signal.SIGBUS, "changed on disk"), (1, "with code 1")]
)
def test_crashes_say_how(code: int, words: str) -> None:
    assert words in str(crash("m", Remains(code, "last words")))
    assert crash("m", Remains(code, "last words")).detail == "last words"


def test_refusals() -> None:
    long = {"type": "exceed_context_size_error", "message": "request (9 tokens)", "n_prompt_tokens": 9, "n_ctx": 4}
    assert refusal("m", long).message == "the prompt has 9 tokens, m is loaded with a window of 4"
    assert isinstance(refusal("m", {"message": "the context size has been exceeded"}), ContextExceeded)
    other = refusal("m", {"message": "no\nreally"})
    assert type(other) is GenerationError
    assert other.message == "m cannot answer this: no"
    assert refusal("m", {}).message
