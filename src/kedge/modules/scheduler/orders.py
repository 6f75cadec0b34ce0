"""Telling a scheduler about many nodes at once: orders of one kind that come within a moment are one call.

Before anything is changed, the cluster is read once more: a drain that somebody made meanwhile is seen,
and left alone. Each node of a batch has its own answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from kedge.lib.errors import KedgeError
from kedge.modules.scheduler.driver import FEATURE, SIDE, Driver, Seen

GATHER_S = 0.1

Kind = tuple[str, str]
"""``drain`` or ``note`` (on drained nodes) and a reason, ``resume`` and nothing, ``carry`` and a release."""

Errors = dict[str, KedgeError]


def carry_out(driver: Driver, kind: Kind, nodes: Sequence[str]) -> Errors:
    """Tell the scheduler (blocks); the errors of those nodes that it could not be told about."""
    what, about = kind
    known = driver.read().nodes
    errors: Errors = {}
    fit: list[str] = []
    for name in nodes:
        seen = known.get(name)
        error = _unknown(name) if seen is None else _refused(name, what, seen)
        if error is not None:
            errors[name] = error
        elif what != "resume" or known[name].state != "in_service":
            fit.append(name)  # Slurm refuses to resume a batch of which one node serves already
    if what == "carry":
        alike: dict[tuple[str, ...], list[str]] = {}
        side = side_of(about, known.values())
        for name in fit:
            alike.setdefault(offered(known[name].features, about, side), []).append(name)
        for features, names in alike.items():
            driver.carry(names, features)
    elif fit and what in ("drain", "note"):
        driver.drain(fit, about)
    elif fit:
        driver.resume(fit)
    return errors


def offered(features: Sequence[str], release: str, side: int) -> tuple[str, ...]:
    """A node's features once it carries ``release`` (empty: none), which has this side."""
    others = tuple(f for f in features if not f.startswith((FEATURE, SIDE)))
    return (*others, f"{FEATURE}{release}", f"{SIDE}{side}") if release else others


def side_of(release: str, every: Iterable[Seen]) -> int:
    """The side of a release: that of the nodes which carry it, else the least that no other release has.
    Nothing but the scheduler remembers it, so all who ask come to the same."""
    taken: set[int] = set()
    for seen in every:
        if seen.release == release and seen.side:
            return seen.side
        taken.add(seen.side)
    return next(side for side in count(1) if side not in taken)


def _refused(name: str, what: str, seen: Seen) -> KedgeError | None:
    theirs = seen.return_by == "person" if what == "resume" else seen.drained_by == "person"
    if what == "carry" or not theirs:
        return None
    return KedgeError(
        "scheduler.theirs", f"is drained: {seen.reason or 'no reason given'}", where=name,
        why="Kedge did not make this drain, or left its end to a person",
        next_step=f"scontrol update nodename={name} state=resume, when it is fit",
    )  # fmt: skip


def _unknown(name: str) -> KedgeError:
    return KedgeError(
        "scheduler.unknown_node", "the scheduler does not know this node", where=name,
        next_step="Add it to slurm.conf, or set scheduler.policy: {kind: free} (or people) for it",
    )  # fmt: skip


@dataclass(slots=True)
class _Batch:
    nodes: list[str] = field(default_factory=list[str])
    told: asyncio.Future[Errors] = field(default_factory=asyncio.Future[Errors])


class Orders:
    """Gathers orders. ``tell`` carries one batch out; ``told`` is called after each."""

    def __init__(
        self, tell: Callable[[Kind, Sequence[str]], Awaitable[Errors]], told: Callable[[], None]
    ) -> None:
        self._tell, self._told = tell, told
        self._batches: dict[Kind, _Batch] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def give(self, kind: Kind, node: str) -> None:
        """Give an order for one node, and wait until the scheduler was told; raises `KedgeError`."""
        batch = self._batches.get(kind)
        if batch is None:
            batch = self._batches[kind] = _Batch()
            task = asyncio.create_task(self._flush(kind, batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        batch.nodes.append(node)
        try:
            errors = await asyncio.shield(batch.told)
        except asyncio.CancelledError:
            if node in batch.nodes:
                batch.nodes.remove(
                    node
                )  # nobody wants it any more: do not say it, if it was not said
            raise
        if node in errors:
            raise errors[node]

    async def _flush(self, kind: Kind, batch: _Batch) -> None:
        await asyncio.sleep(GATHER_S)
        del self._batches[kind]
        nodes = tuple(batch.nodes)
        try:
            batch.told.set_result(await self._tell(kind, nodes) if nodes else {})
        except KedgeError as error:
            batch.told.set_result(dict.fromkeys(nodes, error))
        finally:
            if not batch.told.done():
                batch.told.cancel()
            self._told()
