"""Kinds of values that several commands take: phases of nodes, and spans of time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from kedge.shapes.nodes import PHASES

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

UNITS_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(min|[smhd])")


class Span(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]
    """A span of time in seconds: ``90s``, ``15min``, ``1h30m``, ``2d``."""

    name = "span"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        parts = _PART.findall(str(value))
        if not parts or "".join(number + unit for number, unit in parts) != value:
            self.fail(
                f"{value!r} is no span of time. Write it like 90s, 15min, 1h or 2d", param, ctx
            )
        return sum(float(number) * UNITS_S[unit] for number, unit in parts)


class PhaseName(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]
    """One of the phases; a word that is none is refused with those that are, the nearest first."""

    name = "phase"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from difflib import SequenceMatcher

        def likeness(phase: str) -> float:
            return SequenceMatcher(None, str(value), phase).ratio()

        if value not in PHASES:
            near = sorted(PHASES, key=lambda phase: -likeness(phase))
            self.fail(f"{value!r} is no phase. Valid, nearest first: {', '.join(near)}", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in PHASES if name.startswith(incomplete)]
