"""The contract of a scheduler's driver: what Kedge asks of Slurm, and would ask of Flux or PBS.

A driver speaks for a whole cluster, never for one node: it reads all nodes at once, and is told of many
nodes at once. Its calls block, one at a time, on a worker thread; each is safe to repeat and ends within
`CALL_S`. Whatever goes wrong is a `KedgeError` that says what to do next and no secret; and as long as a
driver cannot read, every node counts as busy.

`tests/conformance/test_scheduler_drivers.py` asks all of this of every driver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

CALL_S = 90.0
"""No call of a driver lasts longer."""

OURS = "kedge:"
"""What the reason of every drain begins with that Kedge made."""

BY_HAND = "kedge: by hand:"
"""... and of those that Kedge made but only a person ends."""

FEATURE = "kedge_"
"""What the feature begins with that says which release a node carries."""

SIDE = "kedgeside"
"""What the feature begins with that tells nodes of different releases apart by a small number, which a rule
of the site can name once for ever."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job on a node: ``ends_at`` in seconds since the epoch at the latest (None: nobody knows),
    ``nodes`` all that it runs on, as a nodeset."""

    id: str
    ends_at: float | None
    nodes: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One node as the scheduler has it.

    ``state`` is one of ``in_service``, ``draining``, ``drained``, ``down``, or empty where the scheduler
    does not know; ``reason`` why it is out of service, in the scheduler's words.
    """

    state: str
    reason: str = ""
    set_by: str = ""
    features: tuple[str, ...] = ()
    jobs: tuple[Job, ...] = ()

    @property
    def drained_by(self) -> str:
        """``kedge``, ``person``, or empty: in service, or down by itself."""
        if self.state in ("in_service", ""):
            return ""
        if self.reason.startswith(OURS):
            return "kedge"
        return "" if self.state == "down" and not self.reason else "person"

    @property
    def return_by(self) -> str:
        """Who may bring it back."""
        if self.reason.startswith(BY_HAND) or self.drained_by == "person":
            return "person"
        return "kedge"

    @property
    def release(self) -> str:
        """The release that it carries; empty for none."""
        carried = [f.removeprefix(FEATURE) for f in self.features if f.startswith(FEATURE)]
        return carried[0] if len(carried) == 1 else ""

    @property
    def side(self) -> int:
        """The side of its release; 0 for none."""
        sides = [f.removeprefix(SIDE) for f in self.features if f.startswith(SIDE)]
        return int(sides[0]) if len(sides) == 1 and sides[0].isdecimal() else 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """Nodes that are set aside for some time."""

    name: str
    nodes: str
    starts_at: float | None
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class Cluster:
    """The whole cluster as its scheduler had it at one moment."""

    nodes: Mapping[str, Seen]
    reservations: tuple[Reservation, ...] = field(default=())


class Driver(Protocol):
    """A scheduler that can be asked and told."""

    def read(self) -> Cluster:
        """All nodes, with their jobs. A fixed number of requests, however many nodes there are."""
        ...

    def drain(self, nodes: Sequence[str], reason: str) -> None:
        """Begin no new jobs on these nodes; those that run go on. On nodes that are drained already,
        only the reason changes."""
        ...

    def resume(self, nodes: Sequence[str]) -> None:
        """Take these nodes, none of which is in service, back into service."""
        ...

    def requeue(self, jobs: Sequence[str]) -> None:
        """Put these jobs back into the queue; they begin anew elsewhere."""
        ...

    def carry(self, nodes: Sequence[str], features: Sequence[str]) -> None:
        """Have these nodes offer exactly these features."""
        ...
