"""Parts of a fake master that speak of one thing each: releases, rollouts, modules, sub-masters, dry runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import expand, fold


class FakeReleases:
    """One release, that cannot be deleted."""

    def __init__(self, asked: list[tuple[Any, ...]]) -> None:
        self.asked = asked

    def every(self) -> list[dict[str, Any]]:
        row = {"name": "A", "commit": "c0ffee", "by": "alice", "at": 1.5e9, "kedge": "0.1.0"}
        return [{**row, "images": 1, "digest": "sha256:1", "nodes": "n[1-2]"}]

    def show(self, name: str) -> dict[str, Any]:
        return {**self.every()[0], "files": {"a.yaml": 7}, "bound": {}, "services": {}}

    def create(self, name: str, files: Any, *more: Any) -> dict[str, Any]:
        self.asked.append(("release", name, files))
        return self.show(name)

    def diff(self, before: str, after: str) -> list[dict[str, Any]]:
        return []

    def delete(self, name: str, by: str) -> dict[str, Any]:
        raise KedgeError("release.in_use", f"release {name} is in use")


class FakeLooks:
    """A full rack, and what was measured of one mutation."""

    def budgets(self) -> list[dict[str, Any]]:
        return [
            {
                "budget": "out_of_service", "pool": "rack 1", "span": True, "limit": 1, "used": 1,
                "users": "n1", "down": "", "waiting": "n[2-3]", "waiting_count": 2,
                "first": ["n3", "n2"],
            }
        ]  # fmt: skip

    def why(self, node: str) -> dict[str, Any]:
        person = {
            "seq": 1,
            "at": 1.5e9,
            "kind": "person",
            "words": "alice: apply: 8 changes (revision 5)",
        }
        step = {
            "seq": 3,
            "at": 1.5e9 + 1,
            "kind": "step",
            "words": "power.switch_on failed: no BMC",
        }
        chain = [
            {**person, "why": "", "because": 0, "until": 0.0},
            {**step, "why": "power.state is off, should be on", "because": 1, "until": 1.5e9 + 6},
        ]
        return {
            "node": node, "phase": "waiting", "since": time.time() - 5, "why": "to try again",
            "next": "power.switch_on", "chain": chain,
        }  # fmt: skip

    def costs(self) -> list[dict[str, Any]]:
        return [
            {
                "mutation": "power.switch_on", "hardware": "x86_64", "declared_s": 5,
                "surcharge_s": 60, "learned_s": 9, "runs": 4, "median_s": 8.7, "least_s": 8.0,
                "most_s": 9.5,
            }
        ]  # fmt: skip


class FakeRollouts:
    """One rollout that runs for ever."""

    def every(self) -> list[dict[str, Any]]:
        row = {"name": "weekly", "release": "B", "state": "running", "why": "", "stage": "canary"}
        return [{**row, "since": 1.5e9, "nodes": 4, "done": 1, "out": 1, "waits": ["for n2"]}]

    def show(self, name: str) -> dict[str, Any]:
        gate = {"name": "hpl", "state": "to come", "why": "", "since": 0.0}
        stage = {"name": "canary", "state": "running", "nodes": "n[1-2]", "goal": 2}
        stage |= {"on_release": 2, "done": 1, "approval": False, "gates": [gate]}
        more = {"by": "alice", "at": 1.5e9, "most_out": 2, "most_out_of": {"rack": 1}}
        nodes = {"failed": {"no boot": "n2"}, "aside": {"held": "n3"}}
        return {**self.every()[0], **more, **nodes, "stages": [stage]}

    def plan(self, name: str, release: str) -> dict[str, Any]:
        stage = {"name": "canary", "begin_s": 0.0, "end_s": 900.0, "approval": True}
        more = {"end_s": 7200.0, "stuck": "", "nodes": 4, "most_out": 2, "update_s": 300.0}
        told = {"name": name, "release": release, **more, "stages": [stage]}
        return {**told, "capacity": [2, 2, 3], "unmoved": "n4"}

    def start(self, name: str, release: str, by: str) -> dict[str, Any]:
        return self.show(name)

    def say(self, name: str, verb: str, *more: Any) -> dict[str, Any]:
        return self.show(name)


class FakeTree:
    """One sub-master that is silent."""

    def __init__(self, asked: list[tuple[Any, ...]]) -> None:
        self.asked = asked

    def list(self) -> list[dict[str, Any]]:
        row = {"name": "sm1", "state": "silent", "since": 1.5e9, "address": "10.77.0.2:8471"}
        return [
            {
                **row, "version": "0.1.0", "owns": ["rack1"], "parent_of": ["rack1"], "nodes": 4,
                "degraded": {}, "why": "sm1 is silent since 3 min",
            }
        ]  # fmt: skip

    def add(self, name: str) -> dict[str, Any]:
        self.asked.append(("submaster add", name))
        return {"name": name, "term": 1, "counter": 2, "token": "c2VjcmV0", "masters": ["h:1"]}

    def remove(self, name: str) -> dict[str, Any]:
        self.asked.append(("submaster remove", name))
        return {"name": name}


class FakePreviews:
    """What `FakeOperations` would do: four nodes are switched on, two at once."""

    def __init__(self, operations: Any) -> None:
        self._operations = operations

    def files(self, files: Mapping[str, str]) -> dict[str, Any]:
        changes = self._operations.diff(files)
        return {"nodes": "n[1-4]", "changes": changes, "prospect": self.prospect("n[1-4]")}

    def values(self, nodes: str, values: Mapping[str, Any]) -> dict[str, Any]:
        names = fold(self._operations.chosen(nodes))
        changes = self._operations.changes()
        return {"nodes": names, "changes": changes, "prospect": self.prospect(names)}

    def power(self, nodes: str, action: str) -> dict[str, Any]:
        return {**self.values(nodes, {}), "action": action}

    def meaning(self, nodes: str, values: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.values(nodes, values), "changes": []}

    def hold(self, nodes: str, reason: str, *, group: str, cluster: bool) -> dict[str, Any]:
        return self.values(self._operations.scope(nodes, group, cluster)["nodes"], {})

    def release(self, nodes: str, *, group: str, cluster: bool) -> dict[str, Any]:
        return self.values(self._operations.scope(nodes, group, cluster)["nodes"], {})

    def retry(self, nodes: str) -> dict[str, Any]:
        return self.values(nodes, {})

    def prospect(self, nodes: str) -> dict[str, Any]:
        count = len(expand(nodes))
        return {
            "moving": [
                {
                    "nodes": nodes, "count": count, "steps": self._operations.steps(), "cost_s": 5,
                    "there_s": 10, "disrupted": True, "out_s": 5, "returns": True,
                    "proven_cheapest": True, "given_up": [], "blocked_by": "", "assumed": {},
                }
            ],
            "still": [], "blocked": [], "quarantined": [],
            "held": [{"nodes": "n9", "count": 1, "why": "broken fan"}], "stuck": [],
            "moving_count": count, "disrupted": count, "duration_s": 10,
            "critical": [
                {
                    "start_s": 0, "end_s": 10, "moves": ["power.switch_on"], "nodes": nodes,
                    "count": count, "budget": "power.inrush", "pool": "rack 1", "limit": 2,
                    "span": False,
                }
            ],
        }  # fmt: skip


class FakeModules:
    """Two modules, one of them in trouble."""

    def __init__(self, asked: list[Any]) -> None:
        self.asked = asked

    def rows(self) -> list[dict[str, Any]]:
        return [self._row("lamp", "raised: ZeroDivisionError"), self._row("power", "")]

    def _row(self, name: str, degraded: str) -> dict[str, Any]:
        return {
            "name": name, "summary": f"The module {name}", "version": "1.0", "package": "kedge",
            "package_version": "0.1.0", "variables": [f"{name}.state"], "mutations": [],
            "discoveries": [f"{name}.read"], "duties": [f"{name}.look", f"{name}.hear"],
            "actions": [], "protects": [], "services": 1, "settings": [], "degraded": degraded,
        }  # fmt: skip

    def show(self, name: str) -> dict[str, Any]:
        if name not in ("lamp", "power"):
            raise KedgeError(
                "module.unknown", f"no module {name!r}", next_step="Known: lamp, power"
            )
        return {**self._row(name, ""), "reference": f"## {name}"}

    async def reload(self, names: list[str], by: str) -> dict[str, Any]:
        self.asked.append(("reload", list(names), by))
        if "bad" in names:
            raise KedgeError("graph.twice", "variable x is declared twice", where="modules a, b")
        return {"added": ["lamp"], "changed": list(names), "removed": []}
