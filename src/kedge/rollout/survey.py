"""Looks at all nodes of a rollout once: who is on the new release, who is out, who can be next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

from kedge.rollout.model import Progress, Rollout, View


@dataclass(slots=True)
class Survey:
    """The nodes by what they are to the rollout; each is in one of the first seven, in order.

    ``done`` are on the release and in service, ``flying`` on their way there, ``failed`` failed on it
    (with the reason), ``lost`` on it, but a person has them. ``ready`` can be next (in service),
    ``free`` too (out of service already), ``aside`` cannot (with the reason), ``silent`` ones cannot
    because the scheduler tells nothing of them.
    ``out`` counts all that take no jobs or are about to take none (whatever the reason: a node that is
    not as configured may be drained at any moment), ``out_of`` by attribute and value; ``outside`` are they.
    """

    done: dict[str, View] = field(default_factory=dict[str, View])
    flying: dict[str, View] = field(default_factory=dict[str, View])
    failed: dict[str, str] = field(default_factory=dict[str, str])
    lost: dict[str, str] = field(default_factory=dict[str, str])
    ready: dict[str, View] = field(default_factory=dict[str, View])
    free: dict[str, View] = field(default_factory=dict[str, View])
    aside: dict[str, str] = field(default_factory=dict[str, str])
    silent: dict[str, None] = field(default_factory=dict[str, None])
    out: int = 0
    outside: list[str] = field(default_factory=list[str])
    out_of: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    on_release: set[str] = field(default_factory=set[str])
    """The nodes that are configured with the new release."""
    _counts: dict[int, int] = field(default_factory=dict[int, int])

    def fits(self, rollout: Rollout) -> bool:
        """Whether no more nodes count as out than may be, everywhere and by attribute."""
        most_of = rollout.most_out_of
        within = (count <= most_of[attribute] for (attribute, _), count in self.out_of.items())
        return self.out <= rollout.most_out and all(within)

    def count_on(self, nodes: tuple[str, ...]) -> int:
        """How many of these are configured with the new release; stages often have the same nodes."""
        found = self._counts.get(id(nodes))
        if found is None:
            found = self._counts[id(nodes)] = len(self.on_release.intersection(nodes))
        return found


def nodes_of(rollout: Rollout) -> list[str]:
    """All nodes of all stages, each once."""
    return list(dict.fromkeys(chain.from_iterable(stage.nodes for stage in rollout.stages)))


def look(rollout: Rollout, progress: Progress, views: Mapping[str, View]) -> Survey:
    """Sort the nodes; one that is gone from the site counts nowhere."""
    found = Survey()
    for node in rollout.was:
        view = views.get(node)
        if view is None:
            continue
        out = not (view.serving and (view.settled or view.aside))
        if view.release == rollout.release:
            found.on_release.add(node)
            out = _on_release(found, node, view, node in progress.accepted) or out
        elif view.release != rollout.was[node]:
            found.aside[node] = f"somebody gave it release {view.release or 'none'}"
        elif view.aside:
            found.aside[node] = view.aside
        elif view.failed:
            found.aside[node] = f"failed before its turn: {view.failed}"
        elif not view.known:
            found.silent[node] = None
        elif view.serving:
            found.ready[node] = view
        else:
            found.free[node] = view
        if out:
            found.out += 1
            found.outside.append(node)
            for attribute in rollout.most_out_of:
                pool = attribute, view.domains.get(attribute, "")
                found.out_of[pool] = found.out_of.get(pool, 0) + 1
    return found


def _on_release(found: Survey, node: str, view: View, accepted: bool) -> bool:
    """Sort a node that is configured with the release; whether it is on its way, and so counts as out."""
    if view.aside or (view.failed and accepted):
        found.lost[node] = view.aside or view.failed
        return False
    if view.failed:
        found.failed[node] = view.failed
    elif view.serving and view.settled:
        found.done[node] = view
        return False
    else:
        found.flying[node] = view
    return True
