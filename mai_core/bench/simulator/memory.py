"""What is in a machine's memory: physically, as its sensors show it, and as decisions are told of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mai_core.bench.simulator.grid import down
from mai_core.bench.simulator.inventory import BACKEND
from mai_core.bench.simulator.machines import MachineSpec
from mai_core.bench.simulator.programs import Held
from mai_core.policy.eviction import Tenant, heat_after, to_evict
from mai_core.policy.feasibility import Limits, headroom
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, Promise
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind, Pressure
from mai_core.policy.room import Room

__all__ = ["Memory", "Resident", "Shown"]

STARVED = 0.5
"""Share of the time in which everything waits for memory while a model is read from disk again for each token."""


@dataclass(slots=True, eq=False)
class Resident:
    """A model in memory, or on its way there until ``ready``; ``footprint`` is what it really takes.

    ``prepared`` is the person it was loaded for before they asked, -1 for nobody.
    """

    model: int
    key: str
    plan: LoadPlan
    footprint: Footprint
    predicted: Footprint
    load_seconds: float
    ready: float
    number: int
    leases: int = 0
    idle_since: float = 0.0
    heat: float = 0.0
    warmed: int = 0
    prepared: int = -1
    loading: bool = True
    gone: bool = False
    shared: int = 0

    def as_loaded(self) -> LoadedModel:
        """What a backend says of it."""
        return LoadedModel(
            instance=self.key,
            key=self.key,
            backend=BACKEND,
            plan=self.plan,
            footprint=self.footprint,
            leased=self.leases > 0,
            asked=self.plan,
            measured=True,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The memory a decision is told of; equal ones are the same object, numbered by ``state``.

    ``host`` is the machine as it is, ``empty`` the same as if what idles were gone: to a model that is not in memory
    both are one. ``room`` is what of ``empty`` tells it from another, and ``inside`` the models in memory by their
    place in the inventory.
    """

    state: int
    room: tuple[int, ...]
    host: Host
    empty: Host
    loaded: tuple[LoadedModel, ...]
    promised: tuple[Promise, ...]
    inside: Mapping[int, LoadedModel]


