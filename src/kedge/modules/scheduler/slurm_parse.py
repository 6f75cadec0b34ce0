"""Reads what Slurm says in JSON, of any version of its API, and believes nothing that it cannot read.

Versions differ: a state is a word with flags beside it (v0.0.38) or a list of words (v0.0.40 on), a number
is plain or a mapping that says whether it is set, features are a text or a list. What is no answer at
all is one `KedgeError`; a node whose entry makes no sense has an unknown state, so it counts as busy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from kedge.lib import nodeset
from kedge.lib.errors import KedgeError
from kedge.modules.scheduler.driver import Cluster, Job, Reservation, Seen

ITSELF = ("", "Not responding", "Node unexpectedly rebooted")
"""Reasons for *down* that slurmctld gives by itself, without anybody's decision."""

OCCUPIES = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING", "STOPPED", "SIGNALING"})
OUT = frozenset({"DRAIN", "DRAINED", "DRAINING", "FAIL", "FAILING"})
BASES = ("DOWN", "IDLE", "ALLOCATED", "MIXED", "ERROR")

Entry = Mapping[str, Any]


def nonsense(what: str, why: str = "") -> KedgeError:
    """Slurm answered something that is no answer."""
    return KedgeError(
        "scheduler.nonsense", f"Slurm's answer makes no sense: {what}", why=why,
        next_step="Every node counts as busy until it does. See: scontrol show nodes",
    )  # fmt: skip


def decode(text: str | bytes, what: str) -> dict[str, Any]:
    """A JSON object; anything else is refused. Errors that Slurm reports in it are raised."""
    try:
        answer: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise nonsense(f"{what} are no JSON", str(error)) from None
    if not isinstance(answer, dict):
        raise nonsense(f"{what} are no JSON object")
    told = cast("dict[str, Any]", answer)
    for error in _entries(told.get("errors")):
        words = error.get("description") or error.get("error") or error.get("source")
        raise KedgeError(
            "scheduler.refused", "Slurm refused", where=what, why=str(words or error)[:500]
        )
    return told


def cluster(nodes: Entry, jobs: Entry, reservations: Entry | None = None) -> Cluster:
    """The cluster, from the answers about nodes, jobs and reservations."""
    if not isinstance(nodes.get("nodes"), list):
        raise nonsense("there is no list of nodes")
    if not isinstance(jobs.get("jobs"), list):
        raise nonsense("there is no list of jobs")
    running = _jobs_by_node(jobs["jobs"])
    found: dict[str, Seen] = {}
    for entry in _entries(nodes["nodes"]):
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            raise nonsense("a node has no name")
        found[name] = _node(entry, running.get(name, ()))
    return Cluster(found, tuple(_reservations(reservations or {})))


def _node(entry: Entry, jobs: tuple[Job, ...]) -> Seen:
    reason = str(entry.get("reason") or "")
    state = state_of(words(entry), busy=bool(jobs))
    if state == "down" and reason in ITSELF:
        reason = ""
    set_by = str(entry.get("reason_set_by_user") or "")
    return Seen(state, reason, set_by, _texts(entry.get("features")), jobs)


def words(entry: Entry) -> frozenset[str]:
    """A node's state and its flags, in capitals."""
    found: set[str] = set()
    for key in ("state", "state_flags"):
        found.update(word.upper() for word in _texts(entry.get(key)))
    return frozenset(found)


def state_of(said: frozenset[str], *, busy: bool) -> str:
    """Kedge's symbol for Slurm's words; empty where they do not say.

    A node that does not answer is in service until slurmctld itself gives it up, also an idle one: it is what
    Slurm calls a node that was resumed a moment ago, and a job may begin there as soon as it has answered.
    """
    base = next((word for word in BASES if word in said), "")
    if not base:
        return ""
    occupied = busy or base in ("ALLOCATED", "MIXED") or "COMPLETING" in said
    if said & OUT:
        return "draining" if occupied and base != "DOWN" else "drained"
    if base in ("DOWN", "ERROR"):
        return "down"
    return "in_service"


def _jobs_by_node(entries: object) -> dict[str, tuple[Job, ...]]:
    found: dict[str, list[Job]] = {}
    for entry in _entries(entries):
        if not OCCUPIES & {word.upper() for word in _texts(entry.get("job_state"))}:
            continue
        names = str(entry.get("nodes") or "")
        if not names:
            continue
        ends_at = number(entry.get("end_time"))
        job = Job(str(entry.get("job_id")), ends_at or None, names)
        for name in _expanded(names):
            found.setdefault(name, []).append(job)
    return {name: tuple(jobs) for name, jobs in found.items()}


def _expanded(names: str) -> list[str]:
    try:
        return nodeset.expand(names)
    except KedgeError as error:
        raise nonsense(f"a job runs on {names[:100]!r}", error.what) from None


def _reservations(answer: Entry) -> Iterator[Reservation]:
    for entry in _entries(answer.get("reservations")):
        nodes = str(entry.get("node_list") or "")
        yield Reservation(
            str(entry.get("name")), nodes, number(entry.get("start_time")),
            number(entry.get("end_time")),
        )  # fmt: skip


def number(value: object) -> float | None:
    """A number, plain or as ``{"set", "infinite", "number"}``; None where it is not one."""
    if isinstance(value, dict):
        told = cast("dict[str, Any]", value)
        if told.get("set") is False or told.get("infinite"):
            return None
        value = told.get("number")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part for part in value.replace("+", ",").split(",") if part)
    if isinstance(value, list):
        items = cast("list[object]", value)
        return tuple(item for item in items if isinstance(item, str) and item)
    return ()


def _entries(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in cast("list[object]", value):
            if isinstance(item, dict):
                yield cast("dict[str, Any]", item)
