"""Plugins are found, fenced off from each other, and described."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import typer

import mai_core
from mai_core import hookimpl
from mai_core.errors import PluginError, SettingsError
from mai_core.plugin import hookspecs
from mai_core.plugin import registry as registry_module
from mai_core.plugin.events import ModelSwitched
from mai_core.plugin.faults import PluginStatus
from mai_core.plugin.interfaces import BackendContext
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.selection import Proposal, SelectionRequest
from mai_core.testing import FakeBackend, FakeClock, FakeProbe

SWITCHED = ModelSwitched(previous=None, current="small", reason="first", seconds=0.1)


@dataclass(frozen=True)
class Loyal:
    name: ClassVar[str] = "loyal"
    bonus: float = 0.2

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return ()


class Other(Loyal):
    name: ClassVar[str] = "other"


class Impostor(Loyal):
    pass


def plugin(**hooks: Any) -> SimpleNamespace:
    return SimpleNamespace(**{name: hookimpl(hook) for name, hook in hooks.items()})


def offering(*classes: object) -> SimpleNamespace:
    return plugin(mai_register_strategies=lambda: classes)


class TestClasses:
    def test_by_name_and_kind(self) -> None:
        everything = plugin(
            mai_register_strategies=lambda: [Loyal, Other],
            mai_register_backends=lambda: (FakeBackend,),
            mai_register_probes=lambda: [FakeProbe],
        )
        registry = PluginRegistry.of(everything, names=["mine"])
        assert registry.strategies() == {"loyal": Loyal, "other": Other}
        assert registry.backends() == {"fake": FakeBackend}
        assert registry.probes() == {"fake": FakeProbe}
        assert registry.transfers() == {}
        assert registry.faults == ()
        assert registry.owner(Loyal) == "mine"
        assert registry.owner(int) == ""

    def test_hooks_are_called_once(self) -> None:
        calls: list[int] = []
        registry = PluginRegistry.of(plugin(mai_register_strategies=lambda: calls.append(1) or [Loyal]))
        registry.strategies()
        registry.strategies()
        registry.describe()
        assert calls == [1]

    def test_one_that_raises_loses_only_itself(self) -> None:
        def broken() -> Sequence[type[Any]]:
            raise RuntimeError("cannot\nat all")

        def leaving() -> Sequence[type[Any]]:
            sys.exit(3)

        registry = PluginRegistry.of(
            plugin(mai_register_strategies=broken),
            plugin(mai_register_strategies=leaving),
            offering(Loyal),
            names=["broken", "leaving", "fine"],
        )
        assert registry.strategies() == {"loyal": Loyal}
        first, second = registry.faults
        assert (first.plugin, first.stage, first.error) == (
            "broken",
            "mai_register_strategies",
            "RuntimeError: cannot",
        )
        assert "at all" in first.traceback
        assert (second.plugin, second.error) == ("leaving", "SystemExit: 3")

    def test_ctrl_c_is_not_a_fault(self) -> None:
        def interrupted() -> Sequence[type[Any]]:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            PluginRegistry.of(plugin(mai_register_strategies=interrupted)).strategies()

    def test_the_first_of_one_name_stays(self) -> None:
        registry = PluginRegistry.of(offering(Loyal), offering(Impostor), names=["first", "second"])
        assert registry.strategies() == {"loyal": Loyal}
        [fault] = registry.faults
        assert fault.plugin == "second"
        assert "already registered by plugin first" in fault.error

    def test_order_asked_for_is_kept(self) -> None:
        eager = SimpleNamespace(mai_register_strategies=hookimpl(tryfirst=True)(lambda: [Impostor]))
        registry = PluginRegistry.of(offering(Loyal), eager, names=["plain", "eager"])
        assert registry.strategies()["loyal"] is Impostor

    @pytest.mark.parametrize("answer", [None, 5, "Loyal", Loyal])
    def test_what_is_no_sequence_is_named(self, answer: object) -> None:
        registry = PluginRegistry.of(plugin(mai_register_strategies=lambda: answer), names=["odd"])
        assert registry.strategies() == {}
        [fault] = registry.faults
        assert f"returned {type(answer).__name__}, wanted a sequence of strategy classes" in fault.error


class TestShape:
    @pytest.mark.parametrize(
        ("members", "error"),
        [
            ({"name": "foo"}, "strategy Foo of plugin bar has no method propose"),
            (
                {"name": "foo", "propose": 3},
                "strategy Foo of plugin bar has no method propose: it is an instance of int",
            ),
            (
                {"name": "foo", "propose": lambda self: ()},
                "strategy Foo of plugin bar has a method propose that cannot be called as propose(request)",
            ),
            (
                {"propose": lambda self, request: ()},
                "has no class attribute name that is a non-empty text (found none)",
            ),
            ({"name": "", "propose": lambda self, request: ()}, "no class attribute name that is a non-empty text"),
            (
                {"name": property(lambda self: "foo"), "propose": lambda self, request: ()},
                "no class attribute name that is a non-empty text (found an instance of property)",
            ),
        ],
    )
    def test_a_strategy_of_the_wrong_shape_is_named(self, members: dict[str, object], error: str) -> None:
        registry = PluginRegistry.of(offering(type("Foo", (), members), Loyal), names=["bar"])
        assert registry.strategies() == {"loyal": Loyal}
        [fault] = registry.faults
        assert error in fault.error

    def test_an_instance_is_no_class(self) -> None:
        registry = PluginRegistry.of(offering(Loyal()), names=["bar"])
        assert registry.strategies() == {}
        assert "is not a class but an instance of Loyal: return the class itself" in registry.faults[0].error

    def test_a_backend_needs_every_method_and_a_constructor(self) -> None:
        class NoStream(FakeBackend):
            generate = None  # type: ignore[assignment]

        class NoContext(FakeBackend):
            def __init__(self) -> None:
                pass

        class Untold:
            kind = "untold"

        registry = PluginRegistry.of(plugin(mai_register_backends=lambda: [NoStream, NoContext, Untold]), names=["bar"])
        assert registry.backends() == {}
        assert [fault.error for fault in registry.faults] == [
            "backend NoStream of plugin bar has no method generate",
            "backend NoContext of plugin bar has a method __init__ that cannot be called as __init__(context)",
            "backend Untold of plugin bar is not constructed with a context",
        ]

    def test_static_methods_will_do(self) -> None:
        class Still:
            name: ClassVar[str] = "still"

            @staticmethod
            def propose(request: SelectionRequest) -> Sequence[Proposal]:
                return ()

        assert PluginRegistry.of(offering(Still)).strategies() == {"still": Still}


class TestHookNames:
    def test_an_unknown_hook_is_told_with_the_nearest(self) -> None:
        registry = PluginRegistry.of(
            plugin(mai_register_strategy=lambda: [Loyal], mai_register_probes=lambda: [FakeProbe]), names=["typo"]
        )
        assert registry.probes() == {"fake": FakeProbe}
        [fault] = registry.faults
        assert fault.error == "there is no hook mai_register_strategy; did you mean mai_register_strategies?"

    def test_a_wrong_argument_is_told(self) -> None:
        registry = PluginRegistry.of(
            plugin(mai_register_strategies=lambda settings: [Loyal]), offering(Other), names=["greedy", "fine"]
        )
        assert registry.strategies() == {"other": Other}
        assert registry.faults[0].plugin == "greedy"
        assert registry.describe()[0].status is PluginStatus.FAILED

    def test_a_function_that_is_not_marked_is_told(self) -> None:
        unmarked = SimpleNamespace(mai_register_strategies=lambda: [Loyal])
        registry = PluginRegistry.of(unmarked, names=["forgot"])
        [fault] = registry.faults
        assert fault.error == "mai_register_strategies is never called: it is not marked with mai_core.hookimpl"

    def test_a_plugin_without_hooks_is_told(self) -> None:
        registry = PluginRegistry.of(SimpleNamespace(), names=["empty"])
        [info] = registry.describe()
        assert info.status is PluginStatus.FAILED
        assert "nothing in it is marked" in info.faults[0].error

    def test_wrappers_are_told(self) -> None:
        def wrapper():  # type: ignore[no-untyped-def]
            return (yield)

        registry = PluginRegistry.of(
            SimpleNamespace(mai_register_strategies=hookimpl(wrapper=True)(wrapper)), offering(Loyal), names=["w", "x"]
        )
        assert registry.strategies() == {"loyal": Loyal}
        assert "is a wrapper" in registry.faults[0].error


class TestConstruction:
    def test_options_are_keywords(self) -> None:
        registry = PluginRegistry.of(offering(Loyal))
        assert registry.strategy("loyal", {"bonus": "0.3"}) == Loyal(bonus=0.3)
        assert registry.strategy("loyal") == Loyal()

    def test_an_unknown_name_is_told_with_the_nearest_and_with_what_is_missing(self) -> None:
        registry = PluginRegistry.of(offering(Loyal), offering(Other), names=["a", "b"], blocked=["b"])
        with pytest.raises(PluginError, match=r"no strategy loyl; did you mean loyal\?.*b \(blocked\)"):
            registry.strategy("loyl")

    def test_backend_and_probe_get_their_context(self, tmp_path: Path) -> None:
        registry = PluginRegistry.of(plugin(mai_register_backends=lambda: [FakeBackend, Refusing, Nameless, Broken]))
        assert registry.backend("fake", context(tmp_path)).name == "mine"
        with pytest.raises(SettingsError, match="port"):
            registry.backend("refusing", context(tmp_path))
        with pytest.raises(PluginError, match="has no attribute name that is a str"):
            registry.backend("nameless", context(tmp_path))
        with pytest.raises(PluginError, match="broken of plugin SimpleNamespace cannot be set up: ZeroDivision"):
            registry.backend("broken", context(tmp_path))


def context(tmp_path: Path) -> BackendContext:
    return BackendContext(name="mine", data_dir=tmp_path, cache_dir=tmp_path, state_dir=tmp_path)


class Refusing(FakeBackend):
    kind: ClassVar[str] = "refusing"

    def __init__(self, context: BackendContext) -> None:
        raise SettingsError("port must be a number")


class Nameless(FakeBackend):
    kind: ClassVar[str] = "nameless"

    def __init__(self, context: BackendContext) -> None:
        pass


class Broken(FakeBackend):
    kind: ClassVar[str] = "broken"

    def __init__(self, context: BackendContext) -> None:
        raise ZeroDivisionError


class TestObservers:
    def test_all_hear_and_one_that_raises_disturbs_nobody(self) -> None:
        heard: list[ModelSwitched] = []

        def bad(event: ModelSwitched) -> None:
            raise RuntimeError("no")

        registry = PluginRegistry.of(
            plugin(mai_model_switched=bad), plugin(mai_model_switched=heard_by(heard)), names=["bad", "good"]
        )
        for _ in range(5):
            registry.model_switched(SWITCHED)
        assert heard == [SWITCHED] * 5
        assert [fault.error for fault in registry.faults] == ["RuntimeError: no", "left out after 3 failures"]

    def test_after_three_failures_it_is_left_out(self) -> None:
        calls: list[int] = []

        def bad(event: ModelSwitched) -> None:
            calls.append(1)
            raise SystemExit

        registry = PluginRegistry.of(plugin(mai_model_switched=bad))
        for _ in range(5):
            registry.model_switched(SWITCHED)
        assert len(calls) == 3

    def test_a_slow_one_is_told_once(self) -> None:
        clock = FakeClock()
        registry = PluginRegistry.of(
            plugin(mai_model_switched=lambda event: clock.advance(0.25)), names=["slow"], clock=clock
        )
        registry.model_switched(SWITCHED)
        registry.model_switched(SWITCHED)
        [fault] = registry.faults
        assert fault.error == "took 250 ms: the turn waited for it"

    def test_an_async_one_is_told(self) -> None:
        async def late(event: ModelSwitched) -> None: ...

        registry = PluginRegistry.of(plugin(mai_model_switched=late))
        registry.model_switched(SWITCHED)
        assert "must be a plain function, not async" in registry.faults[0].error

    def test_one_may_do_without_the_event(self) -> None:
        calls: list[int] = []
        registry = PluginRegistry.of(plugin(mai_model_switched=lambda: calls.append(1)))
        registry.model_switched(SWITCHED)
        assert calls == [1]


def heard_by(heard: list[ModelSwitched]) -> Any:
    def listen(event: ModelSwitched) -> None:
        heard.append(event)

    return listen


def test_commands_are_added_by_all_but_the_broken() -> None:
    def hello(app: typer.Typer) -> None:
        app.command("hello")(lambda: None)

    def broken(app: typer.Typer) -> None:
        raise ImportError("no such thing")

    app = typer.Typer()
    registry = PluginRegistry.of(
        plugin(mai_register_commands=broken), plugin(mai_register_commands=hello), names=["bad", "good"]
    )
    registry.add_commands(app)
    assert [command.name for command in app.registered_commands] == ["hello"]
    assert registry.faults[0].plugin == "bad"


class TestDescribe:
    def test_says_who_registers_what(self) -> None:
        full = plugin(
            mai_register_strategies=lambda: [Loyal, Other],
            mai_register_backends=lambda: [FakeBackend],
            mai_turn_finished=lambda turn: None,
        )
        registry = PluginRegistry.of(full, offering(Impostor), offering(), names=["a", "b", "c"], blocked=["c"])
        first, second, third = registry.describe()
        assert first.registers == {
            "strategies": ("loyal", "other"),
            "backends": ("fake",),
            "hooks": ("mai_turn_finished",),
        }
        assert (first.status, first.faults) == (PluginStatus.OK, ())
        assert (second.status, len(second.faults)) == (PluginStatus.OK, 1)
        assert (third.status, third.registers) == (PluginStatus.BLOCKED, {})

    def test_two_of_one_name_are_both_shown(self) -> None:
        registry = PluginRegistry.of(offering(Loyal), offering(Other), names=["same", "same"])
        assert registry.strategies() == {"loyal": Loyal}
        first, second = registry.describe()
        assert first.status is PluginStatus.OK
        assert second.status is PluginStatus.FAILED
        assert second.name != "same"
        assert "the name same is already taken" in second.faults[0].error

    def test_trace_tells_every_step(self) -> None:
        lines: list[str] = []
        registry = PluginRegistry.of(offering(Loyal, Loyal()), names=["a"], trace=lines.append)
        registry.strategies()
        assert lines[0] == "a: implements mai_register_strategies"
        assert lines[1].startswith("a: mai_register_strategies took")
        assert "is not a class" in lines[2]


class TestDiscovery:
    """Real packages on the path, with the metadata an installer would write."""

    @pytest.fixture
    def site(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.syspath_prepend(str(tmp_path))
        return tmp_path

    def install(self, site: Path, distribution: str, source: str, entry: str = "") -> None:
        module = distribution.replace("-", "_")
        (site / f"{module}.py").write_text(source)
        info = site / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[mai]\n{entry or distribution} = {module}\n")

    def test_finds_installed_plugins(self, site: Path) -> None:
        source = "from mai_core import hookimpl\n@hookimpl\ndef mai_register_strategies(): return []\n"
        self.install(site, "acme-plugin", source)
        [info] = [i for i in PluginRegistry.discover().describe() if i.name == "acme-plugin"]
        assert (info.distribution, info.version, info.module) == ("acme-plugin", "1.2", "acme_plugin")
        assert info.status is PluginStatus.OK

    @pytest.mark.parametrize(
        ("source", "error"),
        [
            ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
            ("def (", "SyntaxError: "),
            ("import sys; sys.exit(1)", "SystemExit: 1"),
            ("raise BaseException('odd')", "BaseException: odd"),
        ],
    )
    def test_one_that_cannot_be_imported_is_named_and_left_out(self, site: Path, source: str, error: str) -> None:
        self.install(site, "acme-broken", source)
        registry = PluginRegistry.discover()
        [info] = [i for i in registry.describe() if i.name == "acme-broken"]
        assert info.status is PluginStatus.FAILED
        assert info.faults[0].stage == "import"
        assert info.faults[0].error.startswith(error)
        assert registry.strategies(), "the others go on"

    def test_a_blocked_one_is_not_even_imported(self, site: Path) -> None:
        self.install(site, "acme-blocked", "raise RuntimeError('imported')")
        registry = PluginRegistry.discover(blocked=["acme-blocked"])
        [info] = [i for i in registry.describe() if i.name == "acme-blocked"]
        assert (info.status, info.faults) == (PluginStatus.BLOCKED, ())
        assert "acme_blocked" not in sys.modules

    def test_entry_points_of_one_name_are_reported(self, site: Path) -> None:
        source = "from mai_core import hookimpl\n@hookimpl\ndef mai_register_strategies(): return []\n"
        self.install(site, "acme-one", source, entry="same")
        self.install(site, "acme-two", source, entry="same")
        infos = {i.name: i for i in PluginRegistry.discover().describe() if i.distribution.startswith("acme")}
        assert infos["same"].distribution == "acme-one"
        assert infos["same (acme-two)"].status is PluginStatus.FAILED
        assert "already taken by the plugin of acme-one" in infos["same (acme-two)"].faults[0].error


class TestNobodyIsSpecial:
    def test_built_ins_come_through_the_same_door(self) -> None:
        assert {e.dist.name for e in entry_points(group="mai") if e.dist is not None} >= {"mai"}
        registry = PluginRegistry.discover()
        built_in = {i.name: i for i in registry.describe() if i.distribution == "mai"}
        assert {"strategies", "transfers", "probes", "embedded"} <= built_in.keys()

    @pytest.mark.parametrize("name", ["embedded", "probes", "strategies", "transfers"])
    def test_built_ins_can_be_blocked(self, name: str) -> None:
        registry = PluginRegistry.discover(blocked=[name])
        [info] = [i for i in registry.describe() if i.name == name]
        assert info.status is PluginStatus.BLOCKED
        assert info.registers == {}

    def test_the_registry_knows_no_plugin(self) -> None:
        for source in Path(registry_module.__file__).parent.glob("*.py"):
            text = source.read_text()
            assert "mai_strategies" not in text, source
            assert "mai_backends" not in text, source


def test_every_hook_is_documented_and_typed() -> None:
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("mai_")}
    assert len(hooks) == 7
    for name, hook in hooks.items():
        assert (hook.__doc__ or "").strip(), name
        assert "return" in hook.__annotations__, name


def test_hookimpl_is_public() -> None:
    assert mai_core.hookimpl is hookspecs.hookimpl
