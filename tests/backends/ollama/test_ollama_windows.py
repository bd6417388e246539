"""Windows nobody can have are unknown: they never reach what a person is shown or advised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ollama_talk import backend_for, load

from mai_backends.ollama.client.rows import installed, running
from mai_backends.ollama.facts import facts_from, parameters_of
from mai_backends.windows import LARGEST, SMALLEST
from mai_core.policy.models import LoadPlan
from tests.standins.ollama import OllamaStandIn, StandInModel

ABSURD = [0, -1, -(10**18), 1, 7, 10**18, 2**70, True, 1.5, 1e18, float("inf"), "1", "many", [], {}, None]
windows = st.sampled_from(ABSURD) | st.integers() | st.floats()
GOOD = StandInModel()


@given(listed=windows, held=windows, told=windows)
def test_no_row_makes_a_window_of_nonsense(listed: Any, held: Any, told: Any) -> None:
    row = GOOD.row()
    row["details"]["context_length"] = listed
    (found,) = installed([row])
    details = GOOD.shown()
    details["model_info"]["llama.context_length"] = told
    (now,) = running([{**row, "context_length": held}])
    for window in (
        found.context,
        now.context,
        facts_from(found, details).max_context,
        facts_from(found, {}).max_context,
    ):
        assert window == 0 or SMALLEST <= window <= LARGEST


@pytest.mark.parametrize("context", [0, -5, 1, 10**18], ids=str)
async def test_a_server_that_tells_nonsense_offers_a_model_all_the_same(context: int, tmp_path: Path) -> None:
    with OllamaStandIn([StandInModel(name="odd:latest", context=context), StandInModel(name="good:latest")]) as server:
        async with backend_for(server, tmp_path) as backend:
            found = {profile.key: profile.max_context for profile in await backend.models()}
            assert found == {"odd:latest": 2048, "good:latest": 8192}


async def test_a_window_of_nonsense_in_memory_is_taken_to_be_as_planned(tmp_path: Path) -> None:
    with OllamaStandIn([StandInModel(name="odd:latest", context=1)]) as server:
        async with backend_for(server, tmp_path) as backend:
            assert (await load(backend, "odd:latest", LoadPlan(context=1024))).plan.context == 1024


def test_a_number_of_weights_without_end_is_unknown() -> None:
    assert parameters_of("9" * 400 + "B") == 0.0
