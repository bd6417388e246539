"""Whatever a server repeats of its key, no error says it: not in its words, not in its causes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_serving import backend_for, reply

from mai_backends.openai_compatible.backend import OpenAICompatibleBackend
from mai_backends.openai_compatible.counting import Tokenizer
from mai_backends.wire.secrecy import Secrets
from mai_core.errors import BackendError, MaiError
from mai_core.policy.models import LoadPlan, ModelProfile
from tests.standins.echoes import SHAPES, echoing, told

KEY = "sk/no\"t'+for-any\\one-4711"
PIECE = "for-any"
LIST = {"data": [{"id": "tiny", "owned_by": "llama-swap"}]}
MODEL = ModelProfile(key="tiny", backend="mine", location="tiny")

Step = Callable[[OpenAICompatibleBackend], Awaitable[object]]
STEPS: dict[str, Step] = {
    "models": lambda backend: backend.models(),
    "load": lambda backend: backend.load(MODEL, LoadPlan(context=512)),
    "reply": lambda backend: reply(backend, first_token_deadline=20.0),
    "count": lambda backend: backend.count_tokens("tiny", ["word " * 9]),
    "loaded": lambda backend: backend.loaded(),
}


@pytest.mark.parametrize("step", STEPS)
@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    status=st.sampled_from([400, 401, 403, 404, 429, 500, 502, 503]),
    before=st.text("x ", max_size=40) | st.integers(270, 300).map("x".__mul__),
    sent_as=st.sampled_from(["key", "header", "authorization"]),
)
def test_no_error_can_be_made_to_say_the_key(step: str, shape: str, status: int, before: str, sent_as: str) -> None:
    """Wherever it stands, also where a long message is cut."""
    answer = SHAPES[shape](status, f"{before}{KEY}")

    async def play() -> BaseException | None:
        healthy = {} if step == "models" else {"/v1/models": LIST}
        async with echoing(healthy, answer) as url:
            where: dict[str, dict[str, object]] = {
                "key": {"api_key": "env:MINE"},
                "header": {"headers": {"X-Api-Key": "env:MINE"}},
                "authorization": {"headers": {"Authorization": "env:MINE_WITH_SCHEME"}},
            }
            backend = backend_for(url, retries=0, **where[sent_as])
            try:
                if step != "models":
                    await backend.models()
                await STEPS[step](backend)
            except MaiError as error:
                return error
            finally:
                await backend.close()
        return None

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MINE", KEY)
        patched.setenv("MINE_WITH_SCHEME", f"Bearer {KEY}")
        lines: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: lines.append(str(vars(record)))  # type: ignore[method-assign]
        logger = logging.getLogger("mai")
        before_level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            error = asyncio.run(play())
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before_level)
    assert PIECE not in "".join(lines)
    if error is not None:
        assert PIECE not in told(error)


def test_a_cause_is_let_go_and_its_words_are_kept() -> None:
    secrets = Secrets(["Bearer abcdefgh"])

    def fail() -> None:
        with secrets.kept():
            try:
                raise ValueError("abcdefgh")
            except ValueError as error:
                raise BackendError("it says abcdefgh", remedy="abcdefgh", detail=repr(error)) from error

    with pytest.raises(BackendError) as caught:
        fail()
    error = caught.value
    assert (str(error), error.detail, error.args) == ("it says ***; ***", "ValueError('***')", ("it says ***",))
    assert (error.__cause__, error.__context__) == (None, None)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=9, max_size=40), st.text(max_size=40))
def test_a_secret_is_struck_out_wherever_it_stands(secret: str, around: str) -> None:
    secrets = Secrets([f"Bearer {secret}"])
    assert secret not in secrets.scrub(f"{around}{secret}{around}").replace("***", "")
    assert Secrets().scrub(around) == around


async def test_counting_ends_in_time_however_many_texts_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is counted soon enough, all of them are not."""
    from mai_backends.openai_compatible import counting

    monkeypatch.setattr(counting, "SECONDS", 0.5)

    async def slowly(_: Tokenizer, text: str) -> int:
        await asyncio.sleep(0.3)
        return 1

    monkeypatch.setattr(Tokenizer, "_count", slowly)
    places = asyncio.Semaphore(1)

    async def one_by_one(tokenizer: Tokenizer, text: str) -> int:
        async with places:
            return await slowly(tokenizer, text)

    monkeypatch.setattr(Tokenizer, "_count", one_by_one)
    async with echoing({"/v1/models": {"data": [{"id": "tiny", "owned_by": "vllm"}]}}, b"") as url:
        backend = backend_for(url)
        with pytest.raises(MaiError, match=r"has not counted tokens within 0\.5 s"):
            async with asyncio.timeout(15):
                await backend.count_tokens("tiny", ["word"] * 100)
        await backend.close()
