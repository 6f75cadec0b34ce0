"""What would change between two sites, per node and field, and folded for people to read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from kedge.core.kinds import Value
from kedge.core.node import Configuration
from kedge.lib import nodeset
from kedge.site.model import FileTemplate, Origin, Share, Site
from kedge.site.words import OUT_OF_SERVICE

LEAST_SERIES = 4
"""So many nodes that have each its own value of a field (an address, a MAC) are shown as one row."""
MOST_ROWS = 32
"""Above so many rows of one field, they are shown as one."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one thing (``kind``: cluster, network, group, node, budget or setting).

    ``change`` is added, removed or changed; an empty ``field`` speaks of the thing itself. ``name``
    is a nodeset once folded, and ``varied`` is then the number of different values behind it.
    """

    kind: str
    name: str
    change: str
    field: str = ""
    before: Value = None
    after: Value = None
    origin: str = ""
    varied: int = 0

    def as_dict(self) -> dict[str, Value]:
        """The change as the API and ``-o json`` show it."""
        return {
            "kind": self.kind,
            "name": self.name,
            "change": self.change,
            "field": self.field,
            "before": self.before,
            "after": self.after,
            "origin": self.origin,
            "varied": self.varied,
        }


Fields = Mapping[str, Value]


def diff(before: Site | None, after: Site) -> list[Change]:
    """Every difference, things in natural order; ``before`` is None when nothing is applied yet."""
    changes: list[Change] = []
    changes += _things("cluster", _cluster(before), _cluster(after))
    changes += _things("network", _networks(before), _networks(after))
    changes += _things("group", _groups(before), _groups(after))
    changes += _things("budget", _budgets(before), _budgets(after))
    changes += _things("setting", _settings(before), _settings(after))
    old: Mapping[str, Configuration] = before.nodes if before else {}
    for name in (*after.nodes, *(name for name in old if name not in after.nodes)):
        one, other = old.get(name), after.nodes.get(name)
        same_files = before is not None and before.files.get(name) == after.files.get(name)
        if one is not None and one == other and same_files:
            continue
        was = _node(before, one) if before and one else None
        will = _node(after, other) if other else None
        changes += _thing("node", name, was, will, after.origins.get(name, {}))
    return changes


def fold(changes: Iterable[Change]) -> list[Change]:
    """Equal changes of many nodes as one row each, and long series of values as a range."""
    fields: dict[tuple[str, ...], dict[tuple[object, ...], list[Change]]] = {}
    for change in changes:
        own = change.name if change.kind != "node" else ""
        alike = fields.setdefault((change.kind, own, change.field, change.change), {})
        key = (_comparable(change.before), _comparable(change.after), change.origin)
        alike.setdefault(key, []).append(change)
    return [row for alike in fields.values() for row in _folded(list(alike.values()))]


def _comparable(value: Value) -> object:
    return (type(value), value) if isinstance(value, (str, int)) else repr(value)


def _folded(sets: list[list[Change]]) -> Iterator[Change]:
    """The rows of one field: a series is values that nodes have each for itself, or very many."""
    if sets[0][0].kind != "node":
        yield from (rows[0] for rows in sets)
        return
    kept = [rows for rows in sets if len(rows) > 1]
    series = [rows[0] for rows in sets if len(rows) == 1]
    if len(kept) > MOST_ROWS:
        kept, series = [], [change for rows in sets for change in rows]
    elif len(series) < LEAST_SERIES:
        kept, series = sets, []
    yield from map(_named, kept)
    if series:
        origins = {change.origin for change in series}
        yield replace(
            _named(series),
            before=_span([change.before for change in series]),
            after=_span([change.after for change in series]),
            origin=origins.pop() if len(origins) == 1 else "",
            varied=len(sets) - len(kept),
        )


def _named(rows: list[Change]) -> Change:
    return replace(rows[0], name=nodeset.fold(row.name for row in rows))


def _span(values: list[Value]) -> Value:
    return values[0] if values[0] == values[-1] else f"{values[0]} ... {values[-1]}"


def _things(
    kind: str, before: Mapping[str, Fields], after: Mapping[str, Fields]
) -> Iterator[Change]:
    for name in (*after, *(name for name in before if name not in after)):
        yield from _thing(kind, name, before.get(name), after.get(name), {})


def _thing(
    kind: str,
    name: str,
    before: Fields | None,
    after: Fields | None,
    origins: Mapping[str, Origin],
) -> Iterator[Change]:
    old, new = before or {}, after or {}
    if before is None or after is None:
        change = "added" if before is None else "removed"
        origin = str(origins["group"]) if "group" in origins else ""
        yield Change(kind, name, change, origin=origin)
    if after is None:
        return
    for field in (*new, *(field for field in old if field not in new)):
        one, other = old.get(field), new.get(field)
        if one != other:
            change = "removed" if field not in new else "changed" if field in old else "added"
            origin = origins.get(field)
            yield Change(kind, name, change, field, one, other, str(origin) if origin else "")


def _cluster(site: Site | None) -> dict[str, Fields]:
    if site is None:
        return {}
    return {"cluster": _given({"name": site.cluster.name, "domain": site.cluster.domain})}


def _networks(site: Site | None) -> dict[str, Fields]:
    if site is None:
        return {}
    return {
        name: _given(
            {
                "cidr": network.cidr,
                "gateway": network.gateway,
                "dns": list(network.dns),
                "ntp": list(network.ntp),
            }
        )
        for name, network in site.networks.items()
    }


def _groups(site: Site | None) -> dict[str, Fields]:
    if site is None:
        return {}
    return {
        name: _given(
            {
                "nodes": nodeset.fold(group.nodes),
                "profiles": list(group.profiles),
                "parents": nodeset.fold(group.parents),
                "hold": group.hold,
            }
        )
        for name, group in site.groups.items()
    }


def _budgets(site: Site | None) -> dict[str, Fields]:
    if site is None:
        return {}
    found: dict[str, Fields] = {name: dict(limits) for name, limits in site.budgets.items()}
    if site.out_of_service:
        limits = {pool: _limit(share) for pool, share in site.out_of_service.items()}
        found[OUT_OF_SERVICE] = limits
    return found


def _limit(share: Share) -> Value:
    return str(share) if share.percent else share.number


def _settings(site: Site | None) -> dict[str, Fields]:
    return {name: {"value": value} for name, value in site.settings.items()} if site else {}


def _node(site: Site, node: Configuration) -> Fields:
    """Everything a node is configured with, flat: ``image.wanted``, ``addresses.provision``."""
    fields: dict[str, Value] = {"group": node.group, "profiles": list(node.profiles)}
    for name, value in sorted(node.values.items()):
        _flatten(name, value, fields)
    for section, entries in (
        ("addresses", node.addresses),
        ("macs", node.macs),
        ("vars", node.attributes),
    ):
        for name, value in entries.items():
            fields[f"{section}.{name}"] = value
    fields["hold"] = node.hold
    for file in site.files.get(node.name, ()):
        fields[f"files.{file.path}"] = _file(file)
    return _given(fields)


def _flatten(name: str, value: Value, fields: dict[str, Value]) -> None:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            _flatten(f"{name}.{key}", item, fields)
    else:
        fields[name] = value


def _file(file: FileTemplate) -> str:
    digest = hashlib.sha256(file.template.encode()).hexdigest()[:12]
    return f"template {digest}, mode {file.mode:04o}, owner {file.uid}:{file.gid}"


def _given(fields: Mapping[str, Value]) -> Fields:
    return {name: value for name, value in fields.items() if value not in ("", [], None)}
