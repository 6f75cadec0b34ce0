"""Values that faults put in the place of a thing's own for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Undo = Callable[[], object]
"""Takes back what a fault did."""


class Overlay:
    """All values that faults have put over things, taken back in any order."""

    def __init__(self) -> None:
        self._stacks: dict[tuple[int, str], list[list[Any]]] = {}

    def put(self, thing: object, attribute: str, value: Any) -> Undo:
        """Set an attribute for as long as nobody calls what this returns."""
        stack = self._stacks.setdefault((id(thing), attribute), [[getattr(thing, attribute)]])
        layer = [value]
        stack.append(layer)
        setattr(thing, attribute, value)

        def undo() -> None:
            place = next(place for place, known in enumerate(stack) if known is layer)
            del stack[place]
            setattr(thing, attribute, stack[-1][0])

        return undo
