"""A change to one profile: from `apply` to the first effect, through site, database, head and records."""

from __future__ import annotations

import asyncio
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from kedge.core.engine.engine import Engine
from kedge.core.events import StartDiscovery, StartStep
from kedge.master.agents.duties import DutyEntries
from kedge.master.agents.link import Link
from kedge.master.agents.records import send_records
from kedge.master.engine.head import Head
from kedge.master.intent.releases import Releases
from kedge.master.intent.wishes import Wishes
from kedge.master.persistence.journal import Journal
from kedge.master.process.garbage import collect_seldom
from kedge.master.process.host import Host
from kedge.master.process.settings import Settings
from scale.boots import settled
from scale.fleet import Devices, graph_of, texts
from scale.process import Stopwatch


class Watching(Devices):
    """Devices that note when the first thing is asked of any, and the first step begins."""

    def begin(self) -> None:
        """Count from now."""
        self._began = time.perf_counter()
        self.first_effect_s = self.first_step_s = 0.0

    def start_step(self, effect: StartStep) -> None:
        self.first_step_s = self.first_step_s or time.perf_counter() - self._began
        self.first_effect_s = self.first_effect_s or self.first_step_s
        super().start_step(effect)

    def start_discovery(self, effect: StartDiscovery) -> None:
        self.first_effect_s = self.first_effect_s or time.perf_counter() - self._began
        super().start_discovery(effect)


async def change(nodes: int, home: Path) -> dict[str, Any]:
    """Nodes that are off and as configured; then a profile of all, and one of a few, changes."""
    collect_seldom()
    graph, host = graph_of(), Host()
    store = host.open_store(home)
    journal = Journal(store, host.clock)
    head = Head(graph, Engine(graph, seed=1, restart=1), host.clock, journal)
    settings = Settings(home, home / "api.sock")
    link = Link(settings, store, host, 1, lambda event: None)
    wishes = Wishes(
        store, graph, host.clock, journal, head, Releases(store, graph, host.clock, journal)
    )
    head.configured = partial(send_records, head, link, DutyEntries(graph))
    names = [f"n{number:06}" for number in range(1, nodes + 1)]
    devices = head.carrier = Watching(head, names)
    found: dict[str, Any] = {"nodes": nodes}
    few = min(500, nodes)
    for title, files in (
        ("first", texts(nodes, power="off", few=few)),
        ("one_profile_of_all", texts(nodes, few=few)),
        ("one_profile_of_few", texts(nodes, few=few, few_run=True)),
        ("looked_at_before", texts(nodes, power="off", few=few, few_run=True)),
    ):
        if title == "looked_at_before":
            wishes.diff(files)  # as `kedge apply` does before it asks
        devices.begin()
        began, watch = time.perf_counter(), Stopwatch()
        changes = wishes.apply(files, "bench")
        journal.flush()
        found[title] = {
            "to_first_effect_s": round(devices.first_effect_s, 2),
            "to_first_step_s": round(devices.first_step_s, 2),
            "apply_returned_s": round(time.perf_counter() - began, 2),
            "apply_cpu_s": round(watch.cpu_s, 2),
            "changed_nodes": len({c.name for c in changes if c.kind == "node"}),
        }
        if title != "looked_at_before":  # these devices have no scheduler that lets nodes go
            await settled(head, devices)
    head.close()
    journal.close()
    store.close()
    return found


def measure(nodes: int) -> dict[str, Any]:
    """In a directory of its own, which goes again."""
    with tempfile.TemporaryDirectory(prefix="kedge-bench-") as home:
        return asyncio.run(change(nodes, Path(home)))
