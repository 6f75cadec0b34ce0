"""What a rollout is: its stages and gates as they were when it began, and how far it is.

A `Rollout` never changes. A `Progress` holds what cannot be seen of the nodes and must outlive a restart:
the stage, verdicts of gates, what people said. Which node is on which release is not in it: that is a
configured value, and so is looked at, never remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

State = Literal["running", "paused", "rolling_back", "done", "aborted", "rolled_back"]
FINAL: tuple[State, ...] = ("done", "aborted", "rolled_back")

Late = Literal["wait", "ask", "requeue"]
Order = Literal["idle", "shortest"]
OnFailure = Literal["pause", "rollback"]
GateKind = Literal["command", "reframe", "compare"]


@dataclass(frozen=True, slots=True)
class Gate:
    """A test that the updated nodes of a stage must pass. ``command`` is run at the head; a gate that
    does not end within ``deadline_s`` has failed.

    Of the kind *compare* it is run once for a node and prints a number (the larger, the better): nodes
    of the new release may be slower by the share ``slower_by`` than those of the old one, judged from
    ``least`` to ``most`` numbers of each.
    """

    name: str
    kind: GateKind
    command: tuple[str, ...]
    deadline_s: float
    slower_by: float = 0.05
    least: int = 5
    most: int = 20


@dataclass(frozen=True, slots=True)
class Stage:
    """``goal`` nodes of ``nodes`` on the new release, then its gates. With ``approval`` it begins only
    when a person said so. ``deadline_s`` (0: none) counts from its beginning; ``late`` is what then."""

    name: str
    nodes: tuple[str, ...]
    goal: int
    gates: tuple[Gate, ...] = ()
    approval: bool = False
    deadline_s: float = 0.0
    late: Late = "wait"


@dataclass(frozen=True, slots=True)
class Rollout:
    """``was`` is the release that each node had (empty: that of the site's files), to go back to.

    Never more than ``most_out`` nodes are out of service, nor ``most_out_of[attribute]`` with one value
    of an attribute. ``one_at_a_time`` names an attribute of which one value is updated at a time.
    More than ``most_failed`` failed nodes end the trust in the release. ``broken`` nodes had failed
    before it began.
    """

    name: str
    release: str
    was: Mapping[str, str]
    stages: tuple[Stage, ...]
    most_out: int
    most_out_of: Mapping[str, int] = field(default_factory=dict[str, int])
    order: Order = "idle"
    one_at_a_time: str = ""
    most_failed: int = 0
    on_failure: OnFailure = "pause"
    broken: frozenset[str] = frozenset()
    by: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a gate stands, since when, and what it said."""

    state: Literal["running", "passed", "failed"]
    since: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rollout is. ``why`` says why it is in its ``state``; ``resumes`` is what a paused one goes
    on with. ``verdicts`` are by ``stage/gate``; ``accepted`` are failed nodes that a person accepts;
    ``late``: the present stage's deadline has passed and what was to be done then is done."""

    state: State = "running"
    why: str = ""
    since: float = 0.0
    stage: int = 0
    stage_since: float = 0.0
    approved: frozenset[int] = frozenset()
    verdicts: Mapping[str, Verdict] = field(default_factory=dict[str, Verdict])
    accepted: frozenset[str] = frozenset()
    resumes: State = "running"
    late: bool = False


def shifted(progress: Progress, by_s: float) -> Progress:
    """The same when the clock on the wall was set, by so much: what has passed and what is left stay."""
    return replace(
        progress,
        since=progress.since + by_s,
        stage_since=progress.stage_since + by_s,
        verdicts={
            gate: replace(verdict, since=verdict.since + by_s)
            for gate, verdict in progress.verdicts.items()
        },
    )


@dataclass(frozen=True, slots=True)
class View:
    """One node as it is seen now.

    ``release`` is the one that it is configured with; ``serving``: it takes jobs; ``settled``: it is as
    configured; ``known``: the scheduler told of it, or it did itself. ``failed`` and ``aside`` say why it
    has failed or why a person has it (empty: neither). ``busy_until`` is when the last of its jobs must
    end (0: it runs none). ``domains`` are its failure domains (``rack`` -> ``7``).
    """

    release: str
    serving: bool
    settled: bool
    known: bool = True
    failed: str = ""
    aside: str = ""
    busy_until: float = 0.0
    domains: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Assign:
    """Configure these nodes with a release."""

    nodes: tuple[str, ...]
    release: str


@dataclass(frozen=True, slots=True)
class RunGate:
    """Have a gate run, unless it does already: on ``nodes``, beside ``old`` ones for comparison."""

    stage: str
    gate: Gate
    nodes: tuple[str, ...]
    old: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Requeue:
    """Have the jobs of these nodes run anew elsewhere; they are in the way of the rollout."""

    nodes: tuple[str, ...]


Action = Assign | RunGate | Requeue


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, how far the rollout then is, and what it waits for, in words."""

    progress: Progress
    actions: tuple[Action, ...] = ()
    waits: tuple[str, ...] = ()


def key(stage: str, gate: str) -> str:
    """Under which name a gate's verdict is kept."""
    return f"{stage}/{gate}"
