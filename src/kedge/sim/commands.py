"""What an operator does in a simulated world, through the operations that the command line uses.

A command that finds no running head, or one that cannot write, is typed again a little later, as a
person would.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from kedge.core.kinds import Value
from kedge.lib import nodeset
from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import fold
from kedge.master.tree.master.ways import Ways
from kedge.modules.scheduler.driver import OURS
from kedge.sim.happening import Happening
from kedge.sim.masters import tree

if TYPE_CHECKING:
    from kedge.master.operations.operations import Operations
    from kedge.sim.cluster import Cluster

BY = "operator"
RELEASE = "next"
"""The release of a rollout that names none."""
TYPED_AGAIN_S = 20.0
PERSON = "alice"
NOT_NOW = ("store.failed", "release.image")
"""Errors after which a person tries the same again."""
DONE = ("rollout.running",)
"""Errors that say that it was done when it was typed before."""

Act = Callable[["Operations"], object]
"""What is typed. One that takes time returns a coroutine."""


@dataclass(frozen=True, slots=True)
class Command:
    """A verb. ``args`` are the words that it takes, with an example of each; ``on`` is what its target
    names: nodes, or a rollout."""

    name: str
    summary: str
    run: Callable[[Operations, str, Mapping[str, Value]], object]
    args: Mapping[str, str] = field(default_factory=dict[str, str])
    on: str = "nodes"


def _set(operations: Operations, nodes: str, args: Mapping[str, Value]) -> None:
    values = args.get("values")
    operations.set_values(nodes, cast("dict[str, Value]", values), BY)


def _nothing(operations: Operations, nodes: str, args: Mapping[str, Value]) -> None:
    """What a person tells the scheduler, not Kedge."""


def _hold(operations: Operations, nodes: str, args: Mapping[str, Value]) -> None:
    operations.hold(nodes, str(args.get("reason", "held in a scenario")), BY)


def _power(action: str) -> Callable[[Operations, str, Mapping[str, Value]], object]:
    return lambda operations, nodes, args: operations.power(nodes, action, BY)


_GROUP = re.compile(r'^(\s*([\w-]+):\s*{\s*nodes:\s*)"([^"]*)"', re.MULTILINE)
"""A group as a simulated site's file has it: ``rack1: { nodes: "n[1-3]", ...``."""


def _move(operations: Operations, nodes: str, args: Mapping[str, Value]) -> None:
    """Edit the groups in the site's file, and apply it."""
    moved = nodeset.expand(nodes)

    def edit(found: re.Match[str]) -> str:
        rest = [name for name in nodeset.expand(found[3]) if name not in moved]
        return f'{found[1]}"{fold([*rest, *moved] if found[2] == args["to"] else rest)}"'

    files = operations._wishes.intent.files  # pyright: ignore[reportPrivateUsage]
    operations.apply({name: _GROUP.sub(edit, text) for name, text in files.items()}, BY)


async def _begin(operations: Operations, name: str, args: Mapping[str, Value]) -> None:
    """Make a release of a folder's ``files``, and roll it."""
    release = str(args.get("release", RELEASE))
    await operations.releases.create(release, cast("dict[str, str]", args["files"]), "", {}, BY)
    operations.rollouts.start(name, release, BY)


def _say(verb: str) -> Callable[[Operations, str, Mapping[str, Value]], object]:
    return lambda operations, name, args: operations.rollouts.say(
        name, verb, str(args.get("reason", "")), bool(args.get("accept")), BY
    )


_KNOWN = (
    Command("set", "kedge node set", _set, {"values": "{image.wanted: registry.sim:5000/a:2}"}),
    Command("move", "kedge apply", _move, {"to": "rack2"}),
    Command("hold", "kedge node hold", _hold, {"reason": "broken fan"}),
    Command("release", "kedge node release", lambda o, nodes, args: o.release(nodes, BY)),
    Command("retry", "kedge node retry", lambda o, nodes, args: o.retry(nodes, BY)),
    Command("cycle", "kedge power cycle", _power("cycle")),
    Command("power_on", "kedge power on", _power("on")),
    Command("power_off", "kedge power off", _power("off")),
    Command("rollout", "kedge rollout start", _begin, {"release": RELEASE}, on="rollout"),
    *(
        Command(verb, f"kedge rollout {verb}", _say(verb), args, on="rollout")
        for verb, args in (
            ("approve", {}),
            ("pause", {"reason": "too hot today"}),
            ("resume", {"accept": "true"}),
            ("abort", {"reason": "not today"}),
            ("rollback", {"reason": "users complain"}),
        )
    ),
    Command("drain", "scontrol update state=drain", _nothing, {"reason": "a person looks at it"}),
    Command("undrain", "scontrol update state=resume", _nothing),
)
COMMANDS: dict[str, Command] = {command.name: command for command in _KNOWN}


