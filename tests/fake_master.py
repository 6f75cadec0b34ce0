"""A master that does what `kedge.master.operations.operations.Operations` promises, with plain dicts inside.

For tests of the API, the client and the commands: everything above it is real, sockets included.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fake_parts import FakeLooks, FakeModules, FakePreviews, FakeReleases, FakeRollouts, FakeTree
from kedge.api.server import api_serving
from kedge.lib.errors import KedgeError, KedgeErrors
from kedge.lib.nodeset import expand, fold
from kedge.master.persistence.journal import Journal, event_rows
from kedge.master.process.clock import Clock
from kedge.master.process.settings import Settings
from kedge.stores.port import Entry, Note


class ListStore:
    """The log in a list."""

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        self.append([Entry(time.time(), (), (Note("master", "start"),))])

    def append(self, entries: list[Entry]) -> int:
        for entry in entries:
            self.log += event_rows(replace(entry, seq=len(self.log) + 1))
        return len(self.log)

    def events(self, nodes: Any, after: int, limit: int) -> list[dict[str, Any]]:
        rows = [row for row in self.log if not nodes or {*expand(row["nodes"])} & {*nodes}]
        return [row for row in rows if row["seq"] > after][:limit] if after else rows[-limit:]


class FakeOperations:
    """Four nodes; what is asked of it is kept in ``asked``."""

    def __init__(self) -> None:
        self.store = ListStore()
        self.journal = Journal(self.store, Clock())  # type: ignore[arg-type]
        self.phases = dict.fromkeys(["n1", "n2", "n3", "n4"], "converged")
        self.why = ""
        self.asked: list[tuple[Any, ...]] = []
        self.releases = FakeReleases(self.asked)
        self.looks = FakeLooks()
        self.modules = FakeModules(self.asked)
        self.rollouts = FakeRollouts()
        self.tree = FakeTree(self.asked)
        self.previews = FakePreviews(self)
        self.revision = 7
        self.converge_after_s: float | None = None

    def row(self, name: str) -> dict[str, Any]:
        return {
            "node": name,
            "phase": self.phases[name],
            "since": time.time() - 90,
            "why": self.why,
            "next": "",
            "symbols": {"power.state": "on"},
            "goals": {"power.state": "on"},
            "power": "on",
            "stage": "running",
            "image": {"reference": "registry:5000/compute:1"},
            "step": "boot.load" if self.phases[name] == "moving" else "",
            "progress": {"what": "fetching", "share": 0.5},
            "hold": "",
            "failures": {},
        }

    def about(self) -> dict[str, Any]:
        return {
            "version": "0.1.0", "cluster": "lab", "revision": self.revision, "nodes": 4,
            "started": time.time(), "degraded": {}, "strangers": 1,
        }  # fmt: skip

    def chosen(self, nodes: str) -> list[str]:
        names = expand(nodes)
        unknown = [name for name in names if name not in self.phases]
        if unknown or not names:
            raise KedgeError("node.unknown", f"no such node: {fold(unknown)}", next_step="n[1-4]")
        return names

    def status(self, nodes: str = "") -> list[dict[str, Any]]:
        return [self.row(name) for name in (self.chosen(nodes) if nodes else self.phases)]

    def node(self, name: str) -> dict[str, Any]:
        (known,) = self.chosen(name)
        value = {"value": "on", "origin": "profile compute (site.yaml:4)", "at": 0.0}
        seen = {"value": "on", "at": time.time(), "by": "power.read"}
        return {
            **self.row(known),
            "group": "lab", "profiles": ["compute"], "addresses": {"provision": "10.77.1.1"},
            "macs": {"provision": "52:54:00:77:00:01"}, "attributes": {"rack": 1},
            "configured": {"power.state": value}, "discovered": {"power.state": seen},
            "facts": {"cores": 4},
        }  # fmt: skip

    def strangers(self) -> list[dict[str, Any]]:
        return [{"mac": "52:54:00:77:00:99", "first_seen": 1.0, "address": "10.77.255.240"}]

    def plan(self, nodes: str, to: str = "", *, fold: bool = False) -> list[dict[str, Any]]:
        self.asked.append(("plan", nodes, to))
        queue = {
            "budget": "out_of_service", "pool": "rack 1", "limit": 1, "used": 1, "ahead": 0,
            "ahead_most": 2, "step": "", "users": ["n9"], "blocker": "n9",
        }  # fmt: skip
        return [
            {
                "node": name, "phase": self.phases[name], "why": self.why, "waits": "",
                "steps": self.steps(), "cost_s": 5, "proven_cheapest": True, "given_up": [],
                "blocked_by": "nothing makes it so" if self.phases[name] == "blocked" else "",
                "queues": [queue] if self.phases[name] == "waiting" else [],
            }
            for name in self.chosen(nodes)
        ]  # fmt: skip

    def steps(self) -> list[dict[str, Any]]:
        return [
            {
                "mutation": "power.switch_on", "effects": {"power.state": "on"}, "cost_s": 5,
                "where": "head", "after": [], "why": "power.state=on is configured", "summary": "",
            }
        ]  # fmt: skip

    def graph(self, *, style: str, module: str, node: str) -> str:
        return "digraph kedge {}" if style == "dot" else "stateDiagram-v2"

    def variables(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "configured": configured, "valid": "one of off, on", "summary": ""}
            for name, configured in (("power.state", True), ("boot.stage", False))
        ]

    def events(self, nodes: str = "", after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        self.journal.flush()
        return self.store.events(expand(nodes) if nodes else [], after, limit)

    def changes(self) -> list[dict[str, Any]]:
        return [
            {
                "kind": "node", "name": "n[1-4]", "change": "changed", "field": "power.state",
                "before": "off", "after": "on", "origin": "command", "varied": 0,
            }
        ]  # fmt: skip

    def diff(self, files: Mapping[str, str]) -> list[dict[str, Any]]:
        if "bad" in "".join(files.values()):
            raise KedgeErrors(
                [
                    KedgeError("site.unknown_key", "unknown key 'x'", where="site.yaml:1"),
                    KedgeError("site.bad_value", "no address", where="site.yaml:2", why="odd"),
                ]
            )
        return self.changes()

    def apply(self, files: Mapping[str, str], by: str, revision: int | None = None) -> Any:
        if revision is not None and revision != self.revision:
            raise KedgeError("store.conflict", "the site changed while you worked")
        self.asked.append(("apply", dict(files), by))
        self.moved()
        return self.diff(files)

    def moved(self) -> None:
        self.revision += 1
        self.journal.write("n1", "goal", "power.state", "off", "on", "test")
        if self.converge_after_s is not None:
            self.phases = dict.fromkeys(self.phases, "moving")
            asyncio.get_running_loop().call_later(self.converge_after_s, self.converge)

    def converge(self) -> None:
        self.phases = dict.fromkeys(self.phases, "converged")
        self.journal.write("n1", "phase", "converged")

    def set_values(self, nodes: str, values: Mapping[str, Any], by: str) -> dict[str, Any]:
        names = self.chosen(nodes)
        self.asked.append(("set", fold(names), dict(values), by))
        self.moved()
        return {"nodes": fold(names), "revision": self.revision}

    def scope(self, nodes: str, group: str, cluster: bool) -> dict[str, Any]:
        if bool(nodes) + bool(group) + cluster != 1:
            raise KedgeError("hold.scope", "name nodes, or one group, or all")
        names = fold(self.chosen(nodes) if nodes else self.phases)
        whole = "the cluster" if cluster else f"group {group}"
        return {"nodes": names, "scope": names if nodes else whole}

    def hold(self, nodes: str, reason: str, by: str, **scope: Any) -> dict[str, Any]:
        self.asked.append(("hold", nodes, reason, by))
        return self.scope(nodes, **scope)

    def release(self, nodes: str, by: str, **scope: Any) -> dict[str, Any]:
        held = {
            "nodes": "n4",
            "origin": "node n4 (site.yaml:7)",
            "next": "take hold out of site.yaml",
        }
        return {**self.scope(nodes, **scope), "still_held": "n4", "held_by": [held]}

    def retry(self, nodes: str, by: str) -> dict[str, Any]:
        return {"nodes": fold(self.chosen(nodes))}

    def power(self, nodes: str, action: str, by: str) -> dict[str, Any]:
        names = self.chosen(nodes)
        self.asked.append(("power", fold(names), action, by))
        self.moved()
        return {"nodes": fold(names), "action": action}

    def pruned(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """One loose blob; one image that nobody needs, and one that a release does."""
        nobody = {"wanted": "", "running": "", "files": [], "releases": [], "rollouts": [],
                  "master": []}  # fmt: skip
        old = {"reference": "registry:5000/compute:0", "arch": "x86_64", "size_bytes": 2_000_000,
               "digest": "sha256:" + "3" * 64, "created": "2026-01-01"}  # fmt: skip
        kept = {**old, "reference": "registry:5000/compute:1", "why": "needed",
                "needed_by": {**nobody, "wanted": "n[1-4]", "releases": ["A"]}}  # fmt: skip
        rest = {**old, "needed_by": nobody, "why": "not asked for"}
        unused = bool(args.get("unused"))
        return {
            "dry_run": bool(args.get("dry_run")), "unused": unused,
            "older_than_s": args.get("older_than_s", 3600.0), "images": [old] if unused else [],
            "blobs": ["sha256:" + "2" * 64], "size_bytes": 2_500_000,
            "images_kept": 1 if unused else 2, "kept": [kept] if unused else [kept, rest],
        }  # fmt: skip

    async def act(self, module: str, action: str, args: Mapping[str, Any], by: str) -> Any:
        self.asked.append(("act", module, action, dict(args), by))
        if action == "bug":
            raise ZeroDivisionError("a bug")
        if (module, action) == ("image", "import") and args.get("dry_run"):
            before, after = ("sha256:" + digit * 64 for digit in "10")
            moves = sorted(self.phases) if args["reference"] == "registry:5000/compute:1" else []
            return {"reference": args["reference"], "arch": args["arch"], "before": before,
                    "after": after, "moves": moves}  # fmt: skip
        if (module, action) == ("image", "prune"):
            return self.pruned(args)
        if (module, action) == ("image", "import"):
            for share in (0.0, 0.5, 1.0):
                self.journal.publish("image", {"what": f"layer {share}", "share": share})
                await asyncio.sleep(0.1)
            return {"digest": "sha256:" + "0" * 64, "reference": args["reference"]}
        if module not in ("image", "boot"):
            raise KedgeError("action.unknown", f"no action {module} {action}")
        return [
            {
                "arch": "x86_64", "digest": "sha256:" + "0" * 64, "created": "2026-01-01",
                "reference": "registry:5000/compute:1", "size_bytes": 185_000_000, "layers": [],
                "kernel": {"version": "6.12"},
            }
        ]  # fmt: skip


@asynccontextmanager
async def fake_serving(state_dir: Path, listen: str = "") -> AsyncIterator[FakeOperations]:
    """The real API over a fake master."""
    operations = FakeOperations()
    settings = Settings(state_dir, state_dir / "api.sock", api_listen=listen)
    async with api_serving(operations, settings):  # type: ignore[arg-type]
        yield operations
