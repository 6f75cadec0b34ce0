"""Something that happens in a simulated world at its time: a fault, or what an operator does.

A list of these is all that makes one run differ from another of the same cluster and seed. It can be
written in a scenario file, drawn by chance, and made smaller until only what matters is left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class Happening:
    """``kind`` befalls ``target`` (words for `Cluster.ends`) at ``at_s`` and lasts ``for_s``; 0: until
    the end of all faults, or for as long as the kind itself says. ``number`` is its place in the
    scenario, by which people name it."""

    at_s: float
    kind: str
    target: str = ""
    for_s: float = 0.0
    args: Mapping[str, Value] = field(default_factory=dict[str, Value])
    number: int = 0

    def __str__(self) -> str:
        lasts = f" for {duration(self.for_s)}" if self.for_s else ""
        args = "".join(f" {name}={value}" for name, value in self.args.items())
        return f"#{self.number} {clock(self.at_s)} {self.kind} {self.target}{lasts}{args}"


def seconds(written: object, what: str) -> float:
    """Seconds of ``90``, ``90s``, ``1h30m``, ``200ms`` or ``-5m``; raises `KedgeError`."""
    if isinstance(written, int | float) and not isinstance(written, bool):
        return float(written)
    text = str(written)
    sign, digits = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    parts = _PART.findall(digits)
    if not parts or "".join(number + unit for number, unit in parts) != digits:
        raise KedgeError(
            "scenario.duration", f"{what}: {written!r} is no duration",
            next_step="Write 90s, 5m, 1h30m or 200ms",
        )  # fmt: skip
    return sign * sum(float(number) * UNITS[unit] for number, unit in parts)


def duration(span_s: float) -> str:
    """A span as `seconds` reads it, as exact as a millisecond."""
    if span_s < 0:
        return "-" + duration(-span_s)
    left_ms = round(span_s * 1000)
    parts: list[str] = []
    for unit, size_ms in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        if left_ms >= size_ms:
            parts.append(f"{left_ms // size_ms}{unit}")
            left_ms %= size_ms
    return "".join(parts) or "0s"


def clock(moment_s: float) -> str:
    """A moment of a run as people read it: ``0:34:10``."""
    whole = int(moment_s)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
