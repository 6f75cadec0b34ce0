"""Whether a cluster has come to rest, whether all is well, and whether what Kedge says is true."""

from __future__ import annotations

from collections.abc import Iterator

from kedge.agent.place import RUNNING
from kedge.lib.nodeset import fold
from kedge.modules.image.relation import reference_of
from kedge.sim.cluster import Cluster
from kedge.sim.commands import Operator

RESTS = ("converged", "held", "blocked", "quarantined")


class Rest:
    """Looks at a cluster. What it returns is what is still amiss; empty: nothing."""

    def __init__(self, cluster: Cluster, operator: Operator) -> None:
        self._cluster = cluster
        self._operator = operator

    def is_at_rest(self) -> str:
        """Every node has converged, is held, or is in a failure that has a name."""
        return self._amiss(RESTS, named=True)

    def is_well(self) -> str:
        """Every node has converged or is held."""
        return self._amiss(("converged", "held"))

    def _amiss(self, rests: tuple[str, ...], *, named: bool = False) -> str:
        if self._operator.waiting:
            return "a command was not accepted"
        for end, program in self._cluster.heads.items():
            if not program.alive or program.loop.is_stopped:
                return f"{end} does not run"
        for name, one in self._cluster.rollouts.every.items():
            if one.ended_at is None:
                return f"rollout {name} is {one.progress.state}: {one.progress.why}"
        found: dict[str, list[str]] = {}
        for node in self._cluster.machines:
            condition = self._cluster.condition(node)
            if condition is None:
                found.setdefault("not served", []).append(node)
            elif condition.phase == "waiting" and "is quarantined" in condition.why and named:
                continue  # it waits for one that waits for a person, and says so
            elif condition.phase not in rests:
                words = f"{condition.phase} {condition.why.replace(node, 'NODE')}"
                found.setdefault(words, []).append(node)
        amiss = [f"{fold(nodes)}: {words}" for words, nodes in found.items()]
        return "; ".join(amiss or [f"{rule}, but {what}" for rule, what in untrue(self._cluster)])

    def failures(self) -> dict[str, str]:
        """The nodes that wait for a person, and why."""
        found: dict[str, str] = {}
        for node in self._cluster.machines:
            condition = self._cluster.condition(node)
            if condition is not None and condition.phase in ("blocked", "quarantined"):
                found[node] = condition.why
                if not condition.why or not condition.next:
                    self._cluster.watch.violated(
                        "failures have names", f"{node} is {condition.phase}: {condition.why!r}, "
                        f"next: {condition.next!r}",
                    )  # fmt: skip
        return found


def untrue(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """What an owner says and is not so, of nodes that it calls converged; and what it was told to want
    and does not."""
    root = cluster.head.master
    if root is None:
        return
    wanted = root.wishes.start()
    for name, machine in cluster.machines.items():
        owner = cluster.owner(name)
        master = owner.master if owner is not None else None
        if master is None:
            continue
        node = master.head.nodes[name]
        if wanted is not None and node.configuration != wanted.nodes[name]:
            yield "configured by people only", f"{name} is not configured as was committed"
        condition = cluster.condition(name)
        if condition is None or condition.phase != "converged":
            continue
        told = node.discovered.get("scheduler.state")
        if cluster.scheduler is not None and told is not None and told.value != "absent":
            state = cluster.scheduler.nodes[name].state
            if state != told.value:
                yield "converged is true", f"{name} is {state} at the scheduler, not {told.value}"
        on = node.configured("power.state") == "on"
        image = reference_of(node.configured("image.wanted"))
        if on != machine.has_power:
            yield "converged is true", f"{name} has {'' if machine.has_power else 'no '}power"
        elif on and machine.frozen:
            yield "converged is true", f"{name} stands still"
        elif on and image and (machine.stage != RUNNING or not cluster.runs(name, image)):
            yield (
                "converged is true",
                (
                    f"{name} is at {machine.stage!r} with {cluster.image_of(name) or 'no image'}, "
                    f"not running {image}"
                ),
            )
