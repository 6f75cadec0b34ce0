"""What the end waits for: the chain of moves and budgets that decides when the last node is there.

Backwards from the move that ends last: each began when something else ended, an earlier move of the
same node, or the last move of another node that gave back a unit of a pool. Moves that hand the units
of one pool on to one another are one `Leg`, and so are the moves of one node that follow without
waiting. What nodes do while they have a span that is handed on belongs to the span's leg.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import groupby

from kedge.core.events import Pool
from kedge.core.foresight.classes import Schedule, Stay


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of the chain, from ``start_s`` to ``end_s``; the next one begins where it ends.

    Through a ``pool`` go all ``nodes`` that take its units in that time, ``limit`` at once (``span``:
    as nodes that are out of service). Else one node, or several that do the same together, goes through
    ``moves`` one after the other.
    """

    start_s: int
    end_s: int
    moves: tuple[str, ...]
    nodes: tuple[str, ...]
    pool: Pool | None = None
    limit: int = 0
    span: bool = False


_Label = tuple[Pool, bool] | None


def critical_path(plan: Schedule, owners: Container[int]) -> list[Leg]:
    """The legs up to the last end of the classes numbered ``owners``; none where these have no moves."""
    mine = [stay for stay in plan.stays if stay.owner in owners]
    stay = max(mine, key=lambda stay: (stay.end_s, -stay.owner, -stay.first), default=None)
    chain: list[Stay] = []
    while stay is not None:
        chain.append(stay)
        stay = stay.cause
    chain.reverse()
    legs: list[Leg] = []
    labelled = zip(chain, _labels(plan, chain), strict=True)
    for label, run in groupby(labelled, key=lambda pair: pair[1]):
        stays = [stay for stay, _ in run]
        begin = legs[-1].end_s if legs else stays[0].start_s
        end = stays[-1].end_s
        if label is None:
            legs.append(Leg(begin, end, _moves(plan, stays), _nodes(plan, stays[-1:])))
            continue
        pool, span = label
        there = [s for s in plan.stays if begin <= s.start_s < end and _uses(plan, s, label)]
        limit = (plan.limits.spans if span else plan.limits.steps).get(pool, 0)
        legs.append(Leg(begin, end, _moves(plan, there), _nodes(plan, there), pool, limit, span))
    return legs


def _labels(plan: Schedule, chain: Sequence[Stay]) -> list[_Label]:
    """For each stay the pool in whose leg it is."""
    labels: list[_Label] = []
    for place, stay in enumerate(chain):
        after = chain[place + 1] if place + 1 < len(chain) else None
        giver = stay if stay.through is not None and not stay.span else after
        through = giver.through if giver is not None and not giver.span else None
        labels.append((through, False) if through is not None else None)
    for place, stay in enumerate(chain):
        if stay.span and stay.through is not None and labels[place] != (stay.through, True):
            label = (stay.through, True)
            for direction in (range(place, len(chain)), range(place - 1, -1, -1)):
                for other in direction:
                    if not _uses(plan, chain[other], label):
                        break
                    labels[other] = label
    return labels


def _uses(plan: Schedule, stay: Stay, label: tuple[Pool, bool]) -> bool:
    pool, span = label
    each = plan.classes[stay.owner]
    if span:
        return pool in each.spans and (stay.down_s >= 0 or each.counted)
    return pool in each.moves[stay.place].takes


def _moves(plan: Schedule, stays: Sequence[Stay]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(plan.classes[s.owner].moves[s.place].name for s in stays))


def _nodes(plan: Schedule, stays: Sequence[Stay]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for stay in stays:
        names = plan.classes[stay.owner].nodes[stay.first : stay.first + stay.count]
        found.update(dict.fromkeys(names))
    return tuple(found)
