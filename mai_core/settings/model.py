"""The settings as frozen values. ``config/mai.yaml`` holds the same tree with every default and its meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "BackendSettings",
    "ContextSettings",
    "CostSettings",
    "GenerationSettings",
    "LearningSettings",
    "LogSettings",
    "MemorySettings",
    "MonitorSettings",
    "PluginSettings",
    "PreloadSettings",
    "ProbeSettings",
    "SelectionSettings",
    "Settings",
    "StabilitySettings",
    "StarterSettings",
]


@dataclass(frozen=True, slots=True)
class Form:
    """How a value is written, in words, where its type does not say it."""

    words: str


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", re.IGNORECASE)
_UNITS = {"": 1, **{f"{unit}{i}": (1024 if i else 1000) ** n for n, unit in enumerate("kmgt", 1) for i in ("", "i")}}


def parse_bytes(value: Any) -> Any:
    """Bytes from text such as ``256 MiB`` (powers of 1024), ``2 GB`` (powers of 1000) or ``512``."""
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value.strip())
    return round(float(found[1]) * _UNITS[(found[2] or "").lower()]) if found else value


Share = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(ge=0.0)]
Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=0), Form("a size such as 256 MiB")]
Tokens = Annotated[int, Field(ge=1)]
Names = Annotated[tuple[str, ...], Field(strict=False)]


class Section(BaseModel):
    """A frozen section in which an unknown key is an error, and so is text or true where a number belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class BackendSettings(BaseModel):
    """One backend instance: which type, whether it is on, and options only the backend understands."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    type: str
    enabled: bool = True

    @property
    def options(self) -> dict[str, Any]:
        """What is left for the backend to validate."""
        return dict(self.model_extra or {})


def _sought(port: int) -> BackendSettings:
    """A server that may run at its usual port of this machine."""
    url = f"http://127.0.0.1:{port}"
    return BackendSettings(type="openai-compatible", base_url=url, seek=True)  # type: ignore[call-arg]


class ProbeSettings(BackendSettings):
    """One probe instance, in the same form as a backend."""


class SelectionSettings(Section):
    """Which strategies vote, how their votes become one order, and how long each may think."""

    strategies: Names = ("value", "greedy-fit", "cost-aware")
    options: dict[str, dict[str, Any]] = {}
    arbiter: Literal["first", "vote", "weighted", "exp4"] = "vote"
    weights: dict[str, Annotated[float, Field(gt=0.0)]] = {}
    budget_ms: Annotated[float, Field(gt=0.0)] = 50.0


class StabilitySettings(Section):
    """When a better model is worth a switch."""

    margin: Share = 0.03
    horizon_turns: Annotated[int, Field(ge=1)] = 6
    up_after_seconds: Seconds = 300.0
    seconds_value: Share = 0.005
    spare: Share = 0.03


class MemorySettings(Section):
    """Memory left free for everything else."""

    headroom: Share = 0.10
    headroom_min: Bytes = 256 * 1024 * 1024
    headroom_max: Bytes = 2 * 1024 * 1024 * 1024
    idle_seconds: Seconds = 1800.0


class ContextSettings(Section):
    """How much of the conversation a model gets to see."""

    transfer: str = "hybrid"
    options: dict[str, dict[str, Any]] = {}
    window: Tokens = 8192
    minimum: Tokens = 1024
    reserve: Tokens = 512
    trigger: Share = 0.70
    target: Share = 0.45
    system_prompt: str = "You are a helpful assistant."


class GenerationSettings(Section):
    """How models answer."""

    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.2
    top_p: Share = 0.95
    seed: int | None = None
    max_tokens: Annotated[int, Field(ge=0)] = 0
    logprobs: bool = True
    first_token_deadline: Annotated[float, Field(gt=0.0)] = 120.0
    token_deadline: Annotated[float, Field(gt=0.0)] = 30.0


class PreloadSettings(Section):
    """Getting the next model ready."""

    enabled: bool = True
    on_battery: bool = False


class CostSettings(Section):
    """What turns work into energy, and energy and waiting into money."""

    watts_busy: Annotated[float, Field(ge=0.0)] = 25.0
    price_kwh: Annotated[float, Field(ge=0.0)] = 0.30
    price_hour: Annotated[float, Field(ge=0.0)] = 1.0
    budget_day: Annotated[float, Field(ge=0.0)] | None = None
    budget_month: Annotated[float, Field(ge=0.0)] | None = None


class LearningSettings(Section):
    """Whether, and how lastingly, models are judged by how their replies turned out for this person."""

    outcomes: bool = True
    half_life_days: Annotated[float, Field(gt=0.0)] = 90.0


class StarterSettings(Section):
    """The model that is fetched when there is none."""

    fetch: Literal["auto", "never"] = "auto"


class MonitorSettings(Section):
    """How often the machine is looked at, and what counts as trouble."""

    interval_seconds: Annotated[float, Field(gt=0.0)] = 2.0
    probe_timeout_seconds: Annotated[float, Field(gt=0.0)] = 1.0
    pressure_full: Share = 0.10


class LogSettings(Section):
    """What is written to the log. ``content`` lets it hold what people and models write."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    content: bool = False
    max_bytes: Bytes = 1_000_000
    files: Annotated[int, Field(ge=1)] = 3


class PluginSettings(Section):
    """Plugins that are not loaded, by entry-point name."""

    blocked: Names = ()


class Settings(Section):
    """Everything a person can set."""

    privacy: Literal["local-only", "any"] = "any"
    backends: dict[str, BackendSettings] = {
        "embedded": BackendSettings(type="embedded"),
        "lmstudio": BackendSettings(type="lmstudio"),
        "ollama": BackendSettings(type="ollama"),
        "llama-server": _sought(8080),
        "vllm": _sought(8000),
        "sglang": _sought(30000),
    }
    probes: dict[str, ProbeSettings] = {name: ProbeSettings(type=name) for name in ("system", "nvidia", "drm", "apple")}
    selection: SelectionSettings = SelectionSettings()
    stability: StabilitySettings = StabilitySettings()
    memory: MemorySettings = MemorySettings()
    context: ContextSettings = ContextSettings()
    generation: GenerationSettings = GenerationSettings()
    preload: PreloadSettings = PreloadSettings()
    cost: CostSettings = CostSettings()
    learning: LearningSettings = LearningSettings()
    starter: StarterSettings = StarterSettings()
    monitor: MonitorSettings = MonitorSettings()
    log: LogSettings = LogSettings()
    plugins: PluginSettings = PluginSettings()
