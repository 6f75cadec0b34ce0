"""Reads MAC addresses: from a CSV file (``node,network,mac``) or written beside the nodes."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from kedge.site import words
from kedge.site.problems import Place, Problems, shorten
from kedge.site.tree import Scalar, Table, Tree


@dataclass(slots=True)
class Macs:
    """MAC per node and network, each with its place; a MAC belongs to one port only."""

    of_node: dict[str, dict[str, tuple[str, Place]]] = field(
        default_factory=dict[str, dict[str, tuple[str, Place]]]
    )
    owner: dict[str, tuple[str, str, Place]] = field(
        default_factory=dict[str, tuple[str, str, Place]]
    )

    def put(self, node: str, network: str, text: str, place: Place, problems: Problems) -> None:
        """Give a port its MAC, or refuse it."""
        mac = words.canonical_mac(text)
        if mac is None:
            problems.refuse(
                "bad_mac",
                place,
                f"{shorten(text, 80)!r} is no MAC address of a node",
                next_step="Write it like 52:54:00:77:00:01",
            )
        elif mac in self.owner:
            other, its_network, its_place = self.owner[mac]
            problems.refuse(
                "duplicate_mac",
                place,
                f"{node} ({network}) and {other} ({its_network}) have the same MAC {mac}",
                why=f"{other} has it in {its_place}",
                next_step="Correct one of them",
            )
        elif network in self.of_node.get(node, {}):
            problems.refuse(
                "duplicate_mac",
                place,
                f"{node} has two MACs on network {network}",
                why=f"the other one is in {self.of_node[node][network][1]}",
                next_step="Remove one",
            )
        else:
            self.owner[mac] = node, network, place
            self.of_node.setdefault(node, {})[network] = mac, place

    def read_node(
        self, node: str, tree: Tree, networks: Collection[str], problems: Problems
    ) -> None:
        """``52:54:...`` (on the provision network) or ``{provision: 52:54:...}``."""
        if isinstance(tree, Scalar):
            self.put(node, words.PROVISION, tree.raw, tree.place, problems)
        elif isinstance(tree, Table):
            for network, value in tree.entries.items():
                if network not in networks:
                    problems.unknown(
                        "unknown_network", tree.keys[network], "network", network, networks
                    )
                elif isinstance(value, Scalar):
                    self.put(node, network, value.raw, value.place, problems)
                else:
                    problems.refuse("bad_mac", value.place, f"macs.{network} must be a MAC address")
        else:
            problems.refuse("bad_mac", tree.place, f"the MAC of {node} must be a text or a mapping")


def read_macs(
    tree: Tree,
    files: Mapping[str, str],
    networks: Collection[str],
    macs: Macs,
    problems: Problems,
) -> None:
    """The section ``macs:``: the name of a CSV file, or node -> MAC."""
    if isinstance(tree, Table):
        for node, value in tree.entries.items():
            macs.read_node(node, value, networks, problems)
    elif not isinstance(tree, Scalar):
        problems.refuse("bad_value", tree.place, "macs must name a CSV file: macs: macs.csv")
    elif tree.value is not None:
        text = files.get(tree.raw)
        if text is None:
            valid = [name for name in files if name.endswith(".csv")]
            problems.unknown("unknown_file", tree.place, "CSV file", tree.raw, valid)
        else:
            _read_csv(text, tree.raw, networks, macs, problems)


def _lines(text: str) -> Iterable[str]:
    """The lines, with comments blanked so that line numbers stay."""
    for line in io.StringIO(text.removeprefix("\ufeff")):
        yield "\n" if line.lstrip().startswith("#") else line


def _read_csv(
    text: str, file: str, networks: Collection[str], macs: Macs, problems: Problems
) -> None:
    reader = csv.reader(_lines(text), skipinitialspace=True)
    header: list[str] = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            place = Place(file, reader.line_num)
            if not any(cells):
                continue
            if not header:
                header = [cell.lower() for cell in cells]
                if sorted(header) != ["mac", "network", "node"]:
                    raise csv.Error("its first line must be node,network,mac")
            elif len(cells) != 3:
                problems.refuse(
                    "bad_csv",
                    place,
                    f"{len(cells)} values in this line, not three",
                    next_step="Write it like n1,provision,52:54:00:77:00:01",
                )
            else:
                found = dict(zip(header, cells, strict=True))
                if found["network"] not in networks:
                    problems.unknown(
                        "unknown_network", place, "network", found["network"], networks
                    )
                else:
                    macs.put(found["node"], found["network"], found["mac"], place, problems)
    except csv.Error as error:
        problems.refuse(
            "bad_csv",
            Place(file, reader.line_num),
            "the CSV file cannot be read",
            why=shorten(str(error)),
            next_step="Its first line is node,network,mac",
        )
