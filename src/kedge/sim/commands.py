"""What an operator does in a simulated world, through the operations that the command line uses.

A command that finds no running head, or one that cannot write, is typed again a little later, as a
person would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import fold
from kedge.sim import tree
from kedge.sim.happening import Happening

if TYPE_CHECKING:
    from kedge.master.operations import Operations
    from kedge.sim.cluster import Cluster

BY = "operator"
TYPED_AGAIN_S = 20.0
NOT_NOW = ("store.failed",)
"""Errors after which a person tries the same again."""


@dataclass(frozen=True, slots=True)
class Command:
    """A verb. ``args`` are the words that it takes, with an example of each."""

    name: str
    summary: str
    run: Callable[[Operations, str, Mapping[str, Value]], object]
    args: Mapping[str, str] = field(default_factory=dict[str, str])


def _set(operations: Operations, nodes: str, args: Mapping[str, Value]) -> None:
    values = args.get("values")
    operations.set_values(nodes, cast("dict[str, Value]", values), BY)


def _hold(operations: Operations, nodes: str, args: Mapping[str, Value]) -> None:
    operations.hold(nodes, str(args.get("reason", "held in a scenario")), BY)


def _power(action: str) -> Callable[[Operations, str, Mapping[str, Value]], object]:
    return lambda operations, nodes, args: operations.power(nodes, action, BY)


_KNOWN = (
    Command("set", "kedge node set", _set, {"values": "{image.wanted: registry.sim:5000/a:2}"}),
    Command("hold", "kedge node hold", _hold, {"reason": "broken fan"}),
    Command("release", "kedge node release", lambda o, nodes, args: o.release(nodes, BY)),
    Command("retry", "kedge node retry", lambda o, nodes, args: o.retry(nodes, BY)),
    Command("cycle", "kedge power cycle", _power("cycle")),
    Command("power_on", "kedge power on", _power("on")),
    Command("power_off", "kedge power off", _power("off")),
)
COMMANDS: dict[str, Command] = {command.name: command for command in _KNOWN}


class Operator:
    """Types commands, and keeps what was refused."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.refused: list[str] = []
        self.waiting = 0
        """Commands that are still to be typed again."""

    def set_up(self) -> None:
        """Add the sub-masters and apply the site."""
        cluster = self._cluster

        def act(operations: Operations) -> None:
            for name in cluster.submasters:
                tree.add(cluster, name, operations)
            operations.apply(cluster.files, BY)

        self._type("kedge submaster add, kedge apply", act)

    def do(self, happening: Happening) -> None:
        """Type the command of a scenario."""
        command = COMMANDS[happening.kind]
        nodes = fold(self._cluster.nodes(happening.target))
        text = f"{command.summary} {nodes}"
        self._type(text, lambda operations: command.run(operations, nodes, happening.args))

    def _type(self, text: str, act: Callable[[Operations], object]) -> None:
        cluster = self._cluster
        self.waiting += 1
        done = False

        def inside() -> None:
            nonlocal done
            master = cluster.head.master
            if done or master is None:
                return
            cluster.watch.commanding = True
            try:
                act(master.operations)
            except KedgeError as error:
                if error.code in NOT_NOW:
                    return
                self.refused.append(f"{text}: {error}")
            finally:
                cluster.watch.commanding = False
            done = True
            self.waiting -= 1
            cluster.watch.mark("typed", text)

        def attempt() -> None:
            if not done:
                cluster.head.loop.enter(inside)
                cluster.world.after(TYPED_AGAIN_S, attempt)

        attempt()
