"""A scripted stand-in for ``AsyncMai``, so that the command line can be tested in milliseconds.

Runs as a program too: ``python tests/cli/fakes.py chat hello`` is ``mai chat hello`` with this in place of the engine.
What it answers depends on a word in the question: see ``ScriptedMai.stream``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from mai_core.errors import MaiError, ModelCrashed, UnknownModel
from mai_core.paths import Paths
from mai_core.plugin.interfaces import FetchProgress
from mai_core.policy.context import Receipt
from mai_core.policy.features import TaskFeatures, TaskKind
from mai_core.policy.lessons import Lesson, lessons
from mai_core.policy.messages import Conversation, Image, Message, ReasoningDelta, Role, StopReason, TextDelta, Usage
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, ModelProfile, Tier
from mai_core.policy.outcomes import Sign, outcome_of, refit
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind, ResourceSnapshot
from mai_core.policy.selection import (
    Ballot,
    Candidate,
    Decision,
    Flip,
    Move,
    Proposal,
    Ranked,
    Rejection,
    RejectionReason,
)
from mai_core.runtime.presence import ProcessNote
from mai_core.runtime.status import BackendStatus, ModelRow, Placement, Status
from mai_core.runtime.store import Store
from mai_core.runtime.turn import (
    Explanation,
    FellBack,
    Fetching,
    Loading,
    ModelChosen,
    Reply,
    TurnEnd,
    TurnEvent,
)

GIB, MIB = 2**30, 2**20

MARKDOWN = """# Heading

A **bold** word and `code`, <div> kept.

- one
- two

```python
def answer() -> int:
    return 42
```

| a | b |
|---|---|
| 1 | 2 |

