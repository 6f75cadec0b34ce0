"""The tree of a simulated cluster: which sub-masters its site names, where they are, and how they begin."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kedge.core.lease import MASTER
from kedge.master.operations.operations import Operations
from kedge.sim.masters.head import Program
from kedge.site.model import Site


def submasters_of(site: Site) -> list[str]:
    """The sub-masters that groups name as parents, in order of name."""
    named = {parent for group in site.groups.values() for parent in group.parents}
    return sorted(named - {MASTER})


def addresses_of(site: Site, network: str, head: str, names: Iterable[str]) -> dict[str, str]:
    """An address for each: the first behind the head's that no node has."""
    taken = {node.addresses.get(network) for node in site.nodes.values()}
    found: dict[str, str] = {}
    address = ipaddress.ip_address(head)
    for name in names:
        address += 1
        while str(address) in taken:
            address += 1
        found[name] = str(address)
    return found


def join_file(state_dir: Path) -> Path:
    """Where a sub-master finds what the master told about it."""
    return state_dir / "join.json"


def add(program: Program, operations: Operations, below: str | None) -> None:
    """``kedge submaster add``, the file it writes taken to its machine, and the start there."""
    keep_join(program, operations.tree.add(program.end, below))
    program.start()


def keep_join(program: Program, told: Mapping[str, Any]) -> None:
    """Write a join file on the sub-master's machine."""
    path = join_file(program.state_dir)
    path.touch(0o600)
    path.write_text(json.dumps(told))
