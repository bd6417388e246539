"""A cascade on a real engine: what the small model is not sure of is answered by the other, silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.program import STARTER, Installed

pytestmark = [pytest.mark.weights, pytest.mark.timeout(180)]


@pytest.mark.parametrize(("sure", "asks_again"), [("0", True), ("-11", False)])
def test_the_answer_is_one_models_and_says_nothing_of_the_other(
    tmp_path: Path, starter_gguf: Path, second_gguf: Path, sure: str, asks_again: bool
) -> None:
    """Every token's log-probability is below 0, and no mean is below -11: doubt is forced, and ruled out."""
    mai = Installed(tmp_path)
    for weights in (starter_gguf, second_gguf):
        (mai.models / weights.name).symlink_to(weights)
    # Waiting is dear, so that the small model begins.
    mai.options = (
        "--set", "selection.strategies=[cascade]",
        "--set", f"selection.options={{cascade: {{sure: {sure}, value: 0.001}}}}",
    )  # fmt: skip
    done = mai.run("chat", "What is the capital of France?")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Paris" in done.stdout
    explanation = mai.json("why")
    assert explanation["decision"]["choice"] == STARTER
    (author,) = explanation["authors"]
    assert (author != STARTER) is asks_again
    _, answer = mai.stored()
    assert answer["content"].strip() == done.stdout.strip()
