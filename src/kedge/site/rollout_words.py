"""The small values of a rollout's file: shares, durations, choices, each with one clear refusal."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from kedge.site.problems import Problems, shorten
from kedge.site.tree import Items, Scalar, Tree

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(s|min|m|h|d)")
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?) *%")


@dataclass(frozen=True, slots=True)
class Share:
    """A number of nodes, or a part of them in percent."""

    count: int = 0
    percent: float = 0.0

    def of(self, nodes: int, *, down: bool = False) -> int:
        """How many of ``nodes`` that is: at least one, at most all."""
        part = nodes * self.percent / 100
        wanted = self.count or (math.floor(part) if down else math.ceil(part))
        return max(1, min(nodes, wanted)) if nodes else 0


def share(
    tree: Tree, what: str, problems: Problems, *, bare_is_percent: bool = False
) -> Share | None:
    """``8`` or ``10%``."""
    value = tree.value if isinstance(tree, Scalar) else None
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value)):
        value, bare_is_percent = float(match[1]), True
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if bare_is_percent and 0 < value <= 100:
            return Share(percent=float(value))
        if isinstance(value, int) and not bare_is_percent and value > 0:
            return Share(count=value)
    problems.refuse(
        "bad_value", tree.place, f"{what} must be a number of nodes or a part of them",
        next_step="Give a number above 0, or a percentage like 10%",
    )  # fmt: skip
    return None


def seconds(tree: Tree | None, what: str, problems: Problems, default: float = 0.0) -> float:
    """A duration: ``90s``, ``15min``, ``4h``, ``2d``."""
    if tree is None:
        return default
    text = tree.raw if isinstance(tree, Scalar) else ""
    match = _DURATION.fullmatch(text)
    if match and float(match[1]) > 0:
        return float(match[1]) * _UNITS[match[2]]
    problems.refuse(
        "bad_value", tree.place, f"{what} must be a duration",
        next_step="Write it like 90s, 15min, 4h or 2d",
    )  # fmt: skip
    return default


def whole(tree: Tree | None, what: str, default: int, problems: Problems) -> int:
    """A whole number of nodes."""
    if tree is None:
        return default
    value = tree.value if isinstance(tree, Scalar) else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1_000_000:
        return value
    problems.refuse("bad_value", tree.place, f"{what} must be a whole number")
    return default


def choice(tree: Tree | None, what: str, valid: Sequence[str], problems: Problems) -> str:
    """One of some words; the first where nothing is given."""
    if tree is None:
        return valid[0]
    text = tree.raw if isinstance(tree, Scalar) else ""
    if text in valid:
        return text
    problems.unknown("bad_value", tree.place, f"value of {what}:", text, valid)
    return valid[0]


def flag(tree: Tree | None, what: str, problems: Problems) -> bool:
    """True or false; false where nothing is given."""
    if tree is None:
        return False
    if isinstance(tree, Scalar) and isinstance(tree.value, bool):
        return tree.value
    problems.refuse("bad_value", tree.place, f"{what} must be true or false")
    return False


def texts(tree: Tree | None, what: str, problems: Problems) -> tuple[str, ...]:
    """A text or a list of texts."""
    if tree is None:
        return ()
    items = tree.items if isinstance(tree, Items) else (tree,)
    found: list[str] = []
    for item in items:
        if isinstance(item, Scalar) and item.value is not None:
            found.append(item.raw)
        else:
            problems.refuse("not_a_text", item.place, f"{shorten(what)} must be text")
    return tuple(found)
