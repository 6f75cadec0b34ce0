"""Judges numbers of nodes on the new release against those of nodes on the old one.

The question is whether the new release is slower by more than an allowed share. The estimate is the
median of all ratios new/old (Hodges and Lehmann, 1963, on the logarithms), and what it may be by chance
is bounded by the order statistics of the same ratios (the interval that belongs to the rank test of Mann
and Whitney), so no distribution is assumed and one odd node decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CONFIDENCE = 1.645
"""The normal quantile of a one-sided 95 %."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """``ratio`` is how fast the new release is, with the old one as 1, and ``low`` and ``high`` are what
    it may be. *unclear*: more numbers are needed to tell."""

    verdict: Literal["passed", "failed", "unclear"]
    ratio: float
    low: float
    high: float
    new: int
    old: int

    @property
    def words(self) -> str:
        """For people."""
        share = (self.ratio - 1) * 100
        word = "faster" if share >= 0 else "slower"
        return (
            f"{abs(share):.1f} % {word} than the old release "
            f"(from {(self.low - 1) * 100:+.1f} % to {(self.high - 1) * 100:+.1f} %, "
            f"{self.new} nodes against {self.old})"
        )


def compare(
    new: Sequence[float], old: Sequence[float], *, slower_by: float, least: int, last: bool
) -> Comparison:
    """Judge positive numbers of which the larger are the better; ``last``: no more will come, so that
    the estimate decides where chance cannot be excluded. Too few numbers are never judged."""
    if len(new) < least or len(old) < least or min(*new, *old) <= 0:
        return Comparison("unclear", 1.0, 0.0, math.inf, len(new), len(old))
    ratios = sorted(one / other for one in new for other in old)
    ratio = _middle(ratios)
    m, n = len(new), len(old)
    spread = CONFIDENCE * math.sqrt(m * n * (m + n + 1) / 12)
    place = max(0, min(len(ratios) - 1, math.floor(m * n / 2 - spread)))
    low, high = ratios[place], ratios[len(ratios) - 1 - place]
    bound = 1 - slower_by
    if low >= bound:
        verdict = "passed"
    elif high < bound:
        verdict = "failed"
    elif last:
        verdict = "passed" if ratio >= bound else "failed"
    else:
        verdict = "unclear"
    return Comparison(verdict, ratio, low, high, m, n)


def _middle(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] * ordered[half]) ** 0.5
