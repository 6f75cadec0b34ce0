"""What the engine keeps of one node: little while it is converged, an `Episode` while it is not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from kedge.core.action import Action, State
from kedge.core.condition import Phase
from kedge.core.events import Pools, Requested
from kedge.core.planner.order import Plan
from kedge.core.planner.task import CostTable, Goals, Penalties


@dataclass(slots=True)
class Running:
    """A step in flight. ``start`` is the state it began in; ``place`` its index in the plan, or -1."""

    action: Action
    step_id: str
    serial: int
    since: float
    start: State
    place: int

    @property
    def deadline(self) -> float:
        """Until when its effect must be seen."""
        mutation = self.action.mutation
        timeout_s = mutation.timeout_s if mutation is not None else 0
        return self.since + timeout_s if timeout_s > 0 else math.inf

    @property
    def awaited(self) -> bool:
        """Whether nobody carries it out: it is only waited for."""
        mutation = self.action.mutation
        return mutation is not None and mutation.where == "waits"


@dataclass(slots=True)
class Failures:
    """How often an action or discovery failed in a row, why, and when it may be tried again. ``put_off``
    counts how often it could not even be tried, which costs nothing but time."""

    count: int = 0
    reason: str = ""
    next_step: str = ""
    until: float = 0.0
    forbidden: bool = False
    repeated: bool = False
    put_off: int = 0


@dataclass(slots=True)
class Episode:
    """From leaving converged until converged, held, blocked or quarantined. Penalties only rise,
    and ``costs`` stay as they were when it began.

    ``spoiled`` is a plan that a surprise has just broken: it, what of it was done, and the variables.
    """

    since: float
    costs: CostTable
    plan: Plan | None = None
    done: int = 0
    running: list[Running] = field(default_factory=list[Running])
    failures: dict[int, Failures] = field(default_factory=dict[int, Failures])
    assumed: dict[int, str] = field(default_factory=dict[int, str])
    waits: str = ""
    waits_next: str = ""
    shown_plan: str = ""
    queued: set[str] = field(default_factory=set[str])
    planned_for: tuple[Goals, Penalties] = ((), ())
    spoiled: tuple[Plan, int, tuple[int, ...]] | None = None
    new_goals: bool = False
    starts: dict[int, int] = field(default_factory=dict[int, int])


@dataclass(slots=True)
class Span:
    """The node has taken its span budgets; ``begun``: a step that breaks something was started."""

    since: float
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Left alone: why, since when, and what a person can do."""

    reason: str
    since: float
    next_step: str


@dataclass(slots=True)
class Record:
    """One node.

    ``seen`` is what was last seen, with resets applied; ``state`` is the view that counts: what hangs
    on an unknown variable is unknown too. ``lost`` are values that were known before they became
    unknown.

    A field added here must be one that folds (`cell.Cell`), or one that keeps its node from folding
    (`cell.folds`).
    """

    name: str
    seen: State
    state: State
    goals: Goals = ()
    group: str = ""
    hardware_class: str = ""
    limits: Pools = ()
    spans: Pools = ()
    hold: str = ""
    elsewhere: str = ""
    phase: Phase = "waiting"
    since: float = -1.0
    why: str = ""
    next_step: str = ""
    episode: Episode | None = None
    quarantine: Quarantine | None = None
    requests: list[Requested] | None = None
    asking: dict[int, float] | None = None
    deaf: dict[int, Failures] | None = None
    surprises: float = 0.0
    refilled_at: float = 0.0
    pardoned: bool = False
    lost: dict[int, int] | None = None
    configured_at: float = -math.inf
    span: Span | None = None

    @property
    def running(self) -> list[Running]:
        """The steps in flight."""
        return self.episode.running if self.episode else []