The end.
"""

SMALL = ModelProfile(
    key="smollm2-135m-instruct-q4_1",
    backend="embedded",
    location="/models/smollm2.gguf",
    size_bytes=98 * MIB,
    max_context=8192,
    tier=Tier.TINY,
    origin="mai",
)
LARGE = ModelProfile(
    key="qwen2.5-coder-0.5b-instruct-q4_k_m",
    backend="embedded",
    location="/models/qwen.gguf",
    size_bytes=491 * MIB,
    max_context=32768,
    tier=Tier.TINY,
    origin="ollama",
)
REMOTE = ModelProfile(
    key="far-away", backend="cloud", location="far-away", host="api.example.com", remote=True, tier=Tier.LARGE
)
HUGE = ModelProfile(
    key="llama-3.3-70b-instruct-q4_k_m",
    backend="embedded",
    location="/models/llama.gguf",
    size_bytes=40 * GIB,
    max_context=131072,
    tier=Tier.LARGE,
)
WANTED = ModelProfile(
    key="qwen2.5-1.5b-instruct-q4_k_m",
    backend="embedded",
    location="hf:Qwen/Qwen2.5-1.5B",
    size_bytes=1117 * MIB,
    tier=Tier.SMALL,
    installed=False,
)
MODELS = (SMALL, LARGE, REMOTE, HUGE, WANTED)

CANDIDATES = (
    Candidate(
        key=SMALL.key,
        backend="embedded",
        plan=LoadPlan(context=8192),
        footprint=Footprint(anonymous=233 * MIB, file_backed=112 * MIB),
        quality=0.31,
        prefill_seconds=0.2,
        tokens_per_second=96.0,
        wait_seconds=2.9,
        is_loaded=True,
    ),
    Candidate(
        key=LARGE.key,
        backend="embedded",
        plan=LoadPlan(context=8192),
        footprint=Footprint(anonymous=242 * MIB, file_backed=483 * MIB),
        quality=0.48,
        load_seconds=1.3,
        prefill_seconds=0.8,
        tokens_per_second=24.0,
        wait_seconds=12.8,
    ),
    Candidate(
        key=REMOTE.key, backend="cloud", host=REMOTE.host, plan=LoadPlan(context=8192), quality=0.9, is_remote=True
    ),
)
REJECTIONS = (
    Rejection(
        key=HUGE.key,
        model=HUGE.key,
        backend="embedded",
        reason=RejectionReason.MEMORY,
        message="needs 40.6 GiB, 3.1 GiB are free",
        remedy="free 37.5 GiB",
        needed=43_593_000_000,
        available=3_328_599_654,
        pool="ram",
    ),
)
LOADED = LoadedModel(
    instance="embedded-1",
    key=SMALL.key,
    backend="embedded",
    plan=LoadPlan(context=8192),
    footprint=Footprint(anonymous=233 * MIB, file_backed=112 * MIB),
    pid=4321,
)


def decision(choice: str = SMALL.key, *, pinned: str | None = None) -> Decision:
    order = [choice, *(c.key for c in CANDIDATES if c.key != choice)]
    return Decision(
        move=Move.PIN if pinned == choice else Move.STAY,
        choice=choice,
        reason="you pinned it" if pinned else "good enough for small talk, and already loaded",
        ranking=tuple(Ranked(key, 0.9 - 0.1 * place, "vote") for place, key in enumerate(order)),
        favourite=choice,
        current=SMALL.key,
        pinned=pinned,
        arbiter="vote",
        features=TaskFeatures(kind=TaskKind.CHAT, difficulty=0.2, prompt_tokens=48, new_tokens=12),
        ballots=(
            Ballot(
                strategy="tiered",
                proposals=(Proposal(SMALL.key, 0.9, "tiny is enough for chat"), Proposal(LARGE.key, 0.7, "tiny too")),
                seconds=12e-6,
            ),
            Ballot(strategy="moody", fault="proposed a model that is no candidate: gpt-9", weight=0.5),
        ),
        candidates=CANDIDATES,
        rejections=REJECTIONS,
        flip=Flip("if this turn were as hard as 0.62", LARGE.key),
    )


class ScriptedMai:
    """Has the methods of ``AsyncMai`` and a real store, but no engine."""

    def __init__(self, paths: Paths, registry: Any) -> None:
        self.conversation: str | None = None
        self.store = Store.open(paths.database, now=time.time)
        self.registry = registry
        self.pinned: str | None = None
        self.events: list[str] = []
        self._log = paths.state / "scripted.log"

    @classmethod
    async def open(
        cls, loaded: Any = None, *, paths: Paths, environment: Mapping[str, str] | None = None, registry: Any = None
    ) -> ScriptedMai:
        return cls(paths, registry)

    async def stream(self, said: str | Message, *, conversation: str | None = None) -> AsyncGenerator[TurnEvent, None]:
        """Answers by the first word it knows: markdown, slow, long, crash, fall, fetch, think, remote, overruled,
        condensed; else echoes.
        """
        name = conversation or self.conversation or await self.new_conversation()
        message = said if isinstance(said, Message) else Message(role=Role.USER, content=said)
        asked, text = self.store.append(name, message), message.content
        choice = REMOTE.key if "remote" in text else SMALL.key if "overruled" in text else self.pinned or SMALL.key
        made = decision(choice, pinned=self.pinned)
        answer = ""
        try:
            if "fetch" in text:
                for done in range(0, 101, 20):
                    progress = FetchProgress(stage="fetching", done=done * MIB, total=100 * MIB)
                    yield Fetching(SMALL.key, progress)
                    await asyncio.sleep(0.02)
            yield ModelChosen(made)
            for share in (0.0, 0.5, 1.0):
                yield Loading(choice, share)
                await asyncio.sleep(0.01)
            if "think" in text:
                yield ReasoningDelta("let me see")
            async for piece in self._pieces(text):
                if isinstance(piece, str):
                    answer += piece
                    yield TextDelta(piece)
                else:
                    yield piece
        except BaseException as error:
            stop = StopReason.FAILED if isinstance(error, MaiError) else StopReason.CANCELLED
            self.store.append(name, Message(role=Role.ASSISTANT, content=answer, model=choice, stop=stop))
            self._note(f"stopped: {stop.value}")
            raise
        message = self.store.append(
            name, Message(role=Role.ASSISTANT, content=answer, model=choice, stop=StopReason.STOP)
        )
        receipt = Receipt(kept=2, tokens=48, tokens_saved=49 if "condensed" in text else 0)
        self.store.save_receipt(self.store.save_decision(name, asked.id, made), receipt)
        yield TurnEnd(
            Reply(
                message=message,
                conversation=name,
                usage=Usage(prompt_tokens=48, completion_tokens=len(answer.split())),
                decision=made,
                receipt=receipt,
                first_token_seconds=0.1,
                seconds=0.2,
            )
        )

    async def _pieces(self, text: str) -> AsyncGenerator[str | FellBack, None]:
        if "markdown" in text:
            for start in range(0, len(MARKDOWN), 7):
                yield MARKDOWN[start : start + 7]
                await asyncio.sleep(0.005)
        elif "slow" in text:
            for number in range(10_000):
                yield f"word{number} "
                await asyncio.sleep(0.02)
        elif "long" in text:
            yield "".join(f"line {number}\n" for number in range(200))
            yield "the very last line"
        elif "crash" in text:
            yield "Half an ans"
            raise ModelCrashed("the model's process ended (signal 9)", remedy="ask again")
        elif "fall" in text:
            yield "Half an answer "
            following = REMOTE.key if "far" in text else LARGE.key
            yield FellBack(SMALL.key, ModelCrashed("the model's process ended (signal 9)"), following)
            await asyncio.sleep(0.5 if "late" in text else 0)
            yield "and the rest."
        else:
            for word in f"You said: {text}".split(" "):
                yield word + " "

    async def get_conversation_history(self, conversation: str | None = None) -> Conversation:
        wanted = conversation or self.conversation
        return self.store.conversation(wanted) if wanted else Conversation(id="")

    async def get_status(self) -> Status:
        return Status(
            current=SMALL.key,
            pinned=self.pinned,
            loaded=(LOADED,),
            resources=ResourceSnapshot(
                hosts=(
                    Host(
                        pools=(
                            MemoryPool("ram", PoolKind.RAM, 8 * GIB, 3 * GIB, limited_by="cgroup"),
                            MemoryPool("gpu0", PoolKind.DEVICE, 12 * GIB, 11 * GIB),
                        ),
                        cpu=Cpu(2, 0.4),
                        swap_total=2 * GIB,
                        swap_free=GIB,
                    ),
                ),
            ),
            backends=(
                BackendStatus(name="embedded", kind="embedded", host="local", remote=False, models=3),
                BackendStatus(name="lms", kind="lmstudio", host="local", remote=False, error="nobody answers"),
                BackendStatus(
                    name="ollama",
                    kind="ollama",
                    host="local",
                    remote=False,
                    error="Ollama is not installed",
                    absent=True,
                ),
                BackendStatus(name="box", kind="ollama", host="box", remote=True, models=2, note="found on port 11434"),
            ),
            processes=(
                ProcessNote(pid=4242, born=0.0, command="mai chat", started=time.time() - 90, loaded=(LOADED,)),
            ),
        )

    async def models(self) -> tuple[ModelRow, ...]:
        by_key = {c.key: c for c in CANDIDATES}
        rejected = {r.key: r for r in REJECTIONS}
        return tuple(
            ModelRow.of(
                [
                    Placement(
                        profile=profile,
                        candidate=by_key.get(profile.key),
                        rejection=rejected.get(profile.key)
                        or (
                            None
                            if profile.installed
                            else Rejection(
                                key=profile.key,
                                reason=RejectionReason.NOT_INSTALLED,
                                message="not on this disk",
                                remedy=f"mai pull {profile.key}",
                            )
                        ),
                        loaded=LOADED if profile is SMALL else None,
                        pinned=profile.key == self.pinned,
                    )
                ]
            )
            for profile in MODELS
        )

    async def rate(self, good: bool, *, conversation: str | None = None) -> str:
        history = await self.get_conversation_history(conversation)
        reply = history.messages[-1]
        features = decision().features
        made = outcome_of(CANDIDATES[0], features, Sign.RATED, value=float(good), seconds=0.2)
        self.store.record_outcome(made, history.id, reply.id)
        return reply.model

    async def learnt(self) -> tuple[Lesson, ...]:
        outcomes = self.store.outcomes().changed.values()
        return lessons(outcomes, refit(outcomes, now=time.time()))

    async def explain(self, prompt: str | None = None, *, conversation: str | None = None) -> Explanation:
        if prompt is not None:
            return Explanation(decision=decision(), dry_run=True)
        stored = self.store.last_decision(conversation or self.conversation)
        if stored is None:
            raise MaiError("no decision was made yet", remedy="ask something first")
        return Explanation(decision=stored.decision, receipt=stored.receipt, made=stored.made)

    async def switch(self, key: str | None, *, here_only: bool = False) -> str | None:
        if key is not None:
            found = [m.key for m in MODELS if m.key.startswith(key)]
            if len(found) != 1:
                raise UnknownModel(f"there is no model {key}", remedy=f"did you mean {SMALL.key}?")
            key = found[0]
        self.pinned = key
        self._note(f"switch {key} {here_only}")
        return key

    async def fetch(
        self, source: str, *, sha256: str = "", progress: Callable[[FetchProgress], None] | None = None
    ) -> ModelProfile:
        for done in range(0, 101, 10):
            if progress:
                progress(FetchProgress(stage="fetching", done=done * MIB, total=100 * MIB))
            await asyncio.sleep(0.01)
        return SMALL

    async def remove(self, key: str) -> int:
        if key != SMALL.key:
            raise UnknownModel(f"there is no model {key}", remedy=f"did you mean {SMALL.key}?")
        return SMALL.size_bytes

    async def new_conversation(self) -> str:
        self.conversation = self.store.new_conversation().id
        return self.conversation

    async def resume(self, conversation: str | None = None) -> Conversation:
        found = self.store.latest() if conversation is None else self.store.conversation(conversation)
        if found is None:
            raise MaiError("there is no conversation to continue", remedy="begin one: mai chat")
        self.conversation = found.id
        return found

    async def prepare(self, typed: str = "", *, images: Sequence[Image] = ()) -> None:
        return

    async def shutdown(self) -> None:
        self._note("shutdown")
        self.store.close()

    def _note(self, line: str) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a") as file:
            file.write(line + "\n")


def install() -> None:
    """Put the stand-in where the command line looks for ``AsyncMai``."""
    import mai_core.runtime.mai as runtime

    runtime.AsyncMai = ScriptedMai  # type: ignore[assignment,misc]


if __name__ == "__main__":
    from mai_core.cli import main

    install()
    main()
