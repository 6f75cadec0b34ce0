"""Which nodes are next: never more out of service than allowed, in the rollout's order.

A node counts as out from the moment that it is given the release, although its job may still run: it
takes no new jobs, and all jobs might end at once. So the bound holds whatever happens.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from kedge.rollout.model import Rollout, View
from kedge.rollout.survey import Survey


class Room:
    """How many nodes may still go out of service, everywhere and by attribute."""

    def __init__(self, rollout: Rollout, survey: Survey) -> None:
        self._rollout = rollout
        self.left = rollout.most_out - survey.out
        self._out_of = dict(survey.out_of)
        self._domain = self._present(survey)

    def _present(self, survey: Survey) -> str | None:
        """The failure domain that is being updated, where one goes at a time."""
        attribute = self._rollout.one_at_a_time
        if not attribute:
            return None
        return next((view.domains.get(attribute, "") for view in survey.flying.values()), None)

    def take(self, view: View) -> bool:
        """Whether one more node may go out of service; if so, it does."""
        attribute = self._rollout.one_at_a_time
        if attribute:
            domain = view.domains.get(attribute, "")
            if self._domain not in (None, domain):
                return False
            self._domain = domain
        pools = [(name, view.domains.get(name, "")) for name in self._rollout.most_out_of]
        if any(self._out_of.get(pool, 0) >= self._rollout.most_out_of[pool[0]] for pool in pools):
            return False
        for pool in pools:
            self._out_of[pool] = self._out_of.get(pool, 0) + 1
        self.left -= 1
        return True


def choose(rollout: Rollout, room: Room, nodes: Mapping[str, View], most: int) -> list[str]:
    """At most ``most`` of these nodes, as there is room, in the rollout's order."""
    chosen: list[str] = []
    if min(room.left, most) <= 0:
        return chosen
    for node in _ordered(rollout, nodes, min(room.left, most)):
        if len(chosen) >= most or room.left <= 0:
            break
        if room.take(nodes[node]):
            chosen.append(node)
    return chosen


def _ordered(rollout: Rollout, nodes: Mapping[str, View], most: int) -> Iterable[str]:
    """Idle nodes first; those that run jobs by place, or the shortest remaining job first. Where one
    domain goes at a time, the one with the least work left in it comes first, as a whole."""
    place = {node: number for number, node in enumerate(nodes)}
    shortest = rollout.order == "shortest"
    attribute = rollout.one_at_a_time
    if attribute:
        ends: dict[str, float] = {}
        for view in nodes.values():
            domain = view.domains.get(attribute, "")
            ends[domain] = max(ends.get(domain, 0.0), view.busy_until)
        return sorted(
            nodes,
            key=lambda node: (
                ends[nodes[node].domains.get(attribute, "")],
                nodes[node].domains.get(attribute, ""),
                nodes[node].busy_until,
                place[node],
            ),
        )

    def rank(node: str) -> tuple[float, int]:
        busy = nodes[node].busy_until
        return (busy if shortest else float(busy > 0), place[node])

    if rollout.most_out_of:
        return sorted(nodes, key=rank)
    return heapq.nsmallest(most, nodes, key=rank)