class Typed:
    """One command, typed again until it was taken or refused."""

    def __init__(self, operator: Operator, text: str, act: Act) -> None:
        self._operator = operator
        self._cluster = operator.cluster
        self._text = text
        self._act = act
        self._done = False
        self._task: asyncio.Task[None] | None = None

    def attempt(self) -> None:
        """Type it, unless it was taken."""
        if not self._done:
            self._cluster.head.loop.enter(self._inside)
            self._cluster.world.after(TYPED_AGAIN_S, self.attempt)

    def _inside(self) -> None:
        """In the head's process."""
        master = self._cluster.head.master
        if self._done or master is None or (self._task is not None and not self._task.done()):
            return
        watch = self._cluster.watch
        watch.commanding = True
        try:
            found = self._act(master.operations)
        except KedgeError as error:
            self._failed(error)
        else:
            if asyncio.iscoroutine(found):
                self._task = self._cluster.head.loop.create_task(self._wait(found))
            else:
                self._took()
        finally:
            watch.commanding = False

    async def _wait(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except KedgeError as error:
            self._failed(error)
        else:
            self._took()

    def _failed(self, error: KedgeError) -> None:
        if error.code in NOT_NOW:
            return
        if error.code not in DONE:
            self._operator.refused.append(f"{self._text}: {error}")
        self._took()

    def _took(self) -> None:
        self._done = True
        self._operator.waiting -= 1
        self._cluster.watch.mark("typed", self._text)


class Operator:
    """Types commands, and keeps what was refused."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = self._cluster = cluster
        self.refused: list[str] = []
        self.waiting = 0
        """Commands that are still to be typed again."""

    def set_up(self) -> None:
        """Add the sub-masters and apply the site."""
        cluster = self._cluster

        def act(operations: Operations) -> None:
            ways = Ways(cluster.below.items())
            names = [name for name in cluster.submasters if name not in cluster.hosts]
            for name in sorted(names, key=lambda name: len(ways.way(name))):
                tree.add(cluster.heads[name], operations, cluster.below.get(name))
            operations.apply(cluster.files, BY)

        self._type("kedge submaster add, kedge apply", act)

    def do(self, happening: Happening) -> None:
        """Type the command of a scenario."""
        command, cluster = COMMANDS[happening.kind], self._cluster
        if command.on == "rollout":
            if command.run is _begin:
                cluster.registry.rebuild()
            else:
                cluster.rollouts.said(happening.target, command.name)
            files: Value = {**(cluster.release_files or cluster.files)}
            args = {**happening.args, "files": files}
            self._type(
                f"{command.summary} {happening.target}",
                lambda operations: command.run(operations, happening.target, args),
            )
            return
        names = cluster.nodes(happening.target)
        if command.run is _nothing:
            self._tell_scheduler(command.name, names, str(happening.args.get("reason", "broken")))
            return
        nodes = fold(names)
        self._type(
            f"{command.summary} {nodes}",
            lambda operations: command.run(operations, nodes, happening.args),
        )

    def _tell_scheduler(self, verb: str, names: list[str], reason: str) -> None:
        """A person drains or resumes nodes in the scheduler; nodes that Kedge drained are left to it."""
        scheduler = self._cluster.scheduler
        if scheduler is None:
            return
        theirs = [n for n in names if not scheduler.nodes[n].reason.startswith(OURS)]
        if verb == "drain":
            scheduler.drain(theirs, reason, PERSON)
        else:
            scheduler.resume(theirs, PERSON)

    def _type(self, text: str, act: Act) -> None:
        typed = Typed(self, text, act)
        self.waiting += 1
        typed.attempt()
