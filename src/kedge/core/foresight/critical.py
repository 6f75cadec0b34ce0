"""What the end waits for: the chain of moves and budgets that decides when the last node is there.

Backwards from the move that ends last: each began when something else ended, an earlier move of the
same node, or that of another node which gave back a unit of a pool. Moves that hand the units of one
pool on to one another are one `Leg`, and so are the moves of one node that follow without waiting.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from itertools import groupby

from kedge.core.engine.budgets import Pool
from kedge.core.foresight.classes import Schedule, Stay


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of the chain, from ``start_s`` to ``end_s``; the next one begins where it ends.

    Through a ``pool`` go all ``nodes`` that take its units in that time, ``limit`` at once; else one
    node (or several that do the same together) goes through ``moves`` one after the other.
    """

    start_s: int
    end_s: int
    moves: tuple[str, ...]
    nodes: tuple[str, ...]
    pool: Pool | None = None
    limit: int = 0


def critical_path(plan: Schedule, owners: Container[int]) -> list[Leg]:
    """The legs up to the last end of the classes numbered ``owners``; none where these have no moves."""
    mine = [stay for stay in plan.stays if stay.owner in owners]
    stay = max(mine, key=lambda stay: (stay.end_s, -stay.owner, -stay.first), default=None)
    chain: list[Stay] = []
    while stay is not None:
        chain.append(stay)
        stay = stay.cause
    chain.reverse()
    links = [*(stay.through for stay in chain[1:]), None]
    pools = [each.through or link for each, link in zip(chain, links, strict=True)]
    legs: list[Leg] = []
    for pool, run in groupby(zip(chain, pools, strict=True), key=lambda pair: pair[1]):
        stays = [stay for stay, _ in run]
        begin = legs[-1].end_s if legs else stays[0].start_s
        end = stays[-1].end_s
        if pool is None:
            moves = tuple(dict.fromkeys(_name(plan, stay) for stay in stays))
            legs.append(Leg(begin, end, moves, _nodes(plan, stays[-1:])))
            continue
        there = [
            stay
            for stay in plan.stays
            if pool in _takes(plan, stay) and begin <= stay.start_s < end
        ]
        moves = tuple(dict.fromkeys(_name(plan, stay) for stay in there))
        legs.append(Leg(begin, end, moves, _nodes(plan, there), pool, plan.limits.get(pool, 0)))
    return legs


def _takes(plan: Schedule, stay: Stay) -> tuple[Pool, ...]:
    return plan.classes[stay.owner].moves[stay.place].takes


def _name(plan: Schedule, stay: Stay) -> str:
    return plan.classes[stay.owner].moves[stay.place].name


def _nodes(plan: Schedule, stays: list[Stay]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for stay in stays:
        names = plan.classes[stay.owner].nodes[stay.first : stay.first + stay.count]
        found.update(dict.fromkeys(names))
    return tuple(found)
