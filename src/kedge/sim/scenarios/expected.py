"""What a scenario says must be so, at a moment or in the end: as Kedge shows it, and as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import fold
from kedge.sim.happening import seconds

if TYPE_CHECKING:
    from kedge.sim.cluster import Cluster

KEYS = ("at", "nodes", "phase", "why", "machine", "image", "starts", "steps", "rollout", "state")


@dataclass(frozen=True, slots=True)
class Expected:
    """Of ``nodes``, at ``at_s`` (None: in the end): the phase that Kedge shows and a part of its
    reason; what the machine is at (``off``, ``firmware``, ..., ``running``), how often it was started
    at most, and how many steps of Kedge it may have cost at most. Of a ``rollout``: its ``state``, and a
    part of its reason."""

    nodes: str = "all"
    at_s: float | None = None
    phase: str = ""
    why: str = ""
    machine: str = ""
    image: str = ""
    starts: int | None = None
    steps: int | None = None
    rollout: str = ""
    state: str = ""

    def wrong(self, cluster: Cluster) -> str:
        """What is not so, in words; empty when all is."""
        if self.rollout:
            return self._wrong_with_rollout(cluster)
        by_words: dict[str, list[str]] = {}
        for node in cluster.nodes(self.nodes):
            words = "; ".join(self._wrong_with(cluster, node))
            if words:
                by_words.setdefault(words, []).append(node)
        return "; ".join(f"{fold(nodes)} {words}" for words, nodes in by_words.items())

    def _wrong_with_rollout(self, cluster: Cluster) -> str:
        one = cluster.rollouts.every.get(self.rollout)
        if one is None:
            return f"rollout {self.rollout} did not begin"
        state, why = one.progress.state, one.progress.why
        if self.state and state not in self.state.split():
            return f"rollout {self.rollout} is {state} ({why}), not {self.state}"
        if self.why and self.why not in why:
            return f"rollout {self.rollout} says {why!r}, not {self.why!r}"
        return ""

    def _wrong_with(self, cluster: Cluster, node: str) -> list[str]:
        found: list[str] = []
        machine = cluster.machines[node]
        if self.phase or self.why:
            phase, why = shown(cluster, node)
            if self.phase and phase not in self.phase.split():
                found.append(f"is {phase} ({why}), not {self.phase}")
            if self.why and self.why not in why:
                found.append(f"says {why!r}, not {self.why!r}")
        if self.machine and machine.stage not in self.machine.split():
            found.append(f"is at {machine.stage!r}, not {self.machine!r}")
        if self.image and not cluster.runs(node, self.image):
            found.append(f"runs {cluster.image_of(node) or 'nothing'}, not {self.image}")
        if self.starts is not None and machine.starts > self.starts:
            found.append(f"was started {machine.starts} times, not {self.starts}")
        steps = cluster.watch.steps_of[node]
        if self.steps is not None and steps > self.steps:
            found.append(f"took {steps} steps, not {self.steps}")
        return found


def shown(cluster: Cluster, node: str) -> tuple[str, str]:
    """A node's phase and the reason, as people are shown them where it is acted on."""
    owner = cluster.owner(node)
    if owner is None or owner.master is None:
        return "not served", ""
    (row,) = owner.master.operations.status(node)
    return str(row["phase"]), str(row["why"])


def read_expected(written: Mapping[str, object], where: str) -> Expected:
    """``{ at: 15m, nodes: rack2, phase: waiting }``; raises `KedgeError`."""
    for key in written:
        if key not in KEYS:
            raise KedgeError(
                "scenario.unknown", f"expect: {key!r} is no word", where=where,
                next_step=f"Valid: {', '.join(KEYS)}",
            )  # fmt: skip
    at, starts, steps = written.get("at"), written.get("starts"), written.get("steps")
    return Expected(
        nodes=str(written.get("nodes", "all")),
        at_s=None if at is None else seconds(at, f"{where}: at"),
        phase=str(written.get("phase") or ""),
        why=str(written.get("why") or ""),
        machine=str(written.get("machine") or ""),
        image=str(written.get("image") or ""),
        starts=starts if isinstance(starts, int) else None,
        steps=steps if isinstance(steps, int) else None,
        rollout=str(written.get("rollout") or ""),
        state=str(written.get("state") or ""),
    )
