"""What the engine is told (events) and what it asks for (effects). Both speak in planner's symbols.

The engine is level-triggered: events only change what it knows, and every decision follows from
what it knows now. A lost or repeated event costs time, never correctness.

They are msgspec structs rather than dataclasses because millions are made: a frozen one takes a tenth
of the time. Those without containers are left out of garbage collection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

Pool = tuple[str, str]
"""A pool of a budget: ``("power.inrush", "rack 7")``."""

Pools = tuple[Pool, ...]


class NodeConfigured(Struct, frozen=True):
    """A node's goals (variable -> symbol), hold reason and span/step budget memberships, all of them.

    Also how a node becomes known. ``hardware_class`` and ``capabilities`` feed learned costs and the
    choice of modules. ``limits`` are the pools that its steps draw from, sorted, as (budget, pool):
    ``(("power.inrush", "cluster"), ("power.inrush", "rack 1"))``. A budget's name is one that
    mutations declare, a mutation's, or a pattern of those (``power.*``). ``spans`` are the pools that
    it draws from while it is out of service. ``fingerprint`` stands for everything that is configured:
    told again with the same one, nothing changed; with another (or none), a person changed something,
    so the node gets a new episode and its quarantine ends. ``elsewhere`` says who else acts on the node
    (empty: this engine does): then it is only looked at, and no effect comes of it.
    """

    node: str
    goals: Mapping[str, str]
    hold: str = ""
    group: str = ""
    hardware_class: str = ""
    limits: Pools = ()
    spans: Pools = ()
    fingerprint: str = ""
    elsewhere: str = ""


class NodeRemoved(Struct, frozen=True, gc=False):
    """The site no longer knows the node."""

    node: str


class Observed(Struct, frozen=True):
    """Discovery saw these symbols (UNKNOWN: it saw that it cannot tell any more).

    Every answer of a discovery is worth an event, also one that changes nothing: it ends the
    `StartDiscovery` that asked. ``fresh=False`` says that nothing was seen anew, only a symbol
    changed because the configured value it relates to did.
    """

    node: str
    values: Mapping[str, str]
    by: str = ""
    fresh: bool = True


class ObservedMany(Struct, frozen=True):
    """`Observed` for several nodes that were seen alike."""

    nodes: Sequence[str]
    values: Mapping[str, str]
    by: str = ""
    fresh: bool = True


class ConfiguredMany(Struct, frozen=True):
    """`NodeConfigured` for several nodes that are configured alike; ``fingerprints`` are theirs."""

    nodes: Sequence[str]
    goals: Mapping[str, str]
    fingerprints: Sequence[str]
    hold: str = ""
    group: str = ""
    hardware_class: str = ""
    limits: Pools = ()
    spans: Pools = ()
    elsewhere: str = ""


class StepFailed(Struct, frozen=True, gc=False):
    """Whoever carried a step out says that it failed; ``reason`` is for the operator.

    ``put_off``: it could not even be tried, as nobody was reached who could; that counts for nothing.
    ``astray``: the node is not where the step begins; then what is true when its time runs out is so.
    """

    node: str
    step_id: str
    reason: str
    next_step: str = ""
    permanent: bool = False
    put_off: bool = False
    astray: bool = False


class DiscoveryFailed(Struct, frozen=True, gc=False):
    """A discovery could not see anything: the BMC did not answer, refused the password, ..."""

    node: str
    discovery: str
    reason: str
    next_step: str = ""


class Requested(Struct, frozen=True):
    """A person's one-time request: pass through ``goals``, then go on to what is configured."""

    node: str
    goals: Mapping[str, str]
    request_id: str
    by: str = ""


class Retried(Struct, frozen=True, gc=False):
    """A person wants a quarantined node (or one that backs off) to be tried again now."""

    node: str
    by: str = ""


