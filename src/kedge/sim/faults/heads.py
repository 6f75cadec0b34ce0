"""Faults of the processes that run Kedge: killed, paused, on full or slow disks, mute boot servers."""

from __future__ import annotations

from kedge.sim.cluster import Cluster
from kedge.sim.faults.kind import Kind, Number, number_of, word_of
from kedge.sim.happening import Happening
from kedge.sim.masters.head import Program
from kedge.sim.world.overlay import Undo


def _heads(cluster: Cluster, happening: Happening) -> list[Program]:
    return [cluster.heads[end] for end in sorted(cluster.ends(happening.target)) if
            end in cluster.heads]  # fmt: skip


def _kill(cluster: Cluster, happening: Happening) -> list[Undo]:
    undo: list[Undo] = []
    for head in _heads(cluster, happening):
        head.keep_down()
        head.kill()
        undo.append(head.let_run)
    return undo


def _stop(cluster: Cluster, happening: Happening) -> list[Undo]:
    undo: list[Undo] = []
    for head in _heads(cluster, happening):
        head.keep_down()
        head.stop()
        undo.append(head.let_run)
    return undo


def _pause(cluster: Cluster, happening: Happening) -> list[Undo]:
    for head in _heads(cluster, happening):
        head.loop.stop_until(cluster.world.now + number_of(happening, PAUSES, "by"))
    return []


def _fill_disk(cluster: Cluster, happening: Happening) -> list[Undo]:
    heads = _heads(cluster, happening)
    return [cluster.overlay.put(head.disk, "full", True) for head in heads]


def _slow_disk(cluster: Cluster, happening: Happening) -> list[Undo]:
    by_s, heads = number_of(happening, SLOW, "by"), _heads(cluster, happening)
    return [cluster.overlay.put(head.disk, "slow_s", by_s) for head in heads]


def _kill_writing(cluster: Cluster, happening: Happening) -> list[Undo]:
    for head in _heads(cluster, happening):
        head.disk.kill_at = max(1, round(number_of(happening, KILLED_WRITING, "write")))
    return []


def _mute(cluster: Cluster, happening: Happening) -> list[Undo]:
    heads = _heads(cluster, happening)
    return [cluster.overlay.put(head.boot_ills, "refuses", True) for head in heads]


def _slow_boot(cluster: Cluster, happening: Happening) -> list[Undo]:
    by_s, heads = number_of(happening, BOOT_SLOW, "by"), _heads(cluster, happening)
    return [cluster.overlay.put(head.boot_ills, "slow_s", by_s) for head in heads]


def _spoil_gates(cluster: Cluster, happening: Happening) -> list[Undo]:
    how, heads = word_of(happening, GATES, "how"), _heads(cluster, happening)
    return [cluster.overlay.put(head.gates.ills, "how", how) for head in heads]


GATES = Kind(
    "gates_fail", "heads", "Gates of rollouts fail, never end, or find the new release slow",
    _spoil_gates, words={"how": ("fail", "hang", "slow")}, weight=0,
)  # fmt: skip
PAUSES = Kind(
    "head_pauses", "heads", "The process stands still for so long, then goes on", _pause,
    lasts=False, numbers={"by": Number(30.0, 1.0, 300.0, span=True)},
)  # fmt: skip
SLOW = Kind(
    "disk_slow", "heads", "Every write and read of the database takes so long", _slow_disk,
    numbers={"by": Number(0.05, 0.005, 0.5, span=True)}, weight=1,
)  # fmt: skip
KILLED_WRITING = Kind(
    "head_dies_writing", "heads", "Killed in the place of one of its next writes; starts again",
    _kill_writing, lasts=False, numbers={"write": Number(1.0, 1.0, 40.0)},
)  # fmt: skip
BOOT_SLOW = Kind(
    "boot_slow", "heads", "The boot server takes so long for every answer", _slow_boot,
    numbers={"by": Number(5.0, 0.5, 25.0, span=True)},
)  # fmt: skip
KINDS = (
    Kind("head_dies", "heads", "kill -9; it starts again afterwards", _kill,
         usual_s=(1.0, 400.0), weight=4),
    Kind("head_stops", "heads", "Stopped in order; it starts again afterwards", _stop,
         usual_s=(1.0, 400.0)),
    PAUSES,
    Kind("disk_full", "heads", "Nothing can be written on its disk", _fill_disk),
    SLOW,
    KILLED_WRITING,
    Kind("boot_refused", "heads", "The boot server answers with an error", _mute),
    BOOT_SLOW,
    GATES,
)  # fmt: skip
