"""A cluster of any size that exists only on paper: its modules, its site, and devices that do nothing.

The graph is that of the installed modules, with a few services added, as a node takes too few steps
to run without any. Devices carry every step out at once and report what came of it, node by node, as
BMCs and agents do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kedge.core.events import EndStep, StartDiscovery, StartStep
from kedge.core.graph import Graph
from kedge.core.kinds import Enum, Value
from kedge.core.module import Module
from kedge.master.engine.head import Head
from kedge.master.serve import installed_modules
from kedge.site.loading import load
from kedge.site.model import Site

REFERENCE = "registry.bench.example:5000/compute:1"
PINNED: dict[str, Value] = {"reference": REFERENCE, "digest": "sha256:" + "1" * 64, "kernel": "k1"}
RUNS: dict[str, Value] = {"digest": "sha256:" + "1" * 64, "kernel": "k1"}

SERVICES = ("identity", "munge", "storage", "telemetry", "workload")
"""Each is started on the node once its image runs."""

BMC = "    power.bmc: { protocol: redfish, credentials: bmc }\n"

GROUP_NODES = 500
"""A group is a row of racks: what the breaker counts together."""


def service(name: str, needs: Mapping[str, str] | None = None) -> Module:
    """A service of a node, by nothing but the public way to declare one."""
    module = Module(name, summary=f"The service {name}")
    state = module.variable(
        "state", Enum(("stopped", "running", "failed")), configured=True,
        while_={"boot.stage": "running"}, initial="stopped",
    )  # fmt: skip
    module.listens(state, timeout_s=60.0, requires={"boot.stage": "running"})
    requires = {"boot.stage": "running", "image.running": "wanted", **(needs or {})}
    for before, after in (("stopped", "running"), ("failed", "stopped")):
        module.edge(
            "start" if after == "running" else "mend", {state: after}, where="node",
            requires={state: before, **requires}, cost_s=3, timeout_s=300.0, live=True,
        )  # fmt: skip
    return module


def graph_of(services: Iterable[str] = SERVICES) -> Graph:
    """The installed modules' graph, with these services."""
    return Graph.of([*installed_modules(), *map(service, services)])


def texts(nodes: int, *, power: str = "on", few: int = 0, few_run: bool = False) -> dict[str, str]:
    """The files of a site of ``nodes`` nodes, as an administrator writes them. The last ``few`` have a
    profile of their own, ``login``, and are off unless ``few_run``."""
    runs = f"    power.state: on\n    image.wanted: {REFERENCE}\n" + "".join(
        f"    {name}.state: running\n" for name in SERVICES
    )
    off = "    power.state: off\n"
    groups = "".join(
        f'  row{first // GROUP_NODES:03}: {{ nodes: "n[{first + 1:06}-{last:06}]",'
        f" profiles: [{'compute' if first < nodes - few else 'login'}] }}\n"
        for first in range(0, nodes, GROUP_NODES)
        for last in [min(nodes, first + GROUP_NODES)]
    )
    address = "{1+number//65536}.{number//256%256}.{number%256}"
    cluster = (
        "cluster: { name: bench, domain: bench.example }\n"
        "networks:\n"
        "  provision: { cidr: 10.0.0.0/8, gateway: 10.0.0.1 }\n"
        "profiles:\n"
        f"  compute:\n{runs if power == 'on' else off}{BMC}"
        f"  login:\n{runs if few_run else off}{BMC}"
        f"groups:\n{groups}"
        f'nodes:\n  "n[000001-{nodes:06}]":\n'
        f'    addresses: {{ provision: "10.{address}" }}\n'
        f'    power.bmc.address: "11.{address}"\n'
        "macs: macs.csv\n"
    )
    rows = (
        f"n{n:06},provision,52:54:00:{n >> 16 & 255:02x}:{n >> 8 & 255:02x}:{n & 255:02x}\n"
        for n in range(1, nodes + 1)
    )
    return {"cluster.yaml": cluster, "macs.csv": "node,network,mac\n" + "".join(rows)}


def site_of(graph: Graph, nodes: int, *, power: str = "on") -> Site:
    """The site of these files."""
    return load(texts(nodes, power=power), graph.variables)


class Devices:
    """A `kedge.master.engine.head.Carrier` whose steps have their effects in no time."""

    def __init__(self, head: Head, names: Iterable[str]) -> None:
        self._head = head
        self._powered = dict.fromkeys(names, False)
        self._images = dict.fromkeys(self._powered, False)
        self._effects = {
            name: {key: self._raw(key, symbol) for key, symbol in mutation.effects.items()}
            for name, mutation in head.graph.mutations.items()
        }
        self._steps: dict[str, list[str]] = {}
        self._asked: dict[str, list[str]] = {}
        self.started = self.done = self.failed = self.discoveries = 0

    @staticmethod
    def _raw(key: str, symbol: str) -> Value:
        return {"image.ready": REFERENCE, "image.running": RUNS}.get(key, symbol)  # pyright: ignore[reportReturnType]

    @property
    def busy(self) -> bool:
        """Whether anything is still to be reported."""
        return bool(self._steps or self._asked)

    def start_step(self, effect: StartStep) -> None:
        self.started += 1
        self._steps.setdefault(effect.mutation, []).append(effect.node)

    def end_step(self, effect: EndStep) -> None:
        if effect.outcome == "done":
            self.done += 1
        else:
            self.failed += 1

    def start_discovery(self, effect: StartDiscovery) -> None:
        self.discoveries += 1
        self._asked.setdefault(effect.discovery, []).append(effect.node)

    def forget(self, node: str) -> None:
        """It is gone."""

    def report(self) -> None:
        """Say of each node, one after the other, what came of its step or what was asked."""
        steps, self._steps = self._steps, {}
        asked, self._asked = self._asked, {}
        for node in asked.get("power.read", ()):
            state = "on" if self._powered[node] else "off"
            self._head.observe(node, {"power.state": state}, by="bmc")
        for node in asked.get("image.look", ()):
            self._look(node)
        for mutation, nodes in steps.items():
            for node in nodes:
                self._carried_out(node, mutation)

    def _carried_out(self, node: str, mutation: str) -> None:
        if mutation == "image.fetch":
            self._images[node] = True
            self._look(node)
            return
        if mutation.startswith("power."):
            self._powered[node] = mutation == "power.switch_on"
        self._head.observe(node, self._effects[mutation], by="agent")

    def _look(self, node: str) -> None:
        """As the image module does it."""
        if self._images[node]:
            self._head.refine(node, "image.wanted", PINNED)
        found = REFERENCE if self._images[node] else ""
        self._head.observe(node, {"image.ready": found}, by="image")