class BudgetSet(Struct, frozen=True, gc=False):
    """At most ``limit`` units of ``budget`` in ``pool`` at once (0: no limit): steps, or (``span``)
    nodes that are out of service. ``share`` is what this engine may use of a limit that it shares with
    others (None: all of it), and ``others`` says what of theirs is in the way, for people."""

    budget: str
    pool: str
    limit: int
    span: bool = False
    share: int | None = None
    others: str = ""


class GroupLeased(Struct, frozen=True, gc=False):
    """Whether destructive steps may begin on the nodes of a group: ``why`` they may not (empty: they
    may). A group of which nothing was said may."""

    group: str
    why: str = ""


class Tick(Struct, frozen=True, gc=False):
    """Time has passed: the caller's timer for `Engine.next_timeout` came due."""


Event = (
    NodeConfigured
    | NodeRemoved
    | ConfiguredMany
    | Observed
    | ObservedMany
    | StepFailed
    | DiscoveryFailed
    | Requested
    | Retried
    | BudgetSet
    | GroupLeased
    | Tick
)


class StartStep(Struct, frozen=True, gc=False):
    """Begin a mutation on a node. ``step_id`` is unique for ever (it names the order on the wire)."""

    node: str
    mutation: str
    step_id: str
    deadline: float


class EndStep(Struct, frozen=True, gc=False):
    """A step is over: ``outcome`` is ``done``, ``failed``, ``timeout``, ``put off`` or ``dropped``. Stop its
    handler if it still runs, withdraw its order."""

    node: str
    mutation: str
    step_id: str
    outcome: str
    reason: str = ""


class StartDiscovery(Struct, frozen=True, gc=False):
    """Ask (or, for one that listens, only wait) for the variables of a discovery."""

    node: str
    discovery: str
    deadline: float


class Noted(Struct, frozen=True, gc=False):
    """For the append-only log: ``what`` happened, its ``cause``, the value before and after.

    ``what`` is one of ``observed, goal, plan, step, discovery, phase, request, breaker, budget``;
    ``subject`` names the variable, mutation, discovery, phase, group or budget it speaks of.
    """

    node: str
    what: str
    subject: str
    before: str = ""
    after: str = ""
    cause: str = ""

    def on(self, node: str) -> Noted:
        """The same of another node."""
        return Noted(node, self.what, self.subject, self.before, self.after, self.cause)


class RequestDone(Struct, frozen=True, gc=False):
    """A one-time request was fulfilled, or (``reason``) given up."""

    node: str
    request_id: str
    reason: str = ""


Effect = StartStep | EndStep | StartDiscovery | Noted | RequestDone


class Many(Struct, frozen=True):
    """The same effects on several nodes: ``effects`` are in full those of ``nodes[0]``.

    ``steps`` holds, for each `StartStep` and `EndStep` among them in order, the numbers of the nodes'
    own steps (the part of ``step_id`` behind ``prefix``).
    """

    nodes: Sequence[str]
    effects: tuple[Effect, ...]
    prefix: str = ""
    steps: tuple[Sequence[int], ...] = ()

    def of(self, place: int) -> Iterator[Effect]:
        """The effects on ``nodes[place]``."""
        node, numbers = self.nodes[place], iter(self.steps)
        for effect in self.effects:
            if isinstance(effect, StartStep | EndStep):
                step_id = f"{self.prefix}{next(numbers)[place]}"
                yield replace(effect, node=node, step_id=step_id)
            else:
                yield replace(effect, node=node)


def each(many: Many) -> Iterator[Effect]:
    """The effects of ``many``, node by node."""
    for place in range(len(many.nodes)):
        yield from many.of(place)


def apart(event: Event) -> Iterator[Event]:
    """An event about many nodes as one for each."""
    if isinstance(event, ObservedMany):
        for node in event.nodes:
            yield Observed(node, event.values, event.by, event.fresh)
    elif isinstance(event, ConfiguredMany):
        for node, fingerprint in zip(event.nodes, event.fingerprints, strict=True):
            yield NodeConfigured(
                node, event.goals, event.hold, event.group, event.hardware_class,
                event.limits, event.spans, fingerprint, event.elsewhere,
            )  # fmt: skip
    else:
        yield event