@dataclass(slots=True, eq=False)
class Memory:
    """One machine's. Memory is taken when a load begins, and returned at once.

    Whoever is ``blind`` is shown a machine on which nobody else has anything. ``states`` and ``numbers`` may be shared
    by all who play in one world.
    """

    machine: MachineSpec
    limits: Limits
    others: Held
    blind: bool = False
    residents: list[Resident] = field(default_factory=list)
    turn: int = 0
    states: dict[Hashable, Shown] = field(default_factory=dict)
    numbers: dict[Hashable, int] = field(default_factory=dict)
    _shown: Shown | None = None
    _held: int = -1
    _reserve: int = field(init=False)

    def __post_init__(self) -> None:
        ram = MemoryPool("ram", PoolKind.RAM, self.machine.ram, 0)
        self._reserve = headroom(Host(pools=(ram,)), self.limits)

    def number(self, model: int, plan: LoadPlan, taken: Footprint) -> int:
        """Tells apart ways of being in memory."""
        mark = (model, plan, taken.anonymous, taken.file_backed, tuple(taken.devices.items()))
        return self.numbers.setdefault(mark, len(self.numbers))

    def changed(self) -> None:
        """To be called after every change of who is there: what was shown is no longer so."""
        self._shown, self._held = None, -1

    def hold(self, others: Held) -> None:
        """Other programs hold so much from now on."""
        self.others, self._shown = others, None

    def idle(self) -> list[Resident]:
        """Who is in memory and answers nobody."""
        return [r for r in self.residents if not r.leases and not r.loading]

    def find(self, model: int) -> Resident | None:
        """The model's instance, in memory or on its way there."""
        for resident in self.residents:
            if resident.model == model:
                return resident
        return None

    def overdrawn(self, resident: Resident) -> bool:
        """Whether it has taken more than there was: of main memory what cannot be given up, and of GPUs' own memory.

        A program that wants more of a GPU than is left is refused by its driver: nobody who is there dies of it.
        """
        if self.short_of_ram():
            return True
        taken = self._on_devices(self.residents)
        return any(
            taken[gpu.name] + held > gpu.total
            for gpu, held in zip(self.machine.gpus, self.others.gpus, strict=True)
            if gpu.kind is PoolKind.DEVICE and resident.footprint.devices.get(gpu.name)
        )

    def short_of_ram(self) -> bool:
        """Whether main memory is overdrawn."""
        return self._private() + self.others.ram > self.machine.ram

    @property
    def free(self) -> int:
        """Bytes of main memory nobody holds for certain; mapped weights share them."""
        return max(0, self.machine.ram - self.others.ram - self._private())

    def missing(self, resident: Resident) -> int:
        """Bytes of mapped weights that do not stay in memory while it answers."""
        return max(0, resident.footprint.file_backed - self.free)

    @property
    def reserve(self) -> int:
        """The headroom of main memory: with more than that free there is no trouble."""
        return self._reserve

    def starved(self) -> bool:
        """Whether a model that answers is read from disk again for each token."""
        free = self.free
        return any(r.leases and r.footprint.file_backed > free for r in self.residents)

    def seen(self) -> Host:
        """The machine as its sensors show it, for whoever watches it."""
        pools = (MemoryPool("ram", PoolKind.RAM, self.machine.ram, self.free),)
        return Host(pools=pools, pressure=Pressure(memory_full=STARVED if self.starved() else 0.0))

    def cores(self) -> int:
        """Cores other programs leave."""
        return Cpu(self.machine.cores, self.others.busy).free_cores

    def shown(self) -> Shown:
        """What a decision is told now."""
        if self._shown is None:
            self._shown = self._made()
        return self._shown

    def make_room(
        self, resident: Resident, evict: Callable[[Resident], None], *, waited: bool = True, may_evict: bool = True
    ) -> bool:
        """Evict idle models until ``resident`` fits beside the headroom of every pool; says whether it is to be loaded.

        As the product's pool does, but for GPUs, too: where somebody has ``waited`` for it, it is loaded although even
        that was not enough; where nobody does, nobody leaves in vain.
        """
        shared = sum(resident.predicted.devices.values()) if resident.shared else 0
        wanted = {"": resident.predicted.ram + shared, **resident.predicted.devices}
        for name, size in wanted.items():
            while (lacking := size - self._room(name)) > 0:
                idle = self.idle()
                tenants = [
                    Tenant(place, self._returned(r, name), r.load_seconds, heat_after(r.heat, self.turn - r.warmed))
                    for place, r in enumerate(idle)
                ]
                if not waited and (not may_evict or sum(t.bytes for t in tenants) < lacking):
                    return False
                leaving = [idle[place] for place in to_evict(tenants, lacking)] if idle else []
                if not leaving:
                    break
                for one in leaving:
                    evict(one)
        return True

    def _room(self, name: str) -> int:
        """Bytes of a pool beyond its headroom and beside what loads under way will take."""
        limits, host = self.limits, self.seen() if not name else self._true_host()
        ram = host.ram
        assert ram is not None
        room = Room.of(ram, host, kept=limits.headroom, least=limits.headroom_min, most=limits.headroom_max)
        if not name:
            return room.ram
        return next((device.free for device in room.devices if device.name == name), 0)

    def _returned(self, resident: Resident, name: str) -> int:
        if not name:
            return (resident.footprint.anonymous or resident.footprint.ram) + resident.shared
        return resident.footprint.devices.get(name, 0)

    def _private(self) -> int:
        if self._held < 0:
            self._held = sum([r.footprint.anonymous + r.shared for r in self.residents])
        return self._held

    def _on_devices(self, residents: Sequence[Resident]) -> dict[str, int]:
        taken: dict[str, int] = {}
        for resident in residents:
            for name, size in resident.footprint.devices.items():
                taken[name] = taken.get(name, 0) + size
        return taken

    def _true_host(self) -> Host:
        taken = self._on_devices(self.residents)
        gpus = tuple(
            MemoryPool(gpu.name, gpu.kind, gpu.total, max(0, gpu.total - held - taken.get(gpu.name, 0)))
            for gpu, held in zip(self.machine.gpus, self.others.gpus, strict=True)
        )
        return Host(pools=(MemoryPool("ram", PoolKind.RAM, self.machine.ram, self.free), *gpus))

    def _made(self) -> Shown:
        """Rounded so that a model not in memory sees the same whether it is told of those that idle or of their room.

        The core reckons with what is available and what replacing idle models returns. That sum is rounded down, and
        what is shown as available is the rest.
        """
        machine, others = self.machine, self.others
        used, held = (0, (0,) * len(machine.gpus)) if self.blind else (others.ram, others.gpus)
        there: list[Resident] = []
        coming: list[Resident] = []
        leased: list[Resident] = []
        idle: list[Resident] = []
        credit = busy = 0
        for resident in self.residents:
            if resident.loading:
                coming.append(resident)
                continue
            there.append(resident)
            if resident.leases:
                leased.append(resident)
                busy += resident.footprint.anonymous + resident.shared
            else:
                idle.append(resident)
                credit += resident.footprint.anonymous + resident.shared
        ram = down(machine.ram - used - busy, machine.ram)
        taken, returned = self._on_devices(leased), self._on_devices(idle)
        devices = [
            down(gpu.total - by_others - taken.get(gpu.name, 0), gpu.total)
            for gpu, by_others in zip(machine.gpus, held, strict=True)
        ]
        marks = tuple(sorted([(r.number, r.leases > 0) for r in there]))
        promises = tuple(sorted([(r.number, r.prepared < 0) for r in coming])) if coming else ()
        key = (ram, tuple(devices), others.busy, promises, credit, marks)
        found = self.states.get(key)
        if found is None:
            found = self.states[key] = self._described(ram, devices, credit, returned, there, coming)
        return found

    def _described(
        self,
        ram: int,
        devices: Sequence[int],
        credit: int,
        returned: Mapping[str, int],
        there: Sequence[Resident],
        coming: Sequence[Resident],
    ) -> Shown:
        """A state nobody saw before: what would be free with nobody idle, of which idle models hold some."""
        machine = self.machine
        gpus = [
            (gpu.name, gpu.kind, gpu.total, size, size - returned.get(gpu.name, 0))
            for gpu, size in zip(machine.gpus, devices, strict=True)
        ]
        empty = Host(
            pools=(
                MemoryPool("ram", PoolKind.RAM, machine.ram, ram),
                *(MemoryPool(name, kind, total, most) for name, kind, total, most, _ in gpus),
            ),
            cpu=Cpu(machine.cores, self.others.busy),
        )
        host = replace(
            empty,
            pools=(
                MemoryPool("ram", PoolKind.RAM, machine.ram, ram - credit),
                *(MemoryPool(name, kind, total, left) for name, kind, total, _, left in gpus),
            ),
        )
        return Shown(
            state=len(self.states),
            room=(ram, *devices),
            host=host,
            empty=empty,
            loaded=tuple(r.as_loaded() for r in sorted(there, key=lambda r: r.number)),
            promised=tuple(
                Promise(r.key, "local", r.predicted, r.plan, firm=r.prepared < 0)
                for r in sorted(coming, key=lambda r: r.number)
            ),
            inside={r.model: r.as_loaded() for r in there},
        )
