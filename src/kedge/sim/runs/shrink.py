"""Making a failing scenario small: which of the things that happen are needed for it to fail?

Delta debugging (Zeller and Hildebrandt, 2002) over the list of faults and commands. Every source of
chance has a stream of its own, so what is left behaves much as it did before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kedge.sim.scenarios.scenario import Scenario

MOST_RUNS = 100

Fails = Callable[[Scenario], bool]


def shrink(scenario: Scenario, fails: Fails, *, most_runs: int = MOST_RUNS) -> Scenario:
    """The smallest scenario that was found to fail like ``scenario``, within ``most_runs`` runs."""
    left = most_runs
    kept: Sequence[int] = scenario.numbers
    parts = 2
    if kept and fails(scenario.only(frozenset())):
        return scenario.only(frozenset())
    while len(kept) > 1 and left > 0:
        smaller = None
        for candidate in _candidates(kept, parts):
            if left <= 0:
                break
            left -= 1
            if fails(scenario.only(frozenset(candidate))):
                smaller = candidate
                break
        if smaller is not None:
            parts = 2 if len(smaller) <= len(kept) // parts else max(parts - 1, 2)
            kept = smaller
        elif parts < len(kept):
            parts = min(len(kept), parts * 2)
        else:
            break
    return scenario.only(frozenset(kept))


def _candidates(kept: Sequence[int], parts: int) -> list[Sequence[int]]:
    """One part alone, then everything but one part."""
    size = -(-len(kept) // parts)
    slices = [(at, min(at + size, len(kept))) for at in range(0, len(kept), size)]
    alone: list[Sequence[int]] = [kept[a:b] for a, b in slices]
    without: list[Sequence[int]] = [[*kept[:a], *kept[b:]] for a, b in slices]
    return alone + (without if len(slices) > 2 else [])
