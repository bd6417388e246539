"""What models exist, whatever the backends do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mai_core.errors import BackendUnavailable, UnknownModel
from mai_core.plugin.interfaces import Backend
from mai_core.policy.models import Capability, KnownModel, ModelProfile, Tier
from mai_core.policy.quality import prior_quality
from mai_core.policy.speed import expected_speed
from mai_core.runtime import catalog as module
from mai_core.runtime.catalog import Catalog
from mai_core.testing import FakeBackend, FakeClock, FakeModel


class Hanging(FakeBackend):
    async def models(self) -> Sequence[ModelProfile]:
        await asyncio.sleep(3600)
        raise AssertionError


def backend(*keys: str, name: str = "fake") -> FakeBackend:
    return FakeBackend.of(*(FakeModel.named(k) for k in keys), name=name)


def catalog_of(*backends: Backend, known: Sequence[KnownModel] = (), clock: FakeClock | None = None) -> Catalog:
    by_name = {b.name: b for b in backends}
    return Catalog(by_name, known, clock=clock) if clock else Catalog(by_name, known)


def keys(models: Sequence[ModelProfile]) -> list[str]:
    return [m.key for m in models]


async def test_a_hanging_backend_hides_no_others_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr(module, "LISTING_SECONDS", 60.0)
    catalog = catalog_of(Hanging.of(name="stuck"), backend("a", name="fine"))
    async with asyncio.timeout(10):
        assert keys(await catalog.current()) == ["a"]
        monkeypatch.setattr(module, "GRACE_SECONDS", 60.0)
        assert keys(await catalog.current()) == ["a"], "and the second call does not wait at all"
    assert catalog.statuses[0].error == "has not answered yet"
    monkeypatch.setattr(module, "LISTING_SECONDS", 0.5)
    await catalog.refresh()
    stuck, fine = catalog.statuses
    assert "did not list its models" in stuck.error
    assert (fine.error, fine.models) == ("", 1)
    await catalog.close()


async def test_nobody_is_told_of_no_models_while_some_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.01)

    class Slow(FakeBackend):
        async def models(self) -> Sequence[ModelProfile]:
            await asyncio.sleep(0.1)
            return await super().models()

    assert keys(await catalog_of(backend(), Slow.of(FakeModel.named("late"), name="slow")).current()) == ["late"]


async def test_a_failing_backend_keeps_the_rows_it_gave_last() -> None:
    one, two = backend("a", name="one"), backend("b", name="two")
    catalog = catalog_of(one, two)
    await catalog.refresh()
    one.available = False
    await catalog.refresh()
    assert keys(catalog.models) == ["a", "b"]
    assert "does not answer" in catalog.statuses[0].error
    one.available = True
    await catalog.refresh()
    assert catalog.statuses[0].error == ""


@pytest.mark.parametrize(
    ("defect", "told"),
    [
        (KeyError("oops"), "KeyError"),
        (["not a profile"], "lists nothing that could be used: a str, not a ModelProfile"),
    ],
)
async def test_a_defect_of_a_backend_is_its_own(defect: Exception | list[str], told: str) -> None:
    class Defective(FakeBackend):
        async def models(self) -> Sequence[ModelProfile]:
            if isinstance(defect, Exception):
                raise defect
            return defect  # type: ignore[return-value]

    catalog = catalog_of(Defective.of(name="odd"), backend("a"))
    assert keys(await catalog.current()) == ["a"]
    assert told in catalog.statuses[0].error
    await catalog.refresh()
    assert keys(catalog.models) == ["a"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", 7),
        ("key", ""),
        ("key", None),
        ("backend", "another"),
        ("size_bytes", None),
        ("size_bytes", -1),
        ("parameters", float("nan")),
        ("max_context", "8k"),
        ("capabilities", ["tools"]),
        ("quality", {"default": "high"}),
        ("architecture", "llama"),
        ("installed", "yes"),
    ],
)
async def test_a_malformed_row_costs_itself_alone(field: str, value: object, caplog: pytest.LogCaptureFixture) -> None:
    class Careless(FakeBackend):
        async def models(self) -> Sequence[ModelProfile]:
            good, bad = await super().models()
            return good, replace(bad, **{field: value})  # type: ignore[arg-type]

    catalog = catalog_of(Careless.of(FakeModel.named("good"), FakeModel.named("bad"), name="odd"), backend("a"))
    for _ in range(2):
        await catalog.refresh()
        assert keys(catalog.models) == ["good", "a"]
    odd, _ = catalog.statuses
    assert (odd.error, odd.models, "1 malformed row left out" in odd.note) == ("", 1, True)
    [warning] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert vars(warning)["backend"] == "odd", "told once, of whom it is"
    [fault] = vars(warning)["faults"]
    assert field in fault


async def test_a_set_of_capabilities_and_a_whole_number_are_no_fault() -> None:
    fake = backend("a")
    fake._models["a"].profile = replace(fake.model("a").profile, capabilities={"tools"}, parameters=7, tier="large")  # type: ignore[arg-type]
    assert keys(await catalog_of(fake).current()) == ["a"]


async def test_a_model_of_unknown_size_is_thought_of_as_one_of_seven_billion() -> None:
    fake = backend("house-model")
    fake._models["house-model"].profile = replace(fake.model("house-model").profile, parameters=0.0, size_bytes=0)
    [model] = await catalog_of(fake).current()
    assert model.tier is Tier.MEDIUM
    as_told = replace(model, parameters=7e9)
    assert prior_quality(model) == prior_quality(as_told)
    assert expected_speed(model, 2) == expected_speed(as_told, 2)


async def test_a_model_nobody_has_heard_of_may_be_on_an_engine_that_is_down() -> None:
    down = backend("a", name="lms")
    down.available = False
    catalog = catalog_of(down, backend("b"))
    await catalog.refresh()
    assert catalog.remedies.keys() <= {"lms"}
    with pytest.raises(UnknownModel) as caught:
        catalog.resolve("zzz")
    assert caught.value.remedy.endswith("nobody knows what lms would offer: mai status says why")


async def test_one_key_means_one_model() -> None:
    catalog = catalog_of(backend("a", "b", name="one"), backend("a", "c", name="two"))
    found = await catalog.current()
    assert [(m.key, m.backend) for m in found] == [("a", "one"), ("b", "one"), ("two/a", "two"), ("c", "two")]
    assert catalog.resolve("two/a").backend == "two"


async def test_later_calls_answer_from_memory_and_refresh_behind() -> None:
    clock, fake = FakeClock(), backend("a")
    catalog = catalog_of(fake, clock=clock)
    await catalog.current()
    fake._models["b"] = FakeModel.named("b")
    assert keys(await catalog.current()) == ["a"]
    clock.advance(module.FRESH_SECONDS + 1)
    assert keys(await catalog.current()) == ["a"]
    async with asyncio.timeout(5):
        while keys(await catalog.current()) != ["a", "b"]:
            await asyncio.sleep(0.001)


async def test_who_has_not_changed_stays_the_same_object() -> None:
    """What was worked out of a model is remembered by that: see ``policy.remembering``."""
    fake = backend("a", "b")
    catalog = catalog_of(fake)
    before = {m.key: m for m in await catalog.current()}
    fake._models["b"] = FakeModel.named("b", size_bytes=before["b"].size_bytes + 1)
    await catalog.refresh()
    after = {m.key: m for m in catalog.models}
    assert after["a"] is before["a"]
    assert after["b"].size_bytes == before["b"].size_bytes + 1


@pytest.mark.parametrize(
    ("said", "meant"), [("Qwen-Large", "qwen-large"), ("smol", "smollm"), (" large ", "qwen-large")]
)
async def test_what_a_person_means(said: str, meant: str) -> None:
    catalog = catalog_of(backend("smollm", "qwen-small", "qwen-large"))
    await catalog.current()
    assert catalog.resolve(said).key == meant


@pytest.mark.parametrize(
    ("said", "hint"), [("qwen", "qwen-small or qwen-large"), ("smolm", "smollm"), ("zzz", "mai models"), ("", "models")]
)
async def test_what_nobody_can_mean_names_the_nearest(said: str, hint: str) -> None:
    catalog = catalog_of(backend("smollm", "qwen-small", "qwen-large"))
    await catalog.current()
    with pytest.raises(UnknownModel) as caught:
        catalog.resolve(said)
    assert hint in caught.value.remedy


async def test_the_catalogue_completes_what_a_backend_knows() -> None:
    known = KnownModel(
        key="a-family",
        patterns=("a-*",),
        name="A",
        tier=Tier.LARGE,
        quality={"default": 0.7},
        capabilities=frozenset({Capability.TOOLS}),
        fallbacks=("b",),
    )
    base = KnownModel(key="b-base", chat=False)
    fake = backend("a-7b", "b-base", "unheard-of")
    fake._models["a-7b"].profile = replace(fake.model("a-7b").profile, name="")
    catalog = catalog_of(fake, known=[known, base])
    a, _, other = await catalog.current()
    assert (a.name, a.tier, a.quality, a.capabilities) == ("A", Tier.LARGE, {"default": 0.7}, {Capability.TOOLS})
    assert a.fallbacks == ("b",)
    assert other.tier is Tier.SMALL, "by its two billion parameters"
    assert catalog.not_chat == {"b-base"}


async def test_a_model_is_called_as_the_catalogue_calls_it_where_it_speaks_of_that_very_model() -> None:
    known = KnownModel(key="a-instruct", patterns=("a-instruct*",), name="A Instruct")
    fake = backend("A-Instruct-Q4_1.gguf", "a-instruct-roleplay", "a-instruct-poet", "b")
    told = {
        "A-Instruct-Q4_1.gguf": "A 8k Mix1 Ep2",
        "a-instruct-roleplay": "A Roleplay",
        "a-instruct-poet": "",
        "b": "B",
    }
    for key, name in told.items():
        fake._models[key].profile = replace(fake.model(key).profile, name=name)
    names = {model.key: model.name for model in await catalog_of(fake, known=[known]).current()}
    assert names == told | {"A-Instruct-Q4_1.gguf": "A Instruct", "a-instruct-poet": "A Instruct"}


async def test_what_could_be_fetched_is_offered_when_somebody_can_fetch() -> None:
    class Fetching(FakeBackend):
        async def fetch(self, source: str, *, sha256: str = "", progress: object = None) -> ModelProfile:
            raise BackendUnavailable(source)

        async def remove(self, model: ModelProfile) -> int:
            return 0

    known = [KnownModel(key="far", sources=("hf:far",), starter=True), KnownModel(key="a", sources=("hf:a",))]
    assert keys(await catalog_of(backend("a"), known=known).current()) == ["a"]
    catalog = catalog_of(Fetching.of(FakeModel.named("a")), known=known)
    assert [(m.key, m.installed) for m in await catalog.current()] == [("a", True), ("far", False)]
    assert catalog.starter == known[0]
    gone = Fetching.of(FakeModel.named("a"))
    gone.available = False
    assert keys(await catalog_of(gone, known=known).current()) == ["far", "a"], "offered though nothing was listed"


async def test_nobody_calls_a_model_unknown_before_every_backend_had_its_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.01)

    class Slow(FakeBackend):
        async def models(self) -> Sequence[ModelProfile]:
            await asyncio.sleep(0.2)
            return await super().models()

    catalog = catalog_of(backend("early"), Slow.of(FakeModel.named("late"), name="slow"))
    assert keys(await catalog.current()) == ["early"]
    assert await catalog.pin("late") == "late"
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(module, "LISTING_SECONDS", 60.0)
    hanging = catalog_of(backend("early"), Hanging.of(name="stuck"))
    async with asyncio.timeout(10):
        with pytest.raises(UnknownModel):
            await hanging.pin("never")
    await hanging.close()
