"""What the engine is told (events) and what it asks for (effects). Both speak in planner's symbols.

The engine is level-triggered: events only change what it knows, and every decision follows from
what it knows now. A lost or repeated event costs time, never correctness.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NodeConfigured:
    """A node's goals (variable -> symbol), hold reason and span/step budget memberships, all of them.

    Also how a node becomes known. ``hardware_class`` and ``capabilities`` feed learned costs and the
    choice of modules; ``limits`` names, for each budget name, the pool the node draws from
    (``{"power.inrush": "rack1"}``). ``fingerprint`` stands for everything that is configured: told
    again with the same one, nothing changed; with another (or none), a person changed something, so
    the node gets a new episode and its quarantine ends.
    """

    node: str
    goals: Mapping[str, str]
    hold: str = ""
    group: str = ""
    hardware_class: str = ""
    limits: Mapping[str, str] = field(default_factory=dict[str, str])
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class NodeRemoved:
    """The site no longer knows the node."""

    node: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Discovery saw these symbols (UNKNOWN: it saw that it cannot tell any more).

    Every answer of a discovery is worth an event, also one that changes nothing: it ends the
    `StartDiscovery` that asked. ``fresh=False`` says that nothing was seen anew, only a symbol
    changed because the configured value it relates to did.
    """

    node: str
    values: Mapping[str, str]
    by: str = ""
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class StepFailed:
    """Whoever carried a step out says that it failed; ``reason`` is for the operator."""

    node: str
    step_id: str
    reason: str
    next_step: str = ""
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class DiscoveryFailed:
    """A discovery could not see anything: the BMC did not answer, refused the password, ..."""

    node: str
    discovery: str
    reason: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Requested:
    """A person's one-time request: pass through ``goals``, then go on to what is configured."""

    node: str
    goals: Mapping[str, str]
    request_id: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Retried:
    """A person wants a quarantined node (or one that backs off) to be tried again now."""

    node: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class BudgetSet:
    """At most ``limit`` units of ``budget`` in ``pool`` at once (0: no limit)."""

    budget: str
    pool: str
    limit: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: the caller's timer for `Engine.next_timeout` came due."""


Event = (
    NodeConfigured
    | NodeRemoved
    | Observed
    | StepFailed
    | DiscoveryFailed
    | Requested
    | Retried
    | BudgetSet
    | Tick
)


@dataclass(frozen=True, slots=True)
class StartStep:
    """Begin a mutation on a node. ``step_id`` is unique for ever (it names the order on the wire)."""

    node: str
    mutation: str
    step_id: str
    deadline: float


@dataclass(frozen=True, slots=True)
class EndStep:
    """A step is over: ``outcome`` is ``done``, ``failed``, ``timeout`` or ``dropped``. Stop its
    handler if it still runs, withdraw its order."""

    node: str
    mutation: str
    step_id: str
    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StartDiscovery:
    """Ask (or, for one that listens, only wait) for the variables of a discovery."""

    node: str
    discovery: str
    deadline: float


@dataclass(frozen=True, slots=True)
class Noted:
    """For the append-only log: ``what`` happened, its ``cause``, the value before and after.

    ``what`` is one of ``observed, goal, plan, step, discovery, phase, request``; ``subject`` names the
    variable, mutation, discovery or phase it speaks of.
    """

    node: str
    what: str
    subject: str
    before: str = ""
    after: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class RequestDone:
    """A one-time request was fulfilled, or (``reason``) given up."""

    node: str
    request_id: str
    reason: str = ""


Effect = StartStep | EndStep | StartDiscovery | Noted | RequestDone
