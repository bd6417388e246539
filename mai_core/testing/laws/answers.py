"""Laws on answers: what Mai accepts of a strategy at all."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

from mai_core.plugin.faults import one_line
from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.plugin.isolation import StrategyRunner
from mai_core.plugin.shape import KINDS, misfit
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import LoadPlan
from mai_core.policy.selection import Candidate, Proposal, SelectionRequest
from mai_core.testing.laws.asking import asked
from mai_core.testing.laws.law import Group, Make, expect, law
from mai_core.testing.worlds import requests

__all__ = ["LAWS", "too_slow"]

BUDGET_SECONDS = 0.05
"""The default of ``selection.budget_ms``."""

MANY = 1000
ATTEMPTS = 3


def proposals(strategy: SelectionStrategy, request: SelectionRequest) -> Sequence[Proposal]:
    """What it answers of what can be told apart; the rest is for ``answers-with-proposals``."""
    try:
        answer = strategy.propose(request)
    except Exception:  # noqa: BLE001 - a third party's code; never-raises says so
        return ()
    return [p for p in answer if isinstance(p, Proposal)] if isinstance(answer, Sequence) else ()


def too_slow(strategy: SelectionStrategy, candidates: int, budget_seconds: float = BUDGET_SECONDS) -> str:
    """What is wrong with the time a strategy takes for so many candidates, the best of three; empty when nothing is."""
    request = _request_of(candidates)
    fault = ""
    for _ in range(ATTEMPTS):
        runner = StrategyRunner([(strategy, 1.0)], budget_seconds)
        [ballot] = runner.ballots(request)
        runner.close()
        fault = ballot.fault if ballot.fault.startswith(("took", "did not return")) else ""
        if not fault or fault.startswith("did not return"):
            break
    return fault


def _request_of(candidates: int) -> SelectionRequest:
    found = [
        Candidate(
            key=f"model-{i}",
            plan=LoadPlan(context=4096),
            quality=i % 97 / 97,
            wait_seconds=i % 13 + 0.5,
            load_seconds=i % 7 / 2,
            health=1 - i % 5 / 10,
            spare=i % 11 / 11,
            is_loaded=i == 0,
        )
        for i in range(candidates)
    ]
    return SelectionRequest(features=TaskFeatures(), candidates=tuple(found))


@law(Group.ANSWERS)
def has_the_members_of_a_strategy(make: Make) -> None:
    """Its class can be registered: a name, and a method that takes a request."""
    wrong = misfit(type(make()), KINDS["strategies"], "under test")
    expect(not wrong, "a class that Mai can register", wrong)


@law(Group.ANSWERS)
def answers_in_time(make: Make) -> None:
    """A thousand candidates take less than the time budget of a vote."""
    wrong = too_slow(make(), MANY)
    expect(not wrong, f"an answer within {BUDGET_SECONDS * 1000:.0f} ms for {MANY} candidates", f"it {wrong}")


@law(Group.ANSWERS, request=requests())
def never_raises(make: Make, request: SelectionRequest) -> None:
    """Whatever the turn, it answers."""
    try:
        make().propose(request)
    except Exception as error:  # noqa: BLE001 - a third party's code, whose failure is the finding
        expect(False, "an answer", f"it raised {one_line(error)}")


@law(Group.ANSWERS, request=requests())
def answers_with_proposals(make: Make, request: SelectionRequest) -> None:
    """The answer is a sequence of proposals: key, score and reason, texts and numbers."""
    try:
        answer: object = make().propose(request)
    except Exception:  # noqa: BLE001 - a third party's code; never-raises says so
        return
    sound = isinstance(answer, Sequence) and not isinstance(answer, str | bytes)
    expect(sound, "a sequence of proposals", f"it answered {type(answer).__name__}")
    for proposal in answer if isinstance(answer, Sequence) else ():
        expect(isinstance(proposal, Proposal), "proposals", f"it answered with {proposal!r}")
        texts = isinstance(proposal.key, str) and isinstance(proposal.reason, str)
        expect(texts, "a key and a reason that are texts", f"it answered with {proposal!r}")


@law(Group.ANSWERS, request=requests())
def proposes_only_candidates(make: Make, request: SelectionRequest) -> None:
    """Every proposal is for a candidate of this turn, and for each there is at most one."""
    keys = [p.key for p in proposals(make(), request)]
    foreign = [key for key in keys if request.candidate(key) is None]
    expect(not foreign, "proposals for candidates", f"it proposed {', '.join(map(repr, foreign))}")
    expect(len(set(keys)) == len(keys), "one proposal for each", f"it proposed {', '.join(map(repr, keys))}")


@law(Group.ANSWERS, request=requests())
def scores_are_utilities(make: Make, request: SelectionRequest) -> None:
    """Every score is a finite number in [0, 1]."""
    for key, score, *_ in proposals(make(), request):
        number = isinstance(score, int | float) and not isinstance(score, bool)
        expect(number and math.isfinite(score), "a finite number", f"it gave {key} the score {score!r}")
        expect(0.0 <= score <= 1.0, "a score in [0, 1]", f"it gave {key} the score {score}")


@law(Group.ANSWERS, request=requests(least=1))
def gives_reasons(make: Make, request: SelectionRequest) -> None:
    """Every proposal says why, in one line."""
    for proposal in proposals(make(), request):
        lines = str(proposal.reason).strip().splitlines()
        expect(len(lines) == 1, "one line of reason", f"the reason for {proposal.key} is {proposal.reason!r}")


@law(Group.ANSWERS, request=requests())
def is_deterministic(make: Make, request: SelectionRequest) -> None:
    """The same request gets the same answer, from the same instance and from a new one."""
    strategy = make()
    first = asked(strategy, request)
    expect(asked(strategy, request) == first, "the same answer twice", "a second call answered differently")
    expect(asked(make(), request) == first, "the same answer twice", "a new instance answered differently")


@law(Group.ANSWERS, request=requests(), before=requests())
def remembers_nothing(make: Make, request: SelectionRequest, before: SelectionRequest) -> None:
    """What it was asked before does not change what it answers."""
    strategy, fresh = make(), make()
    asked(strategy, before)
    expect(
        asked(strategy, request) == asked(fresh, request),
        "the answer of a strategy that was asked nothing before",
        "having been asked about the other turn, it answered differently",
    )


@law(Group.ANSWERS, request=requests())
def changes_nothing_it_is_given(make: Make, request: SelectionRequest) -> None:
    """The request is the same afterwards, the dictionaries in it too."""
    given, before = copy.deepcopy(request), copy.deepcopy(request)
    proposals(make(), given)
    expect(given == before, "the request as it was", "it changed the request")


@law(Group.ANSWERS, request=requests(most=0))
def has_nothing_to_say_of_nothing(make: Make, request: SelectionRequest) -> None:
    """Without candidates there are no proposals, and no trouble."""
    answer = make().propose(request)
    expect(not answer, "no proposals", f"it answered {answer!r}")


LAWS = (
    has_the_members_of_a_strategy,
    answers_in_time,
    never_raises,
    answers_with_proposals,
    proposes_only_candidates,
    scores_are_utilities,
    gives_reasons,
    is_deterministic,
    remembers_nothing,
    changes_nothing_it_is_given,
    has_nothing_to_say_of_nothing,
)
