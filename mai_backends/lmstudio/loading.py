"""Loading: exactly so, with progress, and with nothing left behind when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from lmstudio import LMStudioChannelClosedError, LMStudioError, LMStudioServerError
from lmstudio.json_api import LlmLoadModelConfig, LoadModelEndpoint, ModelTypesLlm

from mai_backends.lmstudio import failures
from mai_backends.lmstudio.client import Channel, Connection, Link
from mai_backends.lmstudio.life import Lifeless, Pulse
from mai_backends.lmstudio.options import Gpu
from mai_backends.lmstudio.orphans import Orphans
from mai_backends.lmstudio.stopping import stop, undisturbed
from mai_core.errors import BackendUnavailable, ModelLoadError, OutOfMemory
from mai_core.policy.models import Footprint, KvType, LoadPlan, ModelProfile

__all__ = ["Estimate", "Loader", "configuration", "specifier"]

log = logging.getLogger("mai.lmstudio")

ESTIMATE_SECONDS = 2.0
ALIVE_SECONDS = 1.0
STOP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What LM Studio expects a load to take: bytes of ``total`` memory, and how many of them on GPUs."""

    total: int
    gpu: int = 0
    allowed: bool = True

    def footprint(self, weights: int) -> Footprint:
        """By pool, of a model whose ``weights`` take so many bytes on disk.

        LM Studio maps weights from their file where they are not on a GPU, but tells only how much of the whole is
        there: as large a share of the weights is taken to be.
        """
        ram = self.total - self.gpu
        mapped = min(ram, weights * ram // self.total)
        return Footprint(ram - mapped, mapped, {"gpu": self.gpu} if self.gpu else {})


class Loader:
    """Loads models over ``connection``. ``silence`` is how many seconds a load may show no progress."""

    def __init__(self, connection: Connection, orphans: Orphans, *, gpu: Gpu, ttl: int | None, silence: float) -> None:
        self._connection = connection
        self._orphans = orphans
        self._gpu = gpu
        self._ttl = ttl
        self._silence = silence
        self._estimates = True

    async def load(
        self,
        model: ModelProfile,
        plan: LoadPlan,
        identifier: str,
        *,
        gguf: bool,
        progress: Callable[[float], None],
        short_of_memory: Callable[[], bool],
    ) -> tuple[LoadPlan, Estimate | None]:
        """Load ``model`` as ``identifier``; the plan with the context it really has, and LM Studio's own estimate.

        Raises ``OutOfMemory``, ``ModelFileError``, ``ModelLoadError``, ``BackendUnavailable``.
        """
        endpoint = _request(model, plan, identifier, gguf=gguf, gpu=self._gpu, ttl=self._ttl)
        estimate = await self._estimate(model, endpoint)
        if estimate is not None and not estimate.allowed:
            raise OutOfMemory(
                f"{model.key} cannot be loaded: LM Studio expects it to take {estimate.total / 1e9:.1f} GB, "
                "more than it may",
                remedy="use a smaller context or model, or relax the guardrails in LM Studio's settings",
            )
        progress(0.0)
        try:
            async with self._connection.link() as link:
                info = await self._loaded(link, endpoint, identifier, model.key, progress)
        except LMStudioError as error:
            if failures.is_lost(error):
                self._orphans.hunt(identifier)
                raise BackendUnavailable(
                    f"the connection to LM Studio broke while it loaded {model.key}", detail=failures.describe(error)
                ) from error
            raise failures.loading(error, model.key, short_of_memory=short_of_memory()) from error
        try:
            context = await self._context(identifier, info)
            progress(1.0)
        except BaseException:
            self._orphans.hunt(identifier)
            await undisturbed(self._orphans.settle(STOP_SECONDS))
            raise
        return replace(plan, context=context or plan.context), estimate

    async def _loaded(
        self,
        link: Link,
        endpoint: LoadModelEndpoint[Any, Any],
        identifier: str,
        key: str,
        tell: Callable[[float], None],
    ) -> Mapping[str, Any]:
        """What the server says of the new instance. A load that is given up is stopped, or found again later."""
        async with link.channel(endpoint) as channel:
            unfinished = True
            try:
                pulse = Pulse(link.address)
                info = await pulse.while_there(self._watched(channel, pulse, tell))
                unfinished = False
                return info
            except Lifeless as error:
                self._connection.retire(link)
                raise failures.lifeless(str(link.address), key) from error
            except TimeoutError as error:
                self._connection.retire(link)
                raise ModelLoadError(
                    f"{key} cannot be loaded: LM Studio showed no progress for {self._silence:g} s"
                ) from error
            except LMStudioServerError:
                unfinished = False
                raise
            except LMStudioError as error:
                if failures.is_lost(error):
                    unfinished = False
                    self._connection.retire(link)
                raise
            finally:
                if unfinished:
                    last = await undisturbed(stop(channel, seconds=STOP_SECONDS))
                    if last is None or last.get("type") == "success":
                        self._orphans.hunt(identifier)
                    if last:
                        await undisturbed(self._orphans.settle(STOP_SECONDS))

    async def _watched(self, channel: Channel, pulse: Pulse, tell: Callable[[float], None]) -> Mapping[str, Any]:
        """The ``info`` of success; progress goes up only. Raises ``TimeoutError`` when there is none for too long."""
        clock = asyncio.get_running_loop().time
        deadline, highest = clock() + self._silence, 0.0
        async with aclosing(channel.rx_stream()) as packets:  # type: ignore[type-var]  # a generator, typed as iterator
            while True:
                async with asyncio.timeout_at(deadline):
                    packet = await anext(packets, None)
                pulse.beat()
                match packet:
                    case None:
                        raise LMStudioChannelClosedError("LM Studio ended the load without a word")
                    case {"type": "progress", "progress": int() | float() as share} if share > highest:
                        highest, deadline = share, clock() + self._silence
                        if share < 1.0:
                            tell(share)
                    case {"type": "success"}:
                        info = packet.get("info")
                        return info if isinstance(info, Mapping) else {}
                    case {"type": "resolved"}:
                        deadline = clock() + self._silence

    async def _estimate(self, model: ModelProfile, endpoint: LoadModelEndpoint[Any, Any]) -> Estimate | None:
        """LM Studio's own expectation; None where it has none, or is too old to be asked."""
        if not self._estimates:
            return None
        stack = endpoint.creation_params["loadConfigStack"]
        parameter = {"modelKey": model.location, "loadConfigStack": stack}
        try:
            answer = await self._connection.call(
                "llm", "estimateModelUsage", parameter, seconds=ESTIMATE_SECONDS, may_be_unknown=True
            )
        except BackendUnavailable:
            if not self._connection.open:
                raise
            # Too old to know the question, or silent altogether? Whoever lists what is loaded is only old.
            with suppress(LMStudioError):
                await self._connection.call("llm", "listLoaded", seconds=ALIVE_SECONDS)
            self._estimates = False
            return None
        except LMStudioError as error:
            log.info("no estimate", extra={"model": model.key, "why": failures.describe(error)})
            return None
        return _estimate(answer)

    async def _context(self, identifier: str, info: Mapping[str, Any]) -> int:
        """The window an instance really has: LM Studio may give another than it was asked for. 0 when unknown."""
        try:
            answer = await self._connection.call(
                "llm",
                "getLoadConfig",
                {"specifier": specifier(identifier)},
                seconds=ESTIMATE_SECONDS,
                may_be_unknown=True,
            )
        except (BackendUnavailable, LMStudioError) as error:
            log.info("configuration not read back", extra={"instance": identifier, "why": failures.describe(error)})
            answer = None
        fields = answer.get("fields") if isinstance(answer, Mapping) else None
        for field in fields if isinstance(fields, list) else ():
            match field:
                case {"key": "llm.load.contextLength", "value": int(context)} if context > 0:
                    return context
        told = info.get("contextLength")
        return told if isinstance(told, int) and told > 0 else 0


def specifier(identifier: str) -> dict[str, Any]:
    """One certain instance, as remote calls are told of it."""
    return {"type": "query", "query": {"identifier": identifier}}


def configuration(plan: LoadPlan, *, gguf: bool, gpu: Gpu, layers: int) -> LlmLoadModelConfig:
    """A plan in LM Studio's terms. What only llama.cpp knows is said for GGUF files alone.

    ``gpu`` decides where the plan does not; ``layers`` is how many the model has, 0 when unknown. Quantised values in
    the cache need flash attention, so where a plan forbids that only the keys are quantised.
    """
    config = LlmLoadModelConfig(context_length=plan.context)
    ratio = _ratio(plan.gpu_layers, gpu, layers)
    if ratio is not None:
        config.gpu = type(config).from_dict({"gpu": {"ratio": ratio}}).gpu
    if gguf:
        config.eval_batch_size = plan.batch
        config.flash_attention = plan.flash_attention
        if plan.kv_type is not KvType.F16:
            kind: Literal["q8_0", "q4_0"] = "q8_0" if plan.kv_type is KvType.Q8_0 else "q4_0"
            config.llama_k_cache_quantization_type = kind
            if plan.flash_attention is not False:
                config.flash_attention = True
                config.llama_v_cache_quantization_type = kind
    return config


def _ratio(gpu_layers: int | None, gpu: Gpu, layers: int) -> float | str | None:
    """The share of the layers that goes to the GPU; None for what LM Studio thinks best."""
    if gpu_layers is None:
        return None if gpu == "auto" else gpu
    if gpu_layers <= 0:
        return "off" if gpu_layers == 0 else "max"
    return min(1.0, gpu_layers / layers) if layers else "max"


def _request(
    model: ModelProfile, plan: LoadPlan, identifier: str, *, gguf: bool, gpu: Gpu, ttl: int | None
) -> LoadModelEndpoint[Any, Any]:
    layers = model.architecture.layers if model.architecture else 0
    endpoint: LoadModelEndpoint[Any, Any] = LoadModelEndpoint(
        model.location,
        identifier,
        ttl,
        ModelTypesLlm.REQUEST_NEW_INSTANCE,
        ModelTypesLlm.MODEL_LOAD_CONFIG,
        configuration(plan, gguf=gguf, gpu=gpu, layers=layers),
        None,
    )
    config = endpoint.creation_params["loadConfigStack"]["layers"][0]["config"]
    # With a ratio the SDK also sends how to split over several GPUs, which is the person's choice.
    config["fields"] = [field for field in config["fields"] if field["key"] != "load.gpuSplitConfig"]
    return endpoint


def _estimate(answer: Any) -> Estimate | None:
    memory = answer.get("memory") if isinstance(answer, Mapping) else None
    if not isinstance(memory, Mapping):
        return None
    total, gpu = memory.get("totalBytes"), memory.get("totalVramBytes")
    if not isinstance(total, int | float) or not 0 < total < 1 << 60:
        return None
    on_gpu = gpu if isinstance(gpu, int | float) and 0 <= gpu <= total else 0
    return Estimate(int(total), int(on_gpu), answer.get("passesGuardrails") is not False)
