"""Faults of machines: they die, hang, reboot by themselves, stick, or cannot do what they are told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kedge.sim.cluster import Cluster
from kedge.sim.faults.kind import Kind, Number, number_of, word_of
from kedge.sim.happening import Happening
from kedge.sim.machines.machine import SimulatedMachine
from kedge.sim.world.overlay import Undo


def _once(name: str, summary: str, act: Callable[[SimulatedMachine], None]) -> Kind:
    """Something that a machine does at one moment."""

    def begin(cluster: Cluster, happening: Happening) -> list[Undo]:
        for node in cluster.nodes(happening.target):
            act(cluster.machines[node])
        return []

    return Kind(name, "nodes", summary, begin, lasts=False, weight=3)


def _ill(name: str, summary: str, attribute: str, value: Any = True) -> Kind:
    """Something that is wrong with a machine for a while."""

    def begin(cluster: Cluster, happening: Happening) -> list[Undo]:
        ills = [cluster.machines[node].ills for node in cluster.nodes(happening.target)]
        return [cluster.overlay.put(ill, attribute, value) for ill in ills]

    return Kind(name, "nodes", summary, begin)


def _freeze(cluster: Cluster, happening: Happening) -> list[Undo]:
    undo: list[Undo] = []
    for node in cluster.nodes(happening.target):
        machine = cluster.machines[node]
        machine.freeze(frozen=True)
        undo.append(partial(machine.freeze, frozen=False))
    return undo


def _lose_power(cluster: Cluster, happening: Happening) -> list[Undo]:
    after = word_of(happening, POWER_LOSS, "after")
    undo: list[Undo] = []
    for node in cluster.nodes(happening.target):
        machine = cluster.machines[node]
        on = machine.has_power if after == "last" else after == "started"
        machine.lose_mains()
        undo.append(partial(machine.get_mains, on=on))
    return undo


def _run_at(cluster: Cluster, happening: Happening) -> list[Undo]:
    rate = number_of(happening, CLOCK_RATE, "rate")
    undo: list[Undo] = []
    for end in sorted(cluster.ends(happening.target)):
        runs = cluster.heads.get(end) or cluster.machines.get(end)
        if runs is not None:
            undo.append(partial(runs.run_clock_at, runs.clock.rate))
            runs.run_clock_at(rate)
    return undo


def _step_clock(cluster: Cluster, happening: Happening) -> list[Undo]:
    by_s = number_of(happening, CLOCK_STEP, "by")
    for end in sorted(cluster.ends(happening.target)):
        runs = cluster.heads.get(end) or cluster.machines.get(end)
        if runs is not None:
            runs.clock.wall_offset_s += by_s
    return []


def _lose_boot_order(cluster: Cluster, happening: Happening) -> list[Undo]:
    found = [cluster.machines[node] for node in cluster.nodes(happening.target)]
    return [cluster.overlay.put(machine, "network_first", False) for machine in found]


POWER_LOSS = Kind(
    "power_loss", "nodes", "No mains: machines and BMCs are dark, then machines are `after`",
    _lose_power, words={"after": ("last", "stopped", "started")}, weight=3,
)  # fmt: skip
CLOCK_RATE = Kind(
    "clock_rate", "nodes", "The clock runs at this rate", _run_at,
    numbers={"rate": Number(1.001, 0.995, 1.005)}, weight=1,
)  # fmt: skip
CLOCK_STEP = Kind(
    "clock_step", "nodes", "The wall clock jumps (back, if negative)", _step_clock, lasts=False,
    numbers={"by": Number(3600.0, -86_400.0, 86_400.0, span=True)}, weight=1,
)  # fmt: skip


def _spoil_duties(cluster: Cluster, happening: Happening) -> list[Undo]:
    how = word_of(happening, DUTIES, "how")
    ills = [cluster.machines[node].ills for node in cluster.nodes(happening.target)]
    return [cluster.overlay.put(each, "duties", how) for each in ills]


DUTIES = Kind(
    "duties_fail", "nodes", "What its modules look at on it raises, hangs, or reports nonsense",
    _spoil_duties, words={"how": ("raise", "hang", "lie")},
)  # fmt: skip
KINDS = (
    _once("dies", "It loses its power by itself and stays off", SimulatedMachine.power_off),
    _once("hangs", "It stands still until its power is taken", SimulatedMachine.hang),
    _once("reboots", "It begins anew with the firmware, by itself", SimulatedMachine.reset),
    _once("agent_dies", "Its agent is killed, and started again", SimulatedMachine.kill_agent),
    Kind("freezes", "nodes", "Its agent does not run, then goes on", _freeze, usual_s=(5.0, 200.0)),
    POWER_LOSS,
    CLOCK_RATE,
    CLOCK_STEP,
    Kind("boot_order_lost", "nodes", "Its firmware does not choose the network by itself",
         _lose_boot_order, weight=1),
    _ill("firmware_stuck", "It does not come out of its firmware", "sits_in_firmware"),
    _ill("init_stuck", "The image's init does not come up", "init_never_up"),
    _ill("root_full", "Host files cannot be written", "root_full"),
    _ill("memory_short", "The image does not fit into its memory", "no_room"),
    DUTIES,
    _ill("unfit", "Its health checks fail", "unfit"),
    _ill("downloads_corrupt", "What it downloads has bytes that are wrong", "corrupts"),
)  # fmt: skip
