"""Whether budgets are kept: steps in flight, and nodes that Kedge itself took out of service.

Pools and limits are worked out here again from the site, over all processes; their own reckoning is not
asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from kedge.agent.place import RUNNING
from kedge.core.mutation import Mutation
from kedge.core.node import Configuration
from kedge.sim.masters.head import Program
from kedge.sim.world.time import World
from kedge.site.model import Site

Pool = tuple[str, str]


class BudgetWatch:
    """Counts what is used in each pool. ``stage_of`` tells what a machine is really at."""

    site: Site | None = None
    """What the master's site is, or was when it last ran."""

    def __init__(
        self, world: World, violated: Callable[[str, str], None], stage_of: Callable[[str], str]
    ) -> None:
        self._world = world
        self._violated = violated
        self._stage_of = stage_of
        self._used: dict[Pool, dict[str, float]] = {}
        self._out: dict[str, set[str]] = {}

    def started(
        self, program: Program, node: str, mutation: Mutation, step: str
    ) -> tuple[Pool, ...]:
        """A step begins; returns the pools that it draws from until it has `ended`, or its time is out."""
        site, now = self.site, self._world.now
        configuration = site.nodes.get(node) if site is not None else None
        if site is None or configuration is None:
            return ()
        if mutation.destructive and site.out_of_service:
            self._take_out(program, site, configuration)
        pools = pools_of(mutation, configuration, site.budgets)
        for budget, pool in pools:
            limit = site.budgets[budget][pool.partition(" ")[0]]
            used = {k: at for k, at in self._used.get((budget, pool), {}).items() if at > now}
            used[step] = now + (mutation.timeout_s or math.inf)
            self._used[budget, pool] = used
            if limit and len(used) > limit:
                self._violated("budgets kept", f"{len(used)} steps at once take {budget} "
                               f"of {pool}, whose limit is {limit}")  # fmt: skip
        return pools

    def ended(self, pools: tuple[Pool, ...], step: str) -> None:
        """A step is over."""
        for pool in pools:
            self._used.get(pool, {}).pop(step, None)

    def _take_out(self, program: Program, site: Site, node: Configuration) -> None:
        """A destructive step begins on a node: does it take one more out of service?"""
        assert program.engine is not None
        seen = program.engine.condition(node.name).discovered
        if seen.get("boot.stage") != RUNNING or seen.get("power.state") != "on":
            return  # down already: to bring it back takes nothing from anybody
        wanted = {n for n, s in site.nodes.items() if s.values.get("power.state") == "on"}
        if node.name not in wanted:
            return  # it shall be off
        for kind, share in site.out_of_service.items():
            pool = pool_of(node, kind)
            if pool is None:
                continue
            members = sum(pool_of(other, kind) == pool for other in site.nodes.values())
            out = self._out.setdefault(pool, set())
            out -= {name for name in out if name not in wanted or self._stage_of(name) == RUNNING}
            out.add(node.name)
            if len(out) > share.of(members):
                self._violated("budgets kept", f"{', '.join(sorted(out))} of {pool} are taken out "
                               f"of service at once; the limit is {share}")  # fmt: skip


def pool_of(node: Configuration, kind: str) -> str | None:
    """The pool of a kind that a node is in."""
    own = {"cluster": "", "group": node.group}.get(kind, node.attributes.get(kind))
    return None if own is None else f"{kind} {own}".strip()


def pools_of(
    mutation: Mutation, node: Configuration, budgets: Mapping[str, Mapping[str, int]]
) -> tuple[Pool, ...]:
    """The pools that a step draws from, by what the site says."""
    found: list[Pool] = []
    for budget, kinds in sorted(budgets.items()):
        named = mutation.where != "waits" and fnmatchcase(mutation.name, budget)
        if budget not in mutation.budgets and not named:
            continue
        found += [(budget, pool) for kind in kinds if (pool := pool_of(node, kind)) is not None]
    return tuple(found)
