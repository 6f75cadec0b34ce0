"""The modules that run: which they are, where they come from, and going over to changed ones.

A reload builds and checks everything before it touches anything; whatever does not fit refuses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from kedge.core.graph import Graph
from kedge.core.kinds import Value
from kedge.core.module import Module
from kedge.core.reference import section
from kedge.lib.errors import KedgeError
from kedge.master.agents.duties import place_duties
from kedge.master.engine.head import Head
from kedge.master.intent.wishes import Wishes
from kedge.master.modules.carrier import StepCarrier
from kedge.master.modules.guarding import guarded
from kedge.master.modules.loading import Loaded, Source
from kedge.master.modules.troubles import Troubles
from kedge.master.persistence.journal import Journal
from kedge.master.process.attribution import current_module
from kedge.master.process.settings import Settings
from kedge.master.process.supervisor import Supervisor, outcome
from kedge.modules.port import Io

Json = dict[str, Any]

IMPORT_MOST_S = 60.0


def graph_of(loaded: list[Loaded], troubles: Troubles) -> Graph:
    """The graph of all modules; raises `KedgeError` naming both parties of every misfit."""
    return Graph.of(guarded(found.module, troubles.note) for found in loaded)


class Modules:
    """Owned by the master. ``taken`` hears of another graph, once everybody has gone over to it."""

    def __init__(
        self,
        source: Source,
        loaded: list[Loaded],
        settings: Settings,
        head: Head,
        wishes: Wishes,
        io: Io,
        carrier: StepCarrier,
        journal: Journal,
        supervisor: Supervisor,
        troubles: Troubles,
        taken: Callable[[Graph], None],
    ) -> None:
        self._source, self._settings, self._head, self._wishes = source, settings, head, wishes
        self._io, self._carrier, self._journal = io, carrier, journal
        self._supervisor, self.troubles, self._taken = supervisor, troubles, taken
        self._loaded = {found.module.name: found for found in loaded}
        self._reloading = asyncio.Lock()
        self.pass_on: Callable[[Collection[str], str], list[str]] = lambda names, by: []
        """Has sub-masters do the same; returns which."""

    def folders(self) -> dict[str, str]:
        """Where the code of each module lies."""
        return {name: found.folder for name, found in self._loaded.items() if found.folder}

    def start(self) -> None:
        """Start all services."""
        for found in self._loaded.values():
            self._serve(found.module)

    def _serve(self, module: Module) -> None:
        for number, service in enumerate(module.services):
            work = partial(service, self._io)
            self._supervisor.spawn(f"{module.name}.{number}", work, owner=module.name)

    def versions(self) -> dict[str, str]:
        """The version of each module."""
        return {name: found.module.version for name, found in sorted(self._loaded.items())}

    def rows(self) -> list[Json]:
        """One row a module, by name."""
        return [self._row(self._loaded[name]) for name in sorted(self._loaded)]

    def show(self, name: str) -> Json:
        """One module with the page of its reference."""
        found = self._loaded.get(name)
        if found is None:
            raise KedgeError(
                "module.unknown", f"no module {name!r}",
                next_step=f"Known: {', '.join(sorted(self._loaded))}",
            )  # fmt: skip
        return {**self._row(found), "reference": "\n".join(section(found.module))}

    def _row(self, found: Loaded) -> Json:
        module = found.module
        return {
            "name": module.name,
            "summary": module.summary,
            "version": module.version,
            "package": found.package,
            "package_version": found.package_version,
            "variables": sorted(v.name for v in module.variables),
            "mutations": sorted(m.name for m in module.mutations),
            "discoveries": sorted(d.name for d in module.discoveries),
            "duties": sorted(d.name for d in module.duties),
            "actions": sorted(module.actions),
            "protects": sorted(p.variable for p in module.protections),
            "services": len(module.services),
            "settings": sorted(self._io.settings(module.name)),
            "degraded": self.troubles.of(module.name),
        }

    async def act(self, module: Module, action: str, args: Mapping[str, Value]) -> Value:
        """A verb of a module's own, to its end; raises `KedgeError`, also for a bug of the module."""
        answers: list[Value] = []

        async def work() -> None:
            current_module.set(module.name)
            answers.append(await module.actions[action](self._io, args))

        error = await outcome(work)
        if isinstance(error, TimeoutError):
            raise KedgeError("module.timeout", f"{module.name} {action} did not answer in time")
        if error is not None:
            if error.code == "bug":
                self.troubles.note(module.name, "raised", f"{action}: {error.what}")
            raise error
        return answers[0]

    async def reload(self, names: Collection[str], by: str) -> Json:
        """Go over to what is installed now; ``names`` are imported anew even where nothing changed."""
        async with self._reloading:
            loaded = await self._import(names)
            graph = graph_of(loaded, self.troubles)
            site = self._wishes.adopt(graph)
            place_duties(graph, self._settings.state_dir)
            told = self._difference(loaded)
            self._go_over(graph, {found.module.name: found for found in loaded}, told)
            if site is not None:
                self._head.configure(site)
        words = "; ".join(f"{what} {', '.join(told[what])}" for what in told if told[what])
        self._journal.write("", "modules", "reload", after=words or "nothing changed", cause=by)
        return {**told, "passed_on": self.pass_on(names, by)}

    async def _import(self, names: Collection[str]) -> list[Loaded]:
        try:
            async with asyncio.timeout(IMPORT_MOST_S):
                return await asyncio.to_thread(self._source, names)
        except TimeoutError:
            raise KedgeError(
                "module.import", "the modules could not be imported in time",
                why=f"it took longer than {IMPORT_MOST_S:g} s",
            ) from None  # fmt: skip

    def _difference(self, loaded: list[Loaded]) -> dict[str, list[str]]:
        now = {found.module.name: found for found in loaded}
        same = {n for n, f in now.items() if n in self._loaded and f.module is self._module(n)}
        return {
            "added": sorted(now.keys() - self._loaded.keys()),
            "changed": sorted((now.keys() & self._loaded.keys()) - same),
            "removed": sorted(self._loaded.keys() - now.keys()),
        }

    def _module(self, name: str) -> Module:
        return self._loaded[name].module

    def _go_over(self, graph: Graph, loaded: dict[str, Loaded], told: dict[str, list[str]]) -> None:
        for name in (*told["changed"], *told["removed"]):
            self._supervisor.end(name)
            self.troubles.forget(name)
        self._loaded = loaded
        self._taken(graph)
        self._head.adopt(graph)
        self._carrier.adopt()
        for name in (*told["added"], *told["changed"]):
            self._serve(loaded[name].module)
