"""A transition: what one event makes of every node in one cell, in terms of its slots and times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kedge.core.engine.timers import Timer
from kedge.core.events import Effect


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a time of the new cell comes from: kept from old slot ``number``, the step that is the
    ``number``-th to begin now, or a discovery asked now for ``delay_s``."""

    source: Literal["kept", "begun", "asked"]
    number: int = 0
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Later:
    """A timer to set, for the step in ``slot`` (of source ``kept`` or ``begun``) or for a discovery."""

    delay_s: float
    timer: Timer
    slot: Slot | None


@dataclass(frozen=True, slots=True)
class Transition:
    """From one cell to ``cell``.

    ``effects`` are the first node's; ``steps`` where the numbers of its steps came from, for each
    `StartStep` and `EndStep` in order, ``timeouts_s`` the deadlines in seconds from now. ``ended`` are
    the slots of steps whose duration counts, with their actions and class of hardware. ``breaker``
    says that it was asked, and closed.
    """

    cell: int
    effects: tuple[Effect, ...]
    steps: tuple[Slot, ...]
    timeouts_s: tuple[float, ...]
    begun: int
    slots: tuple[Slot, ...]
    timers: tuple[Later, ...]
    ended: tuple[tuple[int, int, str], ...]
    new_phase: bool
    new_episode: bool
    configured: bool
    breaker: bool

    @property
    def idle(self) -> bool:
        """Whether it leaves no trace, if it stays in its cell."""
        return not (self.effects or self.timers or self.begun or self.configured)
