"""What the engine foresees, as rows: kinds of nodes that would do the same are one row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kedge.core.engine.prospect import Outlook, Prospect
from kedge.core.foresight.critical import Leg, critical_path
from kedge.core.graph import Graph
from kedge.lib.nodeset import fold
from kedge.master.operations.wording import path_rows

Json = dict[str, Any]


def prospect_row(found: Prospect, graph: Graph) -> Json:
    """The whole of a prospect."""
    there, out = _ends(found)
    kinds: dict[str, tuple[Json, list[str]]] = {}
    for owner, outlook in zip(found.owners, found.moving, strict=True):
        row = _outlook(outlook, graph)
        own, nodes = kinds.setdefault(repr(row), (row, []))
        nodes += outlook.nodes
        own["there_s"] = max(own.get("there_s", 0), there.get(owner, 0))
        own["out_s"] = max(own.get("out_s", 0), out.get(owner, 0))
    stuck = [each for each in found.schedule.stuck if each.owner in found.owners]
    lost = {name for each in stuck for name in _some(found, each.owner, each.first, each.count)}
    for row, nodes in kinds.values():
        row.update(nodes=fold(nodes), count=len(nodes))
        if not lost.isdisjoint(nodes):
            row["there_s"] = -1
    moving = [row for row, _ in kinds.values()]
    legs = critical_path(found.schedule, found.owners)
    return {
        "moving": moving,
        "still": _standing({"": _names(o for o in found.still if not o.course.blocked_by)}),
        "blocked": _standing(_by_obstacle(found.still)),
        "held": _standing(found.held),
        "quarantined": _standing(found.quarantined),
        "stuck": _stuck(found, stuck),
        "moving_count": sum(row["count"] for row in moving),
        "disrupted": sum(row["count"] for row in moving if row["disrupted"]),
        "duration_s": max(there.values(), default=0),
        "critical": [_leg(leg) for leg in legs],
    }


def _ends(found: Prospect) -> tuple[dict[int, int], dict[int, int]]:
    """By class: when its last node is there, and the longest that one of it is out of service."""
    there, out = dict[int, int](), dict[int, int]()
    for each in found.schedule.passages:
        if each.owner not in found.owners:
            continue
        there[each.owner] = max(there.get(each.owner, 0), each.end_s)
        if each.down_s >= 0:
            out[each.owner] = max(out.get(each.owner, 0), each.end_s - each.down_s)
    return there, out


def _outlook(outlook: Outlook, graph: Graph) -> Json:
    course = outlook.course
    return {
        "steps": path_rows(course.steps, course.reasons, graph),
        "cost_s": sum(step.cost_s for step in course.steps),
        "disrupted": outlook.disrupted,
        "returns": outlook.returns,
        "proven_cheapest": course.proven,
        "given_up": list(course.given_up),
        "blocked_by": course.blocked_by,
        "assumed": dict(outlook.taken),
    }


def _names(outlooks: Iterable[Outlook]) -> list[str]:
    return [name for outlook in outlooks for name in outlook.nodes]


def _by_obstacle(outlooks: Iterable[Outlook]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for outlook in outlooks:
        if outlook.course.blocked_by:
            found.setdefault(outlook.course.blocked_by, []).extend(outlook.nodes)
    return found


def _standing(nodes: Mapping[str, list[str]]) -> list[Json]:
    return [
        {"nodes": fold(names), "count": len(names), "why": why}
        for why, names in nodes.items()
        if names
    ]


def _some(found: Prospect, owner: int, first: int, count: int) -> tuple[str, ...]:
    return found.schedule.classes[owner].nodes[first : first + count]


def _stuck(found: Prospect, stuck: Iterable[Any]) -> list[Json]:
    pools: dict[tuple[str, str], list[str]] = {}
    for each in stuck:
        names = _some(found, each.owner, each.first, each.count)
        pools.setdefault(each.pool, []).extend(names)
    return [
        {"nodes": fold(names), "count": len(names), "budget": budget, "pool": pool}
        for (budget, pool), names in pools.items()
    ]


def _leg(leg: Leg) -> Json:
    budget, pool = leg.pool or ("", "")
    return {
        "start_s": leg.start_s,
        "end_s": leg.end_s,
        "moves": list(leg.moves),
        "nodes": fold(leg.nodes),
        "count": len(leg.nodes),
        "budget": budget,
        "pool": pool,
        "limit": leg.limit,
        "span": leg.span,
    }
