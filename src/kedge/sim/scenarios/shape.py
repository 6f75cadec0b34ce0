"""A cluster out of a few numbers, written as the site's files that an administrator would write."""

from __future__ import annotations

from dataclasses import dataclass

COMPUTE = "registry.sim:5000/compute:1"
HEAD_ADDRESS = "10.127.0.1"


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the cluster is. ``inrush`` is how many nodes of a rack may be switched on at once,
    ``boots`` how many may load at once in the cluster, ``out`` how many of the cluster may be out of
    service at once (0: no limit). ``submasters`` share the racks; each rack names all of them as
    parents, a different one first; they stand in ``depth`` levels, each below one of the level above, unless
    ``hosted``: then they run on further nodes of the master's own, in the group
    ``services``, with a disk or ``diskless``. ``jobs`` is the share of nodes that a scheduler keeps busy
    (0: there is none); a job takes up to ``job_nodes`` nodes and ``job_hours``."""

    nodes: int = 4
    racks: int = 1
    inrush: int = 0
    boots: int = 0
    out: int = 0
    submasters: int = 0
    depth: int = 1
    hosted: bool = False
    diskless: bool = False
    jobs: float = 0.0
    job_nodes: int = 8
    job_hours: float = 0.25
    heartbeat_s: float = 10.0


def files_of(shape: Shape) -> dict[str, str]:
    """The site's files: nodes ``n1`` to ``nN`` in racks of equal size, one group for each rack."""
    per_rack = -(-shape.nodes // shape.racks)
    groups: list[str] = []
    for rack in range(1, shape.racks + 1):
        first, last = (rack - 1) * per_rack + 1, min(rack * per_rack, shape.nodes)
        if first <= last:
            groups.append(
                f'  rack{rack}: {{ nodes: "n[{first}-{last}]", profiles: [compute],'
                f"{_parents(shape, rack)} vars: {{ rack: {rack} }} }}"
            )
    hosts = hosts_of(shape)
    if hosts:
        groups.append(f'  services: {{ nodes: "{",".join(hosts.values())}", profiles: [compute] }}')
    served = "".join(f"\n  {node}: {{ submaster.serves: {name} }}" for name, node in hosts.items())
    count = shape.nodes + len(hosts)
    budgets: list[str] = []
    if shape.inrush:
        budgets.append(f"  power.inrush: {{ rack: {shape.inrush} }}")
    if shape.boots:
        budgets.append(f"  boot.servers: {{ cluster: {shape.boots} }}")
    if shape.out:
        budgets.append(f"  out_of_service: {{ cluster: {shape.out} }}")
    address = "{number//250%250}.{number%250+1}"
    text = f"""\
cluster: {{ name: sim, domain: sim.example }}
networks:
  provision: {{ cidr: 10.64.0.0/10, gateway: {HEAD_ADDRESS} }}
profiles:
  compute:
    image.wanted: {COMPUTE}
    power.state: on{
        '''
    scheduler.state: in_service'''
        if shape.jobs
        else ""
    }
    power.bmc:
      protocol: redfish
      address: "10.{{number//62500+128}}.{address}"
      credentials: bmc
groups:
{chr(10).join(groups)}
nodes:
  "n[1-{count}]": {{ addresses: {{ provision: "10.{{number//62500+64}}.{address}" }} }}{served}
macs: macs.csv
"""
    if budgets:
        text += "budgets:\n" + "\n".join(budgets) + "\n"
    rows = ["node,network,mac"]
    for number in range(1, count + 1):
        octets = number.to_bytes(3, "big")
        rows.append(f"n{number},provision,52:54:00:{octets[0]:02x}:{octets[1]:02x}:{octets[2]:02x}")
    return {"cluster.yaml": text, "macs.csv": "\n".join(rows) + "\n"}


def hosts_of(shape: Shape) -> dict[str, str]:
    """The node that each sub-master runs on; empty where they have machines of their own."""
    count = shape.submasters if shape.hosted else 0
    return {f"sm{number}": f"n{shape.nodes + number}" for number in range(1, count + 1)}


def below_of(shape: Shape) -> dict[str, str]:
    """Which sub-master is below which other one; those of the first level are the master's own, and so are
    all that run on its nodes."""
    if shape.hosted:
        return {}
    width = -(-shape.submasters // max(1, shape.depth))
    return {
        f"sm{number}": f"sm{number - width}" for number in range(width + 1, shape.submasters + 1)
    }


def _parents(shape: Shape, rack: int) -> str:
    """The parents of a rack, as its group's line has them."""
    count = shape.submasters
    names = [f"sm{(rack - 1 + place) % count + 1}" for place in range(count)]
    return f" parents: [{', '.join(names)}]," if names else ""
