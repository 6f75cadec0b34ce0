"""A site in parts: what a sub-master needs of it as entries of a record, and the site made of them again.

A part that does not change keeps its bytes, so that only changes travel; and it keeps its object, so that
the engine is told of changes only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any, cast

from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.master.process.secrets import Secrets
from kedge.master.tree.entries import COMMON, FILE, NODE, SECRET, of_kind, pack, unpack
from kedge.site.model import Cluster, FileTemplate, Group, Network, Share, Site

Json = dict[str, Any]


def site_parts(
    site: Site,
    groups: Collection[str],
    common: Mapping[str, object],
    moving: Mapping[str, Configuration | None],
) -> dict[str, bytes]:
    """The entries that make up these groups of a site; ``common`` is what else all should know. Of nodes
    that are ``moving`` to another owner there is what they were, or nothing yet."""
    entries = {COMMON: pack({**_common(site, groups, moving), **common})}
    for name, before in moving.items():
        if before is not None:
            entries[NODE + name] = _node(before, [])
    names: dict[int, tuple[FileTemplate, str]] = {}
    for name in (node for group in groups for node in site.groups[group].nodes):
        node = site.nodes.get(name)
        if node is None or node.group not in groups or name in moving:
            continue
        digests: list[str] = []
        for file in site.files.get(name, ()):
            known = names.get(id(file))
            if known is None:
                raw = _file(file)
                digest = hashlib.blake2b(raw, digest_size=16).hexdigest()
                known = names[id(file)] = (file, digest)
                entries[FILE + digest] = raw
            digests.append(known[1])
        entries[NODE + name] = _node(node, digests)
    return entries


def secret_parts(
    site: Site, parts: Mapping[str, bytes], secrets: Secrets, modules: Mapping[str, object]
) -> dict[str, bytes]:
    """The secrets that the configuration of the nodes in ``parts``, and the settings of modules, name."""
    sections = (cast("Json", section) for section in modules.values() if isinstance(section, dict))
    names = {str(section["secret"]) for section in sections if section.get("secret")}
    for node in site.nodes.values():
        bmc = node.values.get("power.bmc") if NODE + node.name in parts else None
        if isinstance(bmc, dict) and isinstance(bmc.get("credentials"), str):
            names.add(str(bmc["credentials"]))
    found: dict[str, bytes] = {}
    for name in names:
        try:
            found[SECRET + name] = pack(dict(secrets.named(name)))
        except KedgeError:
            continue  # the step that needs it says so
    return found


def _common(site: Site, groups: Collection[str], moving: Collection[str]) -> Json:
    return {
        "cluster": [site.cluster.name, site.cluster.domain],
        "networks": {
            name: [n.cidr, n.gateway, list(n.dns), list(n.ntp)] for name, n in site.networks.items()
        },
        "groups": {
            name: [
                [n for n in g.nodes if n not in moving],
                list(g.profiles),
                list(g.parents),
                g.hold,
            ]
            for name, g in site.groups.items()
            if name in groups
        },
        "budgets": {name: dict(kinds) for name, kinds in site.budgets.items()},
        "out_of_service": {
            kind: [share.number, share.percent] for kind, share in site.out_of_service.items()
        },
        "settings": dict(site.settings),
    }


def _node(node: Configuration, digests: list[str]) -> bytes:
    return pack(
        {
            "values": dict(node.values),
            "group": node.group,
            "profiles": list(node.profiles),
            "addresses": dict(node.addresses),
            "macs": dict(node.macs),
            "attributes": dict(node.attributes),
            "hold": node.hold,
            "files": digests,
        }
    )


def _file(file: FileTemplate) -> bytes:
    return pack([file.path, file.template, file.mode, file.uid, file.gid, file.source])


class SiteOfParts:
    """Makes the site of the entries, again and again, with what did not change left as it was."""

    def __init__(self) -> None:
        self._nodes: dict[str, tuple[bytes, Configuration, tuple[str, ...]]] = {}
        self._files: dict[str, FileTemplate] = {}

    def site(self, entries: Mapping[str, bytes]) -> Site | None:
        """The site; None while there is none."""
        common = unpack(entries.get(COMMON))
        if common is None:
            return None
        files = of_kind(entries, FILE)
        self._files = {
            digest: self._files.get(digest) or _read_file(raw) for digest, raw in files.items()
        }
        nodes: dict[str, Configuration] = {}
        templates: dict[str, tuple[FileTemplate, ...]] = {}
        for name, raw in of_kind(entries, NODE).items():
            known = self._nodes.get(name)
            if known is None or known[0] != raw:
                known = self._nodes[name] = (raw, *_read_node(name, raw))
            nodes[name] = known[1]
            templates[name] = tuple(self._files[d] for d in known[2] if d in self._files)
        self._nodes = {name: known for name, known in self._nodes.items() if name in nodes}
        return Site(
            cluster=Cluster(*common["cluster"]),
            networks={
                name: Network(name, cidr, gateway, tuple(dns), tuple(ntp))
                for name, (cidr, gateway, dns, ntp) in common["networks"].items()
            },
            groups={
                name: Group(name, tuple(members), tuple(profiles), tuple(parents), hold)
                for name, (members, profiles, parents, hold) in common["groups"].items()
            },
            nodes=nodes,
            files=templates,
            budgets=common["budgets"],
            out_of_service={
                kind: Share(*written) for kind, written in common.get("out_of_service", {}).items()
            },
            settings=common["settings"],
        )


def _read_node(name: str, raw: bytes) -> tuple[Configuration, tuple[str, ...]]:
    told = unpack(raw)
    configuration = Configuration(
        name,
        values=told["values"],
        group=told["group"],
        profiles=tuple(told["profiles"]),
        addresses=told["addresses"],
        macs=told["macs"],
        attributes=told["attributes"],
        hold=told["hold"],
    )
    return configuration, tuple(told["files"])


def _read_file(raw: bytes) -> FileTemplate:
    path, template, mode, uid, gid, source = unpack(raw)
    return FileTemplate(path, template, mode, uid, gid, source=source)
