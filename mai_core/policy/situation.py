"""Everything a decision depends on, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mai_core.policy.budget import Budget
from mai_core.policy.experts import Experts
from mai_core.policy.features import TaskFeatures
from mai_core.policy.health import Breaker
from mai_core.policy.learning import Corrections, Learned
from mai_core.policy.models import LoadedModel, LoadPlan, ModelProfile, Promise
from mai_core.policy.outcomes import Abilities
from mai_core.policy.resources import ResourceSnapshot
from mai_core.policy.speed import DEFAULT_MACHINE, Machine, MeasuredSpeed, Speed, expected_speed
from mai_core.policy.stability import Switch

__all__ = ["Limits", "Situation"]

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the settings allow.

    headroom    share of main memory left free, between ``headroom_min`` and ``headroom_max`` bytes
    window      tokens of context wanted; ``minimum`` tokens below which a model is of no use
    reserve     tokens kept for the reply
    patience    seconds a person waits for a model to read a conversation: what no model reads in it is condensed
    local_only  models on other machines are never chosen
    watts       power drawn while a model works, for the energy of a turn; ``price_kwh`` makes money of it
    price_hour  what an hour of the person's waiting is worth, in the same currency
    up_after_seconds   calm needed before a model that is in memory is loaded anew with more; see ``StabilityRules``
    spare       share of memory that has to remain free then, beyond the headroom
    """

    headroom: float = 0.10
    headroom_min: int = 256 * MIB
    headroom_max: int = 2 * GIB
    window: int = 8192
    minimum: int = 1024
    reserve: int = 512
    patience: float = 60.0
    local_only: bool = False
    watts: float = 25.0
    price_kwh: float = 0.30
    price_hour: float = 1.0
    up_after_seconds: float = 300.0
    spare: float = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything a decision depends on.

    loaded     what is in memory now
    promised   what is being loaded, and the memory that will take
    current    key of the model that answered last
    health     1 for a model that works, 0 for one that is kept out after failures; absent means 1
    kept_out   the breakers that keep models out, by key
    speeds     what was measured on this machine, by key
    not_chat   keys of models that do not converse
    unavailable  backends that cannot be reached, and why; ``remedies`` what would bring them back, where known
    pinned_on  backends that had the pinned model when it was pinned
    history    the switches and reloads of the last hour that made somebody wait, on the clock of the snapshot
    read       tokens of this conversation that a model's engine holds or will find again, by key, where that is known
    learned    how far predictions of memory were off on this machine; ``engines`` tells the kind of each backend
    machines   what hosts can do, as models that ran there showed
    budget     what may be spent on tokens, and what was
    experts    what was learnt of the strategies, for the arbiter ``exp4``
    abilities  what this person's own outcomes taught about how well models answer
    """

    models: tuple[ModelProfile, ...]
    snapshot: ResourceSnapshot
    features: TaskFeatures
    limits: Limits = Limits()
    loaded: tuple[LoadedModel, ...] = ()
    promised: tuple[Promise, ...] = ()
    current: str | None = None
    pinned: str | None = None
    health: Mapping[str, float] = field(default_factory=dict)
    kept_out: Mapping[str, Breaker] = field(default_factory=dict)
    speeds: Mapping[str, MeasuredSpeed] = field(default_factory=dict)
    not_chat: frozenset[str] = frozenset()
    unavailable: Mapping[str, str] = field(default_factory=dict)
    remedies: Mapping[str, str] = field(default_factory=dict)
    pinned_on: tuple[str, ...] = ()
    history: tuple[Switch, ...] = ()
    read: Mapping[str, int] = field(default_factory=dict)
    learned: Learned = field(default_factory=Learned)
    engines: Mapping[str, str] = field(default_factory=dict)
    machines: Mapping[str, Machine] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    experts: Experts | None = None
    abilities: Abilities = field(default_factory=Abilities)

    def corrections(self, model: ModelProfile) -> Corrections:
        """What predictions of the memory ``model`` takes are to be corrected by."""
        return self.learned.of(model, self.engines.get(model.backend, model.backend))

    def speed(self, model: ModelProfile, plan: LoadPlan | None = None) -> Speed:
        """How fast ``model``, loaded by ``plan``, is on its host now, as measured or expected."""
        host = self.snapshot.host(model.host)
        return expected_speed(
            model,
            host.cpu.free_cores if host else 1,
            self.speeds.get(model.key),
            plan=plan,
            machine=self.machines.get(model.host, DEFAULT_MACHINE),
        )
