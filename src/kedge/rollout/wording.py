"""How a rollout's waits and reasons are worded: nodesets and durations, short enough to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kedge.lib.nodeset import fold

MOST_SHOWN = 60
MOST_REASONS = 3


def some(nodes: Sequence[str]) -> str:
    """A nodeset; of very many nodes the first ones, and how many there are."""
    if len(nodes) <= MOST_SHOWN:
        return fold(nodes)
    return f"{fold(nodes[:MOST_SHOWN])} and {len(nodes) - MOST_SHOWN} more"


def some_reasons(reasons: Mapping[str, str]) -> str:
    """``n[1-2] (it did not boot); n7 (health check disks failed)``, the same reasons together."""
    alike: dict[str, list[str]] = {}
    for node, why in reasons.items():
        alike.setdefault(why, []).append(node)
    shown = [f"{some(nodes)} ({why})" for why, nodes in list(alike.items())[:MOST_REASONS]]
    more = len(alike) - len(shown)
    return "; ".join(shown) + (f"; and {more} more reasons" if more else "")


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``, ``2.1 days``."""
    if seconds < 120:
        return f"{max(0, round(seconds))} s"
    if seconds < 2 * 3600:
        return f"{round(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
