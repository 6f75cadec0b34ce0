"""Everything that people and programs may ask of a running master, in plain JSON-able values.

The API is a thin skin over this class, and nothing goes behind its back: an operation changes
configured state, or hands the engine a one-time request.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kedge import __version__
from kedge.core.condition import Condition
from kedge.core.draw import draw
from kedge.core.events import Requested, Retried
from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import fold
from kedge.master.engine.head import Head
from kedge.master.engine.nodes import NodeState
from kedge.master.intent.holds import Scope, scope_of
from kedge.master.intent.wishes import Wishes
from kedge.master.modules.io import MasterIo
from kedge.master.modules.running import Modules
from kedge.master.operations.choosing import chosen, named
from kedge.master.operations.looking import Looks
from kedge.master.operations.plans import plan_rows, told_rows
from kedge.master.operations.previews import Previews
from kedge.master.operations.releases import ReleaseOperations
from kedge.master.operations.rollouts import RolloutOperations
from kedge.master.operations.tree import TreeOperations
from kedge.master.operations.wording import (
    goals_of,
    next_step,
    reason_of,
    reference_of,
    rows,
    written,
)
from kedge.master.persistence.journal import Journal, event_row
from kedge.master.process.supervisor import Supervisor
from kedge.site.model import Origin
from kedge.stores.port import Store

Json = dict[str, Any]


class Operations:
    """One method for each verb. Nodesets are texts; all errors are `KedgeError`."""

    releases: ReleaseOperations
    looks: Looks
    rollouts: RolloutOperations
    tree: TreeOperations
    previews: Previews

    def __init__(
        self,
        head: Head,
        wishes: Wishes,
        io: MasterIo,
        store: Store,
        journal: Journal,
        supervisor: Supervisor,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._head = head
        self._random_bytes = random_bytes
        self._wishes = wishes
        self._io = io
        self._store = store
        self._supervisor = supervisor
        self.journal = journal
        self._started = head.clock.wall()

    modules: Modules
    """The modules that run."""

    # looking

    def about(self) -> Json:
        """The master itself: version, cluster, what of it is degraded."""
        site, tree = self._head.site, self.tree.about()
        return {
            "version": __version__,
            "role": tree["role"],
            "name": tree["name"],
            "cluster": site.cluster.name if site else "",
            "revision": self._wishes.intent.revision,
            "nodes": len(self._head.nodes),
            "started": self._started,
            "degraded": {**self._supervisor.failing, **tree["degraded"]},
            "strangers": len(self._io.strangers),
        }

    def status(self, nodes: str = "") -> list[Json]:
        """One row a node: which state, since when, why, and what is next."""
        return [self._row(self._head.nodes[name]) for name in self._chosen(nodes)]

    def node(self, name: str) -> Json:
        """All that is known of one node, with the origin of every configured value."""
        (known,) = self._chosen(name, exactly_one=True)
        node = self._head.nodes[known]
        origins = self._origins(known)
        variables = self._head.graph.variables
        configured: Json = {}
        for key in sorted(variables):
            value = node.configured(key) if variables[key].configured else None
            if value is not None:
                shown = "(secret)" if variables[key].secret else value
                configured[key] = written(shown, origins.get(key))
        if node.configuration.hold:
            configured["hold"] = written(node.configuration.hold, origins.get("hold"))
        return {
            **self._row(node),
            "profiles": list(node.configuration.profiles),
            "addresses": dict(node.configuration.addresses),
            "macs": dict(node.configuration.macs),
            "attributes": dict(node.configuration.attributes),
            "configured": configured,
            "discovered": {
                key: {"value": seen.value, "at": seen.at, "by": seen.by}
                for key, seen in sorted(node.discovered.items())
            },
            "facts": dict(node.facts),
        }

    def strangers(self) -> list[Json]:
        """Machines that were seen on the network and are in no file."""
        return [{"mac": mac, **facts} for mac, facts in self._io.strangers.items()]

    def plan(self, nodes: str, to: str = "", *, fold: bool = False) -> list[Json]:
        """For each node the path to what is configured, or (``to``: ``power.state=off,...``) to other
        goals on top of that; or what blocks it. ``fold``: alike nodes in one row."""
        goals = goals_of(to, self._head.graph)
        names = self._chosen(nodes)
        told = {n: p for n in names if not goals and (p := self.tree.path(n)) is not None}
        own = [name for name in names if name not in told]
        return plan_rows(self._head, own, goals, fold=fold) + told_rows(told, fold=fold)

    def graph(self, *, style: str = "dot", module: str = "", node: str = "") -> str:
        """The mutation graph as text (``dot``, ``mermaid`` or ``svg``), with a node's position in it."""
        condition = None
        if node:
            (name,) = self._chosen(node, exactly_one=True)
            path = self._head.engine.explain(name).plan
            condition = replace(self._head.engine.condition(name), plan=path)
        return draw(self._head.graph, style=style, module=module, condition=condition)

    def variables(self) -> list[Json]:
        """All declared variables, for help and completion."""
        return [
            {
                "name": variable.name,
                "configured": variable.configured,
                "valid": variable.kind.describe(),
                "summary": variable.summary,
            }
            for _, variable in sorted(self._head.graph.variables.items())
        ]

    def events(self, nodes: str = "", after: int = 0, limit: int = 100) -> list[Json]:
        """The append-only log."""
        self.journal.flush()
        names = named(self._head, nodes) if nodes else []
        limit = max(1, min(limit, 10_000))
        found = self._store.events(nodes=names, after=after, limit=limit)
        return [event_row(event) for event in found]

    # wanting

    def diff(self, files: Mapping[str, str]) -> list[Json]:
        """What applying these files would change, equal changes of many nodes folded."""
        _, changes = self._wishes.diff(files)
        return rows(changes)

    def apply(self, files: Mapping[str, str], by: str, revision: int | None = None) -> list[Json]:
        """Make these files the site, whole or not at all."""
        changes = self._wishes.apply(files, by, revision)
        return rows(changes)

    def set_values(self, nodes: str, values: Mapping[str, Value], by: str) -> Json:
        """Set configured values on nodes (None takes one back)."""
        names = self._chosen(nodes, at_least_one=True)
        self._wishes.set_values(names, values, by)
        return {"nodes": fold(names), "revision": self._wishes.intent.revision}

    def hold(
        self, nodes: str, reason: str, by: str, *, group: str = "", cluster: bool = False
    ) -> Json:
        """Leave nodes, a group or the whole cluster alone until they are released."""
        scope = self._scope(nodes, group, cluster=cluster)
        self._wishes.hold(scope, reason, by)
        return {"nodes": fold(scope.members(self._head.site)), "scope": str(scope)}

    def release(self, nodes: str, by: str, *, group: str = "", cluster: bool = False) -> Json:
        """End holds put by command; tells which of the nodes are held by others, and how those end."""
        scope = self._scope(nodes, group, cluster=cluster)
        self._wishes.release(scope, by)
        members = scope.members(self._head.site)
        left: dict[tuple[str, str], list[str]] = {}
        for name in members:
            if self._head.nodes[name].configuration.hold:
                origin = str(self._origins(name).get("hold", "the site"))
                left.setdefault((origin, self._next(self._head.nodes[name])), []).append(name)
        return {
            "nodes": fold(members),
            "scope": str(scope),
            "still_held": fold(name for held in left.values() for name in held),
            "held_by": [
                {"nodes": fold(held), "origin": origin, "next": coming}
                for (origin, coming), held in left.items()
            ],
        }

    def _scope(self, nodes: str, group: str, *, cluster: bool) -> Scope:
        names = tuple(self._chosen(nodes)) if nodes else ()
        return scope_of(self._head.site, names, group, cluster=cluster)

    def retry(self, nodes: str, by: str) -> Json:
        """Try quarantined nodes again."""
        names = self._chosen(nodes, at_least_one=True)
        for name in self.tree.pass_on(names, "retry", by, {}):
            self._head.feed(Retried(name, by))
        return {"nodes": fold(names)}

    def power(self, nodes: str, action: str, by: str) -> Json:
        """``on`` and ``off`` set the configured state; ``cycle`` asks once to pass through off."""
        names = self._chosen(nodes, at_least_one=True)
        if action in ("on", "off"):
            self._wishes.set_values(names, {"power.state": action}, by)
            return {"nodes": fold(names), "action": action}
        if action != "cycle":
            raise KedgeError("power.action", f"{action!r}: valid are on, off, cycle")
        request = f"cycle-{self._random_bytes(4).hex()}"
        first = {"power.state": "off"}
        for name in self.tree.pass_on(names, "cycle", by, first):
            self._head.feed(Requested(name, first, request, by))
        return {"nodes": fold(names), "action": action, "request": request}

    async def act(self, module: str, action: str, args: Mapping[str, Value], by: str) -> Value:
        """A verb of a module's own (``image import``, ``boot layer0-build``), to its end."""
        found = self._head.graph.modules.get(module)
        if found is None or action not in found.actions:
            valid = ", ".join(
                f"{name} {verb}"
                for name, known in sorted(self._head.graph.modules.items())
                for verb in sorted(known.actions)
            )
            raise KedgeError(
                "action.unknown", f"no action {module} {action}", next_step=f"Valid: {valid}"
            )
        self.journal.write("", "action", f"{module} {action}", cause=by)
        return await self.modules.act(found, action, args)

    # helping

    def _chosen(
        self, nodes: str, *, exactly_one: bool = False, at_least_one: bool = False
    ) -> list[str]:
        return chosen(self._head, nodes, exactly_one=exactly_one, at_least_one=at_least_one)

    def _next(self, node: NodeState) -> str:
        condition = self._head.engine.condition(node.name)
        hold = self._origins(node.name).get("hold")
        return next_step(node, condition, hold, self._wishes.intent.holds)

    def _origins(self, name: str) -> Mapping[str, Origin]:
        site = self._head.site
        return site.origins.get(name, {}) if site is not None else {}

    def _row(self, node: NodeState) -> Json:
        condition: Condition = self._head.engine.condition(node.name)
        progress = node.facts.get("progress")
        group = node.configuration.group
        return {
            "node": node.name,
            "owner": self.tree.owner(group),
            "phase": condition.phase,
            "since": self._head.clock.wall(condition.since),
            "why": reason_of(condition, node, self._head.graph.telling),
            "next": next_step(
                node, condition, self._origins(node.name).get("hold"), self._wishes.intent.holds
            ),
            "symbols": dict(condition.discovered),
            "goals": dict(condition.goals),
            "power": condition.discovered.get("power.state", "unknown"),
            "stage": condition.discovered.get("boot.stage", "unknown"),
            "image": node.seen("image.running"),
            "reference": reference_of(node),
            "step": condition.running[0].mutation if condition.running else "",
            "progress": progress if isinstance(progress, dict) else None,
            "hold": node.configuration.hold,
            "failures": dict(condition.failures),
            "group": group,
            **self.tree.shown(node.name),
        }
