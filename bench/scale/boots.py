"""All nodes from off to running, through the production head, journal and database."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from kedge.core.engine.engine import Engine
from kedge.master.engine.head import Head
from kedge.master.persistence.journal import Journal
from kedge.master.process.clock import Clock
from kedge.master.process.garbage import collect_seldom
from kedge.stores.sqlite import SqliteStore
from scale.fleet import Devices, graph_of, site_of
from scale.process import Stopwatch, forget_peak, resident_bytes


async def boot(nodes: int, home: Path) -> dict[str, Any]:
    """Nodes that are known, and off, are configured to run; until all do."""
    collect_seldom()
    graph = graph_of()
    off, on = site_of(graph, nodes, power="off"), site_of(graph, nodes)
    store = SqliteStore(home / "kedge.db")
    clock = Clock()
    journal = Journal(store, clock)
    head = Head(graph, Engine(graph, seed=1, restart=1), clock, journal)
    devices = Devices(head, off.nodes)
    head.carrier, head.configured = devices, lambda node: None
    watch = Stopwatch()
    head.configure(off)
    await settled(head, devices)
    journal.flush()
    known_s = watch.cpu_s
    assert not head.engine.differing() and not devices.done
    asked = devices.discoveries
    forget_peak()
    base = resident_bytes()
    watch = Stopwatch()
    head.configure(on)
    configured_s = watch.cpu_s
    await settled(head, devices)
    journal.flush()
    wall_s, cpu_s = watch.wall_s, watch.cpu_s
    peak = resident_bytes(peak=True)
    assert not head.engine.differing() and not devices.failed, head.engine.condition("n000001")
    head.close()
    journal.close()
    store.close()
    return {
        "nodes": nodes,
        "steps_per_node": devices.done / nodes,
        "discoveries_per_node": round((devices.discoveries - asked) / nodes, 2),
        "wall_s": round(wall_s, 2),
        "cpu_s": round(cpu_s, 2),
        "of_this_configure_s": round(configured_s, 2),
        "first_discovery_s": round(known_s, 2),
        "transitions": devices.done,
        "transitions_per_cpu_s": round(devices.done / cpu_s),
        "cpu_us_per_transition": round(cpu_s / devices.done * 1e6, 2),
        "cpu_us_per_step_or_discovery": round(
            cpu_s / (devices.done + devices.discoveries - asked) * 1e6, 2
        ),
        "base_bytes_per_node": round(base / nodes),
        "peak_bytes_per_node_beyond_base": round((peak - base) / nodes),
        "searches": head.engine.planner.searches,
        "log_bytes": sum(path.stat().st_size for path in home.glob("kedge.db*")),
    }


async def settled(head: Head, devices: Devices) -> None:
    """Until nothing is under way any more."""
    while devices.busy or head.engine.differing():
        devices.report()
        await asyncio.sleep(0)


def measure(nodes: int) -> dict[str, Any]:
    """In a directory of its own, which goes again."""
    with tempfile.TemporaryDirectory(prefix="kedge-bench-") as home:
        return asyncio.run(boot(nodes, Path(home)))
