"""The nodes that sub-masters run on, as the site names them.

Such a sub-master needs no adding by a person: that the site names it is leave enough. Its node must be the
master's own, as nobody else could let it join.
"""

from __future__ import annotations

from kedge.core.lease import MASTER
from kedge.lib.errors import KedgeError
from kedge.site.model import Site

SERVES = "submaster.serves"


def hosts_of(site: Site) -> dict[str, str]:
    """The node of each sub-master that runs on one; raises `KedgeError` for what cannot be."""
    found: dict[str, str] = {}
    for name, node in site.nodes.items():
        serves = str(node.values.get(SERVES) or "")
        if not serves:
            continue
        parents = site.groups[node.group].parents if node.group in site.groups else ()
        if any(parent != MASTER for parent in parents):
            raise KedgeError(
                "submaster.host", f"{name}, on which {serves} runs, is below other sub-masters",
                why=f"its group {node.group} has the parents {', '.join(parents)}",
                next_step="Put it into a group without parents",
            )  # fmt: skip
        if serves in found:
            raise KedgeError(
                "submaster.host", f"{serves} cannot run on {found[serves]} and on {name}",
                next_step=f"Give one of them another name in {SERVES}",
            )  # fmt: skip
        if serves == MASTER or serves in site.nodes:
            raise KedgeError(
                "submaster.name", f"{serves!r} cannot name a sub-master", where=name,
                why="it is the master's or a node's name", next_step="Take another, like sm1",
            )  # fmt: skip
        found[serves] = name
    return found
