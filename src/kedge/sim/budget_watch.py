"""Whether budgets are kept: steps in flight, and nodes that Kedge itself took out of service.

Pools and limits are worked out here again from the site; the master's own reckoning is not asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from kedge.agent.place import RUNNING
from kedge.core.mutation import Mutation
from kedge.core.node import Configuration
from kedge.sim.head import Program

Pool = tuple[str, str]


class BudgetWatch:
    """Counts what is used in each pool. ``stage_of`` tells what a machine is really at."""

    def __init__(
        self, violated: Callable[[str, str], None], stage_of: Callable[[str], str]
    ) -> None:
        self._violated = violated
        self._stage_of = stage_of
        self._used: dict[str, Counter[Pool]] = {}
        self._out: dict[str, set[str]] = {}

    def started(self, program: Program, node: str, mutation: Mutation) -> tuple[Pool, ...]:
        """A step begins; returns the pools that it draws from until `ended`."""
        assert program.master is not None
        head = program.master.head
        if head.site is None:
            return ()
        configuration = head.nodes[node].configuration
        if mutation.destructive and head.site.out_of_service:
            self._take_out(program, configuration)
        pools = pools_of(mutation, configuration, head.site.budgets)
        used = self._used.setdefault(program.end, Counter())
        used.update(pools)
        for budget, pool in pools:
            limit = head.site.budgets[budget][pool.partition(" ")[0]]
            if limit and used[budget, pool] > limit:
                self._violated("budgets kept", f"{used[budget, pool]} steps at once take {budget} "
                               f"of {pool}, whose limit is {limit}")  # fmt: skip
        return pools

    def ended(self, program: str, pools: tuple[Pool, ...]) -> None:
        """A step is over."""
        self._used.setdefault(program, Counter()).subtract(pools)

    def _take_out(self, program: Program, node: Configuration) -> None:
        """A destructive step begins on a node: does it take one more out of service?"""
        assert program.master is not None
        head = program.master.head
        site = head.site
        assert site is not None
        assert program.engine is not None
        seen = program.engine.condition(node.name).discovered
        if seen.get("boot.stage") != RUNNING or seen.get("power.state") != "on":
            return  # down already: to bring it back takes nothing from anybody
        wanted = {n for n, s in head.nodes.items() if s.configured("power.state") == "on"}
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
