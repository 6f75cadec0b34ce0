"""A whole simulated cluster: machines and BMCs for the nodes of a site, a registry, and a head.

It holds everything that a fault can touch, by name, and everything that is looked at in the end.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from kedge.core.condition import Condition
from kedge.core.graph import Graph
from kedge.core.kinds import Value
from kedge.core.lease import MASTER
from kedge.core.module import Module
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.lib.nodeset import expand
from kedge.master.process.settings import Settings
from kedge.master.tree.master.hosts import hosts_of
from kedge.modules.image import importer
from kedge.modules.image.relation import reference_of
from kedge.modules.port import Io
from kedge.modules.power import reach
from kedge.modules.scheduler import watching
from kedge.modules.scheduler.driver import Driver
from kedge.sim.machines import traits
from kedge.sim.machines.bmc import Bmcs, SimulatedBmc
from kedge.sim.machines.machine import SimulatedMachine
from kedge.sim.masters.head import Outside, Program
from kedge.sim.masters.preparing import PASSWORD, head_address, prepare, secrets_of
from kedge.sim.masters.tree import addresses_of, join_file, submasters_of
from kedge.sim.services.registry import Registry, finisher_of, skopeo_of
from kedge.sim.services.scheduler import JobMix, SimulatedScheduler
from kedge.sim.services.scheduler_driver import END as SCHEDULER
from kedge.sim.services.scheduler_driver import SimulatedDriver
from kedge.sim.watching.rollout_watch import RolloutWatch
from kedge.sim.watching.watch import Watch
from kedge.sim.world.clock import MachineClock
from kedge.sim.world.loop import Loop
from kedge.sim.world.network import Network
from kedge.sim.world.overlay import Overlay
from kedge.sim.world.time import World
from kedge.sim.world.web import Web
from kedge.site.loading import load
from kedge.stores.sqlite import SqliteStore

HEAD = "head"
DRIFT = 100e-6
"""How wrong the clocks of machines are from the start, as a share."""


class Cluster:
    """Everything in the world, by name. ``below`` says which sub-masters are below which others."""

    def __init__(
        self,
        world: World,
        files: Mapping[str, str],
        modules: tuple[Module, ...],
        state_dir: Path,
        *,
        heartbeat_s: float,
        jobs: JobMix | None = None,
        network: str = "provision",
        below: Mapping[str, str] | None = None,
    ) -> None:
        self.world = world
        self.files = dict(files)
        self.release_files: Mapping[str, str] = {}
        """What the release of a rollout is made of; empty: of the site's files and new builds."""
        self.graph = Graph.of(modules)
        self.site = load(self.files, self.graph.variables)
        self.boot_network = network
        self.network = Network(world)
        self.web = Web(self.network)
        self.registry = Registry(world, self.network)
        self.bmcs = Bmcs(self.network)
        self.watch = Watch(world, lambda node: self.machines[node].stage)
        self.overlay = Overlay()
        self.physics = Loop(world, "physics", MachineClock(world.time), self.watch.physics_failed)
        self._outside = Outside(
            world, self.network, self.web, self.watch, modules, self.registry.sizes, self._is_new
        )
        self._around = traits.Outside(
            world, self.network, self.web, self.physics, self._boot_urls, self.watch.rises,
            self.registry.ill,
        )  # fmt: skip
        self.heads: dict[str, Program] = {}
        self.machines: dict[str, SimulatedMachine] = {}
        self.of_mac: dict[str, str] = {}
        self.network.place("registry", "registry")
        self.network.place("scheduler", SCHEDULER)
        self._has_jobs, self._heartbeat_s = jobs is not None, heartbeat_s
        self._add_head(HEAD, head_address(self.site, network), state_dir / HEAD)
        self.hosts = hosts_of(self.site)
        self.submasters = sorted({*submasters_of(self.site), *self.hosts})
        self.below = below or {}
        at = addresses_of(self.site, network, self.head.address, self.submasters)
        for name in at:
            self._add_head(name, at[name], state_dir / name, at.get(self.below.get(name, "")))
        for node in self.site.nodes.values():
            self._add_node(node)
        self.scheduler = SimulatedScheduler(world, self.machines, jobs) if jobs else None
        self.watch.rollouts = self.rollouts = RolloutWatch(self, self.watch.violated)
        if self.scheduler is not None:
            self.watch.busy = self.scheduler.busy_words
            self.scheduler.overruled = self.watch.overruled
            self.scheduler.returns = self.watch.returned

    def close(self) -> None:
        """Everything ends."""
        for head in self.heads.values():
            head.kill()
        for made in self.machines.values():
            made.power_off()
        self.physics.kill()

    @property
    def head(self) -> Program:
        """The master."""
        return self.heads[HEAD]

    def owner(self, node: str) -> Program | None:
        """The process that acts on a node now; None: none does."""
        return next((head for head in self.heads.values() if head.owns(node)), None)

    def _boot_urls(self, node: str) -> list[str]:
        """Who has an address for a node that boots: of its group's parents and the master, who acts on it."""
        master = self.head.master
        self.site = (master.head.site if master is not None else None) or self.site
        group = self.site.groups.get(self.site.nodes[node].group)
        parents = group.parents if group is not None else ()
        ends = dict.fromkeys([*(HEAD if p == MASTER else p for p in parents), HEAD])
        acting = (self.heads[end] for end in ends if self.heads[end].owns(node))
        return [f"http://{head.address}:8080" for head in acting]

    # ---- building it

    def _add_head(self, end: str, address: str, place: Path, above: str | None = None) -> None:
        self.network.place(address, end)
        boot: dict[str, Value] = {
            "network": self.boot_network,
            "address": address,
            "interface": "sim0",
            "dhcp": "off",
            "tftp": False,
            "router_advertisements": False,
        }
        is_master = end == HEAD
        prepare(place, secrets_of(self.site) if is_master else [], self.registry.sizes)
        settings = Settings(
            state_dir=place,
            api_socket=place / "api.sock",
            sync_address=address,
            heartbeat_s=self._heartbeat_s,
            sections={"boot": boot, "modules": {"scheduler": {"driver": "slurm"}}}
            if self._has_jobs and is_master
            else {"boot": boot},
            role="master" if is_master else "sub-master",
            name="" if is_master else end,
            join=None if is_master else join_file(place),
            masters=() if is_master else (f"{above or self.head.address}:8471",),
        )
        store = SqliteStore(":memory:")
        self.heads[end] = self.watch.programs[end] = Program(
            self._outside, end, settings=settings, store=store, rate=self._drift(end)
        )

    def _add_node(self, node: Configuration) -> None:
        address = node.addresses.get(self.boot_network, "")
        self.network.place(address, node.name)
        made = SimulatedMachine(
            self._around,
            node.name,
            address=address,
            mac=node.macs.get(self.boot_network, "").lower(),
            rate=self._drift(node.name),
        )
        self.machines[node.name] = made
        self.of_mac[made.mac] = node.name
        self.push(node.values.get("image.wanted"))
        written = node.values.get("power.bmc")
        if isinstance(written, dict):
            key = str(written["address"]), str(written.get("system") or "")
            end = f"{node.name}.bmc"
            self.bmcs.all[key] = SimulatedBmc(
                self.world, end, node.name, made, PASSWORD, self.watch.bmc_heard
            )

    def driver_of(self, settings: Mapping[str, Value], io: Io) -> Driver | None:
        """Stands for `kedge.modules.scheduler.settings.driver_of`."""
        if settings["driver"] == "none" or self.scheduler is None:
            return None
        return SimulatedDriver(self.scheduler, self.network)

    def push(self, wanted: Value) -> None:
        """Have the registry hold an image that somebody wants."""
        reference = reference_of(wanted)
        if reference and reference not in self.registry.images:
            self.registry.push(reference)

    def _drift(self, end: str) -> float:
        return 1.0 + self.world.streams(f"drift {end}").uniform(-DRIFT, DRIFT)

    def condition(self, node: str) -> Condition | None:
        """A node as its owner shows it; None where nobody serves it now."""
        owner = self.owner(node)
        if owner is None or owner.engine is None:
            return None
        return owner.engine.condition(node)

    def phases(self) -> dict[str, int]:
        """How many nodes are in which phase, as their owners show them."""
        found: Counter[str] = Counter()
        for node in self.machines:
            condition = self.condition(node)
            found[condition.phase if condition is not None else "not served"] += 1
        return dict(sorted(found.items()))

    def image_of(self, node: str) -> str:
        """The reference of the image that a machine really runs."""
        return min(self.registry.imported.get(self.machines[node].image, {""}))

    def _is_new(self, node: str) -> bool:
        return node in self.machines and self.registry.is_new(self.machines[node].image)

    def runs(self, node: str, reference: str) -> bool:
        """Whether a machine really runs the image of a reference, pinned or not."""
        image = self.machines[node].image
        if "@" in reference:
            return image == reference.partition("@")[2]
        return reference in self.registry.imported.get(image, ())

    def bmc(self, node: str) -> SimulatedBmc | None:
        """The BMC of a node."""
        return next((bmc for bmc in self.bmcs.all.values() if bmc.node == node), None)

    def ends(self, words: str) -> frozenset[str]:
        """Ends by the words of a scenario: ``head``, ``registry``, ``all``, a group, a node or a nodeset,
        each also with ``.bmc``; several are joined by blanks."""
        found: set[str] = set()
        for word in words.split():
            found |= self._ends_of(word)
        return frozenset(found)

    def _ends_of(self, word: str) -> set[str]:
        name, dot, suffix = word.partition(".bmc")
        if word == "all":
            bmcs = {f"{node}.bmc" for node in self.machines}
            return {*self.heads, "registry", SCHEDULER, *self.machines, *bmcs}
        if word in self.heads or word in ("registry", SCHEDULER):
            return {word}
        nodes = self.nodes(name)
        return {f"{node}.bmc" for node in nodes} if dot and not suffix else set(nodes)

    def nodes(self, words: str) -> list[str]:
        """Nodes by the words of a scenario: ``all``, a group, or a nodeset. Raises `KedgeError`."""
        if words in ("all", "nodes"):
            return list(self.machines)
        if words in self.site.groups:
            return list(self.site.groups[words].nodes)
        names = expand(words)
        unknown = [name for name in names if name not in self.machines]
        if unknown or not names:
            raise KedgeError(
                "sim.unknown", f"{words!r} names no node, group or part of this cluster",
                next_step=f"Valid: all, {', '.join(self.heads)}, registry, "
                f"{', '.join(self.site.groups)}, or a nodeset",
            )  # fmt: skip
        return names


@contextmanager
def devices_of(cluster: Cluster) -> Generator[None, None, None]:
    """While this lasts, the modules' production code reaches this cluster's devices, and no others."""
    drivers, tools = dict(reach.DRIVERS), importer.tools
    reach.forget_drivers()
    reach.DRIVERS.update(dict.fromkeys(drivers, cluster.bmcs.driver))
    skopeo = skopeo_of(cluster.registry, _end)
    importer.tools = importer.Tools(skopeo, finisher_of(cluster.registry))
    driver_of, scheduler = watching.driver_of, cluster.scheduler
    if scheduler is not None:
        watching.driver_of = cluster.driver_of
    try:
        yield
    finally:
        cluster.close()
        reach.DRIVERS.update(drivers)
        reach.forget_drivers()
        importer.tools = tools
        watching.driver_of = driver_of


def _end() -> str:
    return cast("Loop", asyncio.get_running_loop()).end
