"""Running a law over generated worlds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

__all__ = ["holds"]

EXAMPLES = 60
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)


def holds(law: Callable[..., None], **worlds: SearchStrategy[Any]) -> None:
    """Check ``law`` on examples of ``worlds``.

    Called inside a test rather than decorating it, since Hypothesis refuses a decorated method that several
    subclasses inherit.
    """
    relaxed = settings(
        max_examples=EXAMPLES,
        phases=PHASES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    relaxed(given(**worlds)(law))()
