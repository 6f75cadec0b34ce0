"""What a scheduler's answer means for a node's variables, and in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from kedge.core.kinds import Value
from kedge.lib import nodeset
from kedge.lib.errors import KedgeError
from kedge.modules.scheduler.driver import Cluster, Job, Reservation, Seen

ANY = "*"
"""What a node *carries* that no scheduler knows: every release is right."""

JOBS_TOLD = 100

UNKNOWN: dict[str, Value] = {
    "scheduler.state": None,
    "scheduler.return_by": None,
    "scheduler.release": None,
    "scheduler.drained_by": None,
    "scheduler.reason": None,
    "scheduler.jobs": None,
    "scheduler.reservations": None,
    "scheduler.features": None,
}


def values_of(seen: Seen, reservations: Iterable[Reservation] = ()) -> dict[str, Value]:
    """A node's variables, from what the scheduler says of it."""
    jobs = sorted(seen.jobs, key=lambda job: (job.ends_at is None, job.ends_at or 0.0, job.id))
    return {
        "scheduler.state": seen.state or None,
        "scheduler.return_by": seen.return_by,
        "scheduler.release": seen.release,
        "scheduler.drained_by": seen.drained_by,
        "scheduler.reason": seen.reason,
        "scheduler.jobs": [
            {"id": job.id, "ends_at": job.ends_at, "nodes": job.nodes} for job in jobs[:JOBS_TOLD]
        ],
        "scheduler.reservations": [
            {"name": r.name, "starts_at": r.starts_at, "ends_at": r.ends_at} for r in reservations
        ],
        "scheduler.features": list(seen.features),
        "scheduler.notice": notice_of(seen),
    }


@dataclass(frozen=True, slots=True)
class Told:
    """What a node was told last: ``seen`` is None where nobody knows, ``people`` means that no scheduler
    has it, ``free`` that nobody has to be asked; a ``notice`` goes before the usual one."""

    seen: Seen | None
    reservations: tuple[Reservation, ...] = ()
    notice: str = ""
    people: bool = False
    free: bool = False

    @property
    def state(self) -> str | None:
        """The value of ``scheduler.state``."""
        if self.free:
            return "absent"
        return (self.seen.state or None) if self.seen is not None else None


FREE = Told(None, free=True)


def values_told(told: Told) -> dict[str, Value]:
    """The variables of a node that was told this."""
    if told.free:
        return absent()
    if told.seen is None:
        return {**UNKNOWN, "scheduler.notice": told.notice}
    values = values_of(told.seen, told.reservations)
    if told.people:
        values["scheduler.release"] = ANY
    if told.notice:
        values["scheduler.notice"] = told.notice
    return values


def absent() -> dict[str, Value]:
    """The variables of a node that may be disturbed at any time."""
    return {
        **dict.fromkeys(UNKNOWN),
        "scheduler.state": "absent",
        "scheduler.return_by": "kedge",
        "scheduler.release": ANY,
        "scheduler.notice": "",
    }


def reserved(cluster: Cluster) -> dict[str, list[Reservation]]:
    """The reservations of each node; one whose nodes cannot be read is left out."""
    found: dict[str, list[Reservation]] = {}
    for reservation in cluster.reservations:
        try:
            names = nodeset.expand(reservation.nodes) if reservation.nodes else []
        except KedgeError:
            continue
        for name in names:
            found.setdefault(name, []).append(reservation)
    return found


def notice_of(seen: Seen) -> str:
    """What a person should know of the node's service; empty where there is nothing to say."""
    if not seen.state:
        return "the scheduler does not know the node's state: it counts as busy"
    if seen.drained_by == "person":
        who = f" ({seen.set_by})" if seen.set_by else ""
        word = "drained" if seen.state != "down" else "set down"
        return f"{word} by a person{who}: {seen.reason or 'no reason given'}"
    said = seen.reason.removeprefix("kedge:").strip()
    if seen.state == "draining":
        return f"waiting for {_jobs(seen.jobs)}" + (f"; drained for: {said}" if said else "")
    return f"drained for: {said}" if seen.state == "drained" and said else ""


def _jobs(jobs: tuple[Job, ...]) -> str:
    if not jobs:
        return "jobs to end"
    last = max(jobs, key=lambda job: (job.ends_at is None, job.ends_at or 0.0))
    when = (
        f", until {clock(last.ends_at)} at the latest" if last.ends_at else ", without a known end"
    )
    more = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
    return f"job {last.id}{more}{when}"


def clock(at: float) -> str:
    """A time in words."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
